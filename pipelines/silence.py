"""Where somebody speaks and who transcribes what: pure, over the probabilities of speech.

The probabilities come one for every window of ``pauses.WINDOW_SECONDS``. Every time returned is in seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from pipelines.documents import Chunk, ChunkPlan, Span
from pipelines.pauses import SILENCE, WINDOW_SECONDS, Cut, Pauses, runs, to_millisecond

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.pauses import Probabilities

MAX_SPAN_SECONDS = 30.0
"""What Whisper hears at once."""

ALWAYS_SEVERAL_SECONDS = 1800.0
"""A longer recording is never one chunk, so that several workers can share it."""

_SPEECH = 0.5
"""Speech begins at this probability and lasts until it falls below ``pauses.SILENCE``."""
_SHORTEST_SILENCE = 0.16
_PADDING = 0.4
"""Speech is given this much of what surrounds it: onsets and endings are quieter than the threshold."""

_LONG_SILENCE = 30.0  # silence longer than this before the first or after the last word belongs to no chunk
_TOLERANCE = 0.05  # a chunk may be this share longer than was aimed for
_LEAST_EXTENT = 4.0  # speech within fewer seconds is not shared out, however long the silence around it
_SLIVER = 0.3
"""Less speech than this, left over at a chunk's edge, is not worth a look: the neighbour has it whole."""
_OVERLAP, _LONGEST_OVERLAP = 2.5, 6.5
"""Seconds a chunk goes on beyond the seam: where the seam lies in a pause, and where nobody pauses."""


def speech_spans(
    probabilities: Probabilities,
    duration: float | None = None,
    *,
    threshold: float = _SPEECH,
    silence_threshold: float = SILENCE,
    shortest_silence: float = _SHORTEST_SILENCE,
    padding: float = _PADDING,
    longest: float = MAX_SPAN_SECONDS,
) -> list[Span]:
    """Stretches of speech, in order, disjoint, padded, none longer than ``longest``.

    Speech that goes on for longer is split at its best pause in the second half of what fits; neighbours with less
    than two paddings between them meet in the middle.

    Args:
        probabilities: One a window.
        duration: Of the recording; the last window may be only partly filled.
        threshold: Speech begins at this probability,
        silence_threshold: and ends below this one,
        shortest_silence: if it stays silent for more than this.
        padding: Seconds added on both sides.
        longest: Most seconds of a span, padding included.
    """
    import numpy as np

    known = np.asarray(probabilities, dtype=np.float32)
    length = len(known) * WINDOW_SECONDS if duration is None else duration
    fits = longest - 2 * padding - WINDOW_SECONDS
    pauses: Pauses | None = None
    pieces: list[tuple[float, float]] = []
    for begin, stop in _stretches(known, threshold, silence_threshold, shortest_silence):
        stop = min(stop, length)
        if stop - begin > fits and pauses is None:
            pauses = Pauses(known)
        pieces += [(begin, stop)] if pauses is None else _split(pauses, begin, stop, fits)
    return _pad(pieces, padding, length)


def whole_spans(probabilities: Probabilities, duration: float, *, longest: float = MAX_SPAN_SECONDS) -> list[Span]:
    """The whole recording in pieces no longer than ``longest``, cut where it is quietest; for work without a filter."""
    if duration <= 0:
        return []
    fits = math.floor(longest / WINDOW_SECONDS) * WINDOW_SECONDS
    pieces = _split(Pauses(probabilities), 0.0, duration, fits)
    return [Span(start=start, end=end) for start, end in pieces]


def plan_chunks(
    spans: Sequence[Span], duration: float, chunk_seconds: float, probabilities: Probabilities
) -> ChunkPlan:
    """Who transcribes what: chunks of about equal length that overlap, cut in the best pause near the target.

    Args:
        spans: The speech, as ``speech_spans`` finds it.
        duration: Of the recording.
        chunk_seconds: Most seconds to aim for; what is no longer is one chunk.
        probabilities: One a window; where to cut.

    Returns:
        Every second of speech is in a chunk. A chunk without speech of its own is left out: then its neighbours do not
        touch, and the seam between them lies in the silence.
    """
    speech = math.fsum(span.end - span.start for span in spans)
    if not spans:
        return ChunkPlan(duration=duration, speech_seconds=0.0, chunks=[], seams=[])
    pauses = Pauses(probabilities)
    low, high = _extent(spans, duration, chunk_seconds)
    cuts = _seams(pauses, low, high, _how_many(high - low, duration, chunk_seconds))
    cores = list(zip([low, *(cut.at for cut in cuts)], [*(cut.at for cut in cuts), high], strict=True))
    ranges = _overlapping(pauses, cores, cuts)
    chunks: list[Chunk] = []
    seams: list[float] = []
    core_end = low
    for (core_start, core_stop), (start, end) in zip(cores, ranges, strict=True):
        if not any(span.start < core_stop and span.end > core_start for span in _within(spans, core_start, core_stop)):
            continue
        if chunks:
            seams.append(to_millisecond((core_end + core_start) / 2))
        chunks.append(Chunk(index=len(chunks), start=start, end=end, spans=_clip(spans, start, end)))
        core_end = core_stop
    return ChunkPlan(duration=duration, speech_seconds=round(speech, 3), chunks=chunks, seams=seams)


