"""Which channels are one and the same."""

import numpy as np
import pytest
from numpy.typing import NDArray
from recordings import recording

from pipelines.alikeness import Alikeness

ONE, OTHER = recording(12, seed=5, gap=(1, 3)).audio[:190_000], recording(12, seed=6, gap=(1, 3)).audio[:190_000]
NOISE = np.random.default_rng(1).normal(0, 1, len(ONE)).astype(np.float32)


def copies(*channels: NDArray[np.float32]) -> dict[int, int]:
    heard = Alikeness()
    samples = np.stack([np.asarray(channel, np.float32) for channel in channels])
    for first in range(0, samples.shape[1], 64_000):
        heard.hear(samples[:, first : first + 64_000])
    return heard.copies()


def late_word(volume: float) -> NDArray[np.float32]:
    """Somebody who says one word in a pause of the other."""
    power = (ONE[: len(ONE) // 16_000 * 16_000].reshape(-1, 16_000) ** 2).mean(axis=1)
    at = int(power.argmin()) * 16_000
    word = np.zeros_like(ONE)
    word[at : at + 12_000] = OTHER[16_000:28_000] * volume
    return word


@pytest.mark.parametrize("factor", [1.0, 0.3, -1.0, 0.02])
def test_a_copy_of_any_volume_is_one(factor: float) -> None:
    assert copies(ONE, factor * ONE) == {2: 1}


def test_what_a_converter_adds_makes_no_difference() -> None:
    assert copies(ONE + 0.001 * NOISE, ONE + 0.001 * NOISE[::-1]) == {2: 1}


def test_two_people_are_two() -> None:
    assert copies(ONE, OTHER) == {}
    assert copies(ONE + 0.1 * OTHER, OTHER + 0.1 * ONE) == {}


def test_a_single_word_of_ones_own_is_enough() -> None:
    assert copies(ONE, ONE + late_word(0.2)) == {}
    assert copies(ONE + late_word(0.2), ONE) == {}


def test_who_leans_to_one_side_can_be_told() -> None:
    """Both microphones hear both people, who take turns."""
    left, right = np.concatenate([ONE, 0.5 * OTHER]), np.concatenate([0.5 * ONE, OTHER])
    assert copies(left, right) == {}


def test_silence_is_no_copy() -> None:
    assert copies(ONE, 0 * ONE, 0 * ONE) == {}


def test_of_several_each_is_compared_with_those_that_stay() -> None:
    assert copies(ONE, OTHER, ONE, OTHER, ONE) == {3: 1, 4: 2, 5: 1}


def test_one_channel_or_no_sound_is_nothing_to_compare() -> None:
    assert copies(ONE) == {}
    assert copies(ONE[:0], ONE[:0]) == {}
