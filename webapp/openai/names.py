"""The names under which OpenAI's clients know models: whatever is not here by its own name is the default model."""

from config.settings import Settings

ALIASES = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize", "gpt-transcribe")
"""Those that are listed; further names that begin like the newer ones are understood too."""
_FAMILY = "gpt-"


def own_name(settings: Settings, name: str | None) -> str | None:
    """The name a model has here; None: the default. Whether there is such a model is not looked at."""
    if name is None or name in settings.model_names:
        return name
    return None if name in ALIASES or name.startswith(_FAMILY) else name
