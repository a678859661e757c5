import itertools

import numpy as np
import pytest

from pipelines.documents import SAMPLE_RATE
from pipelines.engines.long_recordings import parts_of


class Hum:
    """Loud all the time but for pauses of a second."""

    def __init__(self, duration: float, pauses: tuple[float, ...] = ()) -> None:
        self.duration, self._pauses = duration, pauses
        self.longest = 0.0

    def read(self, start: float = 0.0, end: float | None = None) -> np.ndarray:
        end = self.duration if end is None else end
        self.longest = max(self.longest, end - start)
        audio = np.full(round((end - start) * SAMPLE_RATE), 0.5, np.float32)
        for pause in self._pauses:
            audio[max(0, round((pause - start) * SAMPLE_RATE)) : max(0, round((pause + 1 - start) * SAMPLE_RATE))] = 0
        return audio


def test_what_is_short_is_one_part() -> None:
    for duration in (0.0, 0.01, 1500.0):
        assert parts_of(Hum(duration), 1500) == [(0.0, duration)]


@pytest.mark.parametrize("hours", [0.42, 1, 4, 10])
def test_parts_are_about_as_long_and_together_everything(hours: float) -> None:
    recording = Hum(hours * 3600)
    parts = parts_of(recording, 1500)
    assert parts[0][0] == 0 and parts[-1][1] == recording.duration
    assert all(one[1] == two[0] for one, two in itertools.pairwise(parts))
    assert max(end - start for start, end in parts) < 1500 + 41
    assert min(end - start for start, end in parts) > 700
    assert recording.longest < 60, "only what is around a cut is read"


def test_a_cut_is_made_in_a_pause() -> None:
    recording = Hum(200, pauses=(88.0, 118.5))
    [(_, cut), _] = parts_of(recording, 150)
    assert 88 < cut < 89, "in the pause that is nearer"
    assert parts_of(Hum(200, pauses=(70.0,)), 150)[0][1] == pytest.approx(100, abs=1), "not so far away"


def test_very_short_parts_are_cut_all_the_same() -> None:
    parts = parts_of(Hum(5), 0.3)
    assert len(parts) == 17 and all(start < end for start, end in parts)
