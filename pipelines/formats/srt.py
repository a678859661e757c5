"""SubRip: the format every player reads. It has no escapes and no speakers, so names stand in the text."""

import re
from collections.abc import Iterable, Iterator

from pipelines.documents import Segment, Summary
from pipelines.formats.cues import cues
from pipelines.formats.style import Style

MEDIA_TYPE = "application/x-subrip"
SUBTITLE = True

_TIME = re.compile(r"(?<=:\d\d)(?=[.,]\d)")
_WORD_JOINER = "\u2060"
"""Invisible and without width."""


def render(summary: Summary, segments: Iterable[Segment], style: Style) -> Iterator[str]:
    """Numbered cues; the empty text where nobody speaks."""
    for number, cue in enumerate(cues(summary, segments, style, label=True), 1):
        apart = "\n" if number > 1 else ""
        yield f"{apart}{number}\n{timestamp(cue.start_ms)} --> {timestamp(cue.end_ms)}\n{_safe(cue.lines)}\n"


def timestamp(ms: int, *, mark: str = ",") -> str:
    """``HH:MM:SS,mmm``; the hours grow as they must."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{ms:03}"


def _safe(lines: tuple[str, ...]) -> str:
    """Text in which no program sees a line of times: some want the arrow for it, others two times are enough."""
    texts = [line.replace("-->", "→") for line in lines]
    return "\n".join(_TIME.sub(_WORD_JOINER, text) if len(_TIME.findall(text)) > 1 else text for text in texts)
