"""Speech packed into windows of at most half a minute, without the silence between, and the way back in time.

Whisper always looks at 30 seconds. Speech from all over a recording, laid end to end, needs far fewer such windows
than the recording has half minutes, and leaves the model no silence to invent words for. All positions are counted in
samples, so that nothing is lost to rounding.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.documents import SAMPLE_RATE, Span

WINDOW_SECONDS = 30
"""What a Whisper model looks at in one go."""


@dataclass(frozen=True)
class Piece:
    """Speech that is one run both in the recording and in its window."""

    at: int
    """First sample, counted in the window."""
    start: int
    """First sample, counted in the audio."""
    length: int


@dataclass(frozen=True)
class Window:
    """Pieces of speech that are decoded together."""

    pieces: tuple[Piece, ...]

    @property
    def length(self) -> int:
        """Samples in the window."""
        last = self.pieces[-1]
        return last.at + last.length

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.length / SAMPLE_RATE

    def piece_at(self, seconds: float) -> int:
        """Number of the piece that a moment of the window lies in; moments outside belong to the nearest."""
        sample = min(max(seconds * SAMPLE_RATE, 0), self.length - 1)
        return bisect_right([piece.at for piece in self.pieces], sample) - 1

    def restore(self, start: float, end: float) -> tuple[float, float]:
        """Where in the audio a word of the window was spoken, in seconds.

        A word cannot be spoken across a silence that was taken out: it belongs whole to the piece its middle lies in.
        """
        piece = self.pieces[self.piece_at((start + end) / 2)]
        low, high = piece.start / SAMPLE_RATE, (piece.start + piece.length) / SAMPLE_RATE
        moved = (piece.start - piece.at) / SAMPLE_RATE
        return min(max(start + moved, low), high), min(max(end + moved, low), high)


def pack(spans: Sequence[Span], samples: int, *, limit: int = WINDOW_SECONDS * SAMPLE_RATE) -> list[Window]:
    """Windows that hold every sample of the spans once, in order, each as full as the next span allows.

    Args:
        spans: Speech in seconds, in order; what overlaps an earlier span or lies outside the audio is left out.
        samples: Length of the audio.
        limit: The most samples a window may hold; a longer span is cut into equal parts.
    """
    windows: list[Window] = []
    pieces: list[Piece] = []
    filled = 0
    for start, length in _runs(spans, samples, limit):
        if filled + length > limit:
            windows.append(Window(tuple(pieces)))
            pieces, filled = [], 0
        pieces.append(Piece(at=filled, start=start, length=length))
        filled += length
    if pieces:
        windows.append(Window(tuple(pieces)))
    return windows


def _runs(spans: Sequence[Span], samples: int, limit: int) -> Iterator[tuple[int, int]]:
    """First sample and length of each stretch to decode, none longer than a window."""
    done = 0
    for span in spans:
        start = max(done, round(span.start * SAMPLE_RATE))
        end = min(samples, round(span.end * SAMPLE_RATE))
        if end <= start:
            continue
        done = end
        # Equal parts: a full window and a remnant of a second would leave the model nothing to hear in the remnant.
        parts = -((start - end) // limit)
        cuts = [start + (end - start) * n // parts for n in range(parts + 1)]
        yield from ((first, last - first) for first, last in pairwise(cuts))
