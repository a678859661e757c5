"""What the names of models mean before anybody looks for their files."""

from collections.abc import Mapping, Sequence

DIARISING_MODEL = "gpt-4o-transcribe-diarize"
"""The one of them whose name says that speakers are to be told apart."""
OPENAI_NAMES = (
    *("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"),
    *(DIARISING_MODEL, "gpt-transcribe"),
)
"""Names under which clients of OpenAI know models; here they mean the default, as do further ones like the newer."""
_FAMILY = "gpt-"


def means_default(name: str) -> bool:
    """Whether a name that the operator gave to nothing means the default model."""
    return name in OPENAI_NAMES or (name.startswith(_FAMILY) and "/" not in name)


def is_folder(name: str) -> bool:
    """Whether a name is a folder of the server, which is the operator's to name and nobody else's to see."""
    return name.startswith((".", "/", "~")) or "\\" in name


def known_names(models: Sequence[str], aliases: Mapping[str, str], allowed: Sequence[str]) -> list[str]:
    """The names that the operator gave, the default first."""
    return list(dict.fromkeys([*models, *aliases, *(name for name in allowed if name != "*")]))


def meaning(name: str | None, models: Sequence[str], aliases: Mapping[str, str], allowed: Sequence[str]) -> str | None:
    """The model that a name means, the default for none; None if it may not be used.

    Args:
        name: As a client said it.
        models: WHISPER_MODELS.
        aliases: WHISPER_ALIASES.
        allowed: ALLOWED_MODELS.
    """
    names = known_names(models, aliases, allowed)
    asked = models[0] if not name or (name not in names and means_default(name)) else name
    target = aliases.get(asked, asked)
    if asked in names or target in models:
        return target
    # A folder is the operator's to name; `*` opens the hub, not the file system.
    if is_folder(asked) or ".." in asked:
        return None
    return target if "*" in allowed or asked in aliases.values() else None
