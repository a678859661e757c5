"""Tab-separated segments with times in milliseconds, for spreadsheets and scripts."""

from collections.abc import Iterable, Iterator

from pipelines.documents import Segment, Summary
from pipelines.formats.style import Style
from pipelines.formats.text import clean

MEDIA_TYPE = "text/tab-separated-values"
SUBTITLE = False


def render(summary: Summary, segments: Iterable[Segment], style: Style) -> Iterator[str]:
    """A header ``start end text``, then one line a segment; the style has no say in it."""
    yield "start\tend\ttext\n"
    for segment in segments:
        yield f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{clean(segment.text).strip()}\n"
