"""WebVTT: what browsers show. Speakers are voice spans, which a style sheet can colour."""

from collections.abc import Iterable, Iterator

from pipelines.documents import Segment, Summary
from pipelines.formats.cues import Cue, cues
from pipelines.formats.srt import timestamp
from pipelines.formats.style import Style

MEDIA_TYPE = "text/vtt"
SUBTITLE = True


def render(summary: Summary, segments: Iterable[Segment], style: Style) -> Iterator[str]:
    """A header and cues; just the header where nobody speaks."""
    yield "WEBVTT\n"
    for cue in cues(summary, segments, style):
        yield f"\n{timestamp(cue.start_ms, mark='.')} --> {timestamp(cue.end_ms, mark='.')}\n{_text(cue)}\n"


def _text(cue: Cue) -> str:
    voice = f"<v {_escape(cue.speaker)}>" if cue.speaker else ""
    return voice + "\n".join(_escape(line) for line in cue.lines)


def _escape(text: str) -> str:
    # With every > escaped there is no arrow left that could pass for a line of times.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
