"""WebVTT: what browsers show. Speakers are voice spans, which a style sheet can colour."""

from pipelines.documents import Transcript
from pipelines.formats.cues import Cue, cues
from pipelines.formats.srt import timestamp
from pipelines.formats.style import Style

MEDIA_TYPE = "text/vtt"
SUBTITLE = True


def render(transcript: Transcript, style: Style) -> str:
    """A header and cues; just the header where nobody speaks."""
    return "WEBVTT\n" + "".join(
        f"\n{timestamp(cue.start_ms, mark='.')} --> {timestamp(cue.end_ms, mark='.')}\n{_text(cue)}\n"
        for cue in cues(transcript, style)
    )


def _text(cue: Cue) -> str:
    voice = f"<v {_escape(cue.speaker)}>" if cue.speaker else ""
    return voice + "\n".join(_escape(line) for line in cue.lines)


def _escape(text: str) -> str:
    # With every > escaped there is no arrow left that could pass for a line of times.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
