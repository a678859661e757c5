"""``transcript.json``, written and read a segment at a time: ten hours of words are never in memory at once.

The file is plain JSON with one segment a line, so that a reader can take the head (everything but the segments) and
each segment by itself.
"""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pipelines.documents import Segment, Summary, Transcript

_SEGMENTS = '"segments":['
_CLOSED = "]}"
END = f"\n{_CLOSED}\n"
"""What stands behind the segments."""


class BrokenTranscript(ValueError):
    """The file is not one that ``lines`` has written."""


def lines(summary: Summary, segments: Iterable[Segment]) -> Iterator[str]:
    """The file's text in pieces.

    Args:
        summary: All about the transcript but its segments.
        segments: In order.
    """
    yield head(summary)
    yield from segment_lines(segments)
    yield END


def head(summary: Summary) -> str:
    """What stands before the segments."""
    return f"{summary.model_dump_json(exclude={'segments'})[:-1]},{_SEGMENTS}"


def segment_lines(segments: Iterable[Segment]) -> Iterator[str]:
    """The segments as they stand in the file."""
    for number, segment in enumerate(segments):
        yield f"{',' if number else ''}\n{segment.model_dump_json()}"


def read_summary(stream: BinaryIO) -> Summary:
    """The head of a file; the stream then stands before the first segment.

    Raises:
        BrokenTranscript: It has no such head.
    """
    head = stream.readline().decode().rstrip("\n")
    if not head.endswith(f",{_SEGMENTS}"):
        raise BrokenTranscript("no head on the first line")
    return Summary.model_validate_json(head.removesuffix(f",{_SEGMENTS}") + "}")


def read_segments(stream: BinaryIO) -> Iterator[Segment]:
    """The segments that follow the head, one at a time.

    Raises:
        BrokenTranscript: The file breaks off.
    """
    for line in stream:
        text = line.decode().rstrip("\n")
        if not text:
            continue
        if text == _CLOSED:
            return
        yield Segment.model_validate_json(text.removesuffix(","))
    raise BrokenTranscript("the file breaks off")


def read(stream: BinaryIO) -> Transcript:
    """The whole transcript at once, for those that need it so."""
    summary = read_summary(stream)
    return Transcript(**dict(summary), segments=list(read_segments(stream)))
