"""SubRip: the format every player reads. It has no escapes and no speakers, so names stand in the text."""

from pipelines.documents import Transcript
from pipelines.formats.cues import cues
from pipelines.formats.style import Style

MEDIA_TYPE = "application/x-subrip"
SUBTITLE = True


def render(transcript: Transcript, style: Style) -> str:
    """Numbered cues; the empty text where nobody speaks."""
    return "\n".join(
        f"{number}\n{timestamp(cue.start_ms)} --> {timestamp(cue.end_ms)}\n{_safe(cue.lines)}\n"
        for number, cue in enumerate(cues(transcript, style, label=True), 1)
    )


def timestamp(ms: int, *, mark: str = ",") -> str:
    """``HH:MM:SS,mmm``; the hours grow as they must."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{ms:03}"


def _safe(lines: tuple[str, ...]) -> str:
    # An arrow in the text could pass for a line of times.
    return "\n".join(line.replace("-->", "→") for line in lines)
