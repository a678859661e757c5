"""Tab-separated segments with times in milliseconds, for spreadsheets and scripts."""

from pipelines.documents import Transcript
from pipelines.formats.style import Style
from pipelines.formats.text import clean

MEDIA_TYPE = "text/tab-separated-values"
SUBTITLE = False


def render(transcript: Transcript, style: Style) -> str:
    """A header ``start end text``, then one line a segment; the style has no say in it."""
    rows = [
        f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{clean(segment.text).strip()}\n"
        for segment in transcript.segments
    ]
    return "".join(["start\tend\ttext\n", *rows])
