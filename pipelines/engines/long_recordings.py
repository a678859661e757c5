"""A long recording in parts of bounded length, cut where it is quiet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipelines.documents import SAMPLE_RATE

if TYPE_CHECKING:
    from pipelines.engines.diarisers import Recording

_AROUND_SECONDS = 20.0
"""How far from an even cut a pause is looked for."""
_PAUSE_SECONDS = 0.5
_STEP = SAMPLE_RATE // 20


def parts_of(recording: Recording, longest: float) -> list[tuple[float, float]]:
    """Start and end of each part, in seconds: all about as long, none much longer than ``longest``.

    Cuts move to the quietest moment near them, so that no word and few turns are cut in two.
    """
    duration = recording.duration
    count = max(1, math.ceil(duration / longest))
    around = min(_AROUND_SECONDS, duration / count / 4)
    cuts = [_quietest(recording, duration * number / count, around) for number in range(1, count)]
    return list(zip([0.0, *cuts], [*cuts, duration], strict=True))


def _quietest(recording: Recording, middle: float, around: float) -> float:
    import numpy as np

    audio = recording.read(middle - around, middle + around)
    blocks = audio[: len(audio) // _STEP * _STEP].reshape(-1, _STEP)
    width = round(_PAUSE_SECONDS * SAMPLE_RATE / _STEP)
    if len(blocks) < width:
        return middle
    loudness = np.convolve((blocks.astype(np.float64) ** 2).mean(axis=1), np.ones(width), mode="valid")
    # Of equally quiet moments the one nearest to where the cut would be evenly.
    quiet = np.flatnonzero(loudness <= loudness.min() * 1.01)
    starts = middle - around + (quiet + width / 2) * _STEP / SAMPLE_RATE
    return round(float(starts[np.abs(starts - middle).argmin()]), 3)
