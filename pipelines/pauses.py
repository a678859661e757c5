"""The best place to cut a recording: pure, over the probabilities of speech, one for every window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Probabilities = Sequence[float] | NDArray[np.float32]

WINDOW_SECONDS = 0.032
"""What one probability stands for: 512 samples at 16 kHz."""
SILENCE = 0.35
"""Nobody speaks where the probability is lower."""

_SHORTEST_PAUSE = 0.096
"""Shorter dips happen inside words, before a plosive."""
_LONG_PAUSE = 5.0
"""As good as any longer one: an overlap of usual length has no word in it."""
_LOCAL = 3
"""Windows on both sides over which the probability is averaged where there is no pause."""


@dataclass(frozen=True)
class Cut:
    """A place to cut."""

    at: float
    pause: float
    """Length of the silence around it; 0: in the midst of speech, where the probability is lowest."""


class Pauses:
    """Finds the best place to cut in a stretch of a recording."""

    def __init__(self, probabilities: Probabilities) -> None:
        import numpy as np

        known = np.asarray(probabilities, dtype=np.float32)
        self._around = _means_around(known)
        self._starts, self._ends = runs(known < SILENCE)
        long_enough = (self._ends - self._starts) * WINDOW_SECONDS > _SHORTEST_PAUSE - 1e-6
        self._starts, self._ends = self._starts[long_enough], self._ends[long_enough]

    def best(self, low: float, high: float, target: float) -> Cut:
        """The longest pause in [low, high] that is not too far from ``target``, else the quietest moment there."""
        import numpy as np

        reach = max(target - low, high - target, WINDOW_SECONDS)
        first = int(np.searchsorted(self._ends * WINDOW_SECONDS, low, side="right"))
        last = int(np.searchsorted(self._starts * WINDOW_SECONDS, high, side="left"))
        if first < last:
            starts, ends = self._starts[first:last] * WINDOW_SECONDS, self._ends[first:last] * WINDOW_SECONDS
            margin = np.minimum((ends - starts) / 2, _LONG_PAUSE / 2)
            places = np.clip(np.clip(target, starts + margin, ends - margin), low, high)
            inside = np.minimum(places - starts, ends - places)
            score = np.minimum(2 * inside, _LONG_PAUSE) * (1 - np.abs(places - target) / reach / 2)
            best = int(np.argmax(score))
            if score[best] > 0:
                return Cut(at=to_millisecond(places[best]), pause=float(2 * inside[best]))
        return self._quietest(low, high, target, reach)

    def _quietest(self, low: float, high: float, target: float, reach: float) -> Cut:
        """The boundary between two windows around which the probability is lowest on average."""
        import numpy as np

        most = len(self._around) - 1
        begin = min(max(math.ceil(low / WINDOW_SECONDS), 0), most)
        end = max(begin, min(math.floor(high / WINDOW_SECONDS), most))
        places = np.arange(begin, end + 1) * WINDOW_SECONDS
        score = self._around[begin : end + 1] + 0.1 * np.abs(places - target) / reach
        return Cut(at=to_millisecond(min(max(places[int(np.argmin(score))], low), high)), pause=0.0)


def _means_around(known: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean probability around each boundary of windows, the recording's start and end included."""
    import numpy as np

    boundaries = len(known) + 1
    at = np.arange(boundaries, dtype=np.int32)
    padded = np.pad(known, _LOCAL)
    total = np.zeros(boundaries, np.float32)
    for offset in range(2 * _LOCAL):
        total += padded[offset : offset + boundaries]
    there = np.minimum(at + _LOCAL, len(known)) - np.maximum(at - _LOCAL, 0)
    means: NDArray[np.float32] = total / np.maximum(there, 1).astype(np.float32)
    return means


def runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one-past-last index of each run of True."""
    import numpy as np

    edges = np.diff(np.pad(mask, 1).view(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def to_millisecond(seconds: Any) -> float:
    """Without the dust of binary fractions; every cut lies on half a window or a padding, so this loses nothing."""
    return round(float(seconds), 3)
