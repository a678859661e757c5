"""The transcript itself, with everything that is known about each word."""

from collections.abc import Iterable, Iterator

from pipelines import transcripts
from pipelines.documents import Segment, Summary
from pipelines.formats.style import Style

MEDIA_TYPE = "application/json"
SUBTITLE = False


def render(summary: Summary, segments: Iterable[Segment], style: Style) -> Iterator[str]:
    """JSON in UTF-8, letters as they are, one segment a line; the style has no say in it."""
    return transcripts.lines(summary, segments)