def _stretches(
    known: NDArray[np.float32], threshold: float, silence_threshold: float, shortest_silence: float
) -> list[tuple[float, float]]:
    """From where to where it is speech: on at the threshold, off below the lower one, as before in between."""
    import numpy as np

    # Half as big as by default, which counts when a recording has a million windows.
    numbers, none = np.arange(len(known), dtype=np.int32), np.int32(-1)
    silent = known < silence_threshold
    last = np.maximum.accumulate(np.where(silent | (known >= threshold), numbers, none))
    starts, ends = runs((last >= 0) & (known[last] >= threshold))
    if not len(starts):
        return []
    # A silence is as long as it is really quiet; the rise towards the next word is not part of it.
    quiet = np.maximum.accumulate(np.where(silent, numbers, none))
    apart = (quiet[starts[1:] - 1] - ends[:-1]) * WINDOW_SECONDS > shortest_silence - 1e-6
    begins, stops = starts[np.append(True, apart)], ends[np.append(apart, True)]
    return list(zip((begins * WINDOW_SECONDS).tolist(), (stops * WINDOW_SECONDS).tolist(), strict=True))


def _split(pauses: Pauses, start: float, end: float, longest: float) -> list[tuple[float, float]]:
    """Pieces no longer than ``longest``; full ones are preferred, as fewer of them are quicker to transcribe."""
    pieces = []
    while end - start > longest + 1e-6:
        high = min(start + longest, end - 1.0)
        cut = pauses.best(start + longest / 2, high, high).at
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]


def _pad(pieces: Sequence[tuple[float, float]], padding: float, length: float) -> list[Span]:
    spans = []
    start = max(0.0, pieces[0][0] - padding) if pieces else 0.0
    for (_, stop), following in zip(pieces, [*pieces[1:], None], strict=False):
        if following is None:
            end = following_start = min(length, stop + padding)
        elif following[0] - stop < 2 * padding:
            end = following_start = (stop + following[0]) / 2
        else:
            end, following_start = stop + padding, following[0] - padding
        spans.append(Span(start=to_millisecond(start), end=length if end >= length else to_millisecond(end)))
        start = following_start
    return spans


def _extent(spans: Sequence[Span], duration: float, chunk_seconds: float) -> tuple[float, float]:
    """The part of the recording to share out: all of it, without a long silence before and after the speech."""
    if duration <= chunk_seconds:
        return 0.0, duration
    low, high = spans[0].start, spans[-1].end
    return 0.0 if low < _LONG_SILENCE else low, duration if duration - high < _LONG_SILENCE else high


def _how_many(extent: float, duration: float, chunk_seconds: float) -> int:
    # A little too long is no reason for one chunk more: each costs an overlap and a half-full batch.
    wanted = max(1, math.ceil(extent / chunk_seconds - _TOLERANCE))
    return max(wanted, 2) if duration > ALWAYS_SEVERAL_SECONDS and extent > _LEAST_EXTENT else wanted


def _seams(pauses: Pauses, low: float, high: float, count: int) -> list[Cut]:
    """Where the chunks' cores meet; what an early or late cut leaves is shared out evenly among the rest."""
    cuts: list[Cut] = []
    for left in range(count, 1, -1):
        step = (high - low) / left
        reach = min(0.15 * step, 60.0)
        cuts.append(pauses.best(low + step - reach, low + step + reach, low + step))
        low = cuts[-1].at
    return cuts


def _overlapping(
    pauses: Pauses, cores: Sequence[tuple[float, float]], cuts: Sequence[Cut]
) -> Iterator[tuple[float, float]]:
    """The chunks' ranges: each core and some of its neighbours' on both sides, ending in a pause where there is one."""
    shortest = min(end - start for start, end in cores)
    edges = []
    for cut in cuts:
        usual = _LONGEST_OVERLAP - (_LONGEST_OVERLAP - _OVERLAP) * min(cut.pause, 1.0)
        half = min(usual, shortest / 4)
        near, far = half * 0.8, half + min(1.0, half * 0.4)
        starts = pauses.best(cut.at - far, cut.at - near, cut.at - half).at
        edges.append((starts, pauses.best(cut.at + near, cut.at + far, cut.at + half).at))
    starts_at = [cores[0][0], *(start for start, _ in edges)]
    ends_at = [*(end for _, end in edges), cores[-1][1]]
    return zip(starts_at, ends_at, strict=True)


def _within(spans: Sequence[Span], start: float, end: float) -> Sequence[Span]:
    """Those that may touch [start, end]."""
    begins = attrgetter("start")
    return spans[max(0, bisect_right(spans, start, key=begins) - 1) : bisect_left(spans, end, key=begins)]


def _clip(spans: Sequence[Span], start: float, end: float) -> list[Span]:
    clipped = []
    for span in _within(spans, start, end):
        inside = Span(start=max(span.start, start), end=min(span.end, end))
        if inside.end - inside.start > (0 if inside == span else _SLIVER):
            clipped.append(inside)
    return clipped
