"""Voices of a recording's parts joined to speakers, and turns made readable."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents import Turn
from pipelines.voices import (
    FLICKER_SECONDS,
    join,
    numbered,
    seconds_by_speaker,
    tidy,
    without_tiny,
)


def table(people: str, *, same: float = 0.2, other: float = -0.2) -> list[list[float]]:
    """Likeness of voices whose real speakers are these letters."""
    return [[same if one == two else other for two in people] for one in people]


def turn(start: float, end: float, speaker: str) -> Turn:
    return Turn(start=start, end=end, speaker=speaker)


def test_the_same_person_in_several_parts_is_one_speaker() -> None:
    people, parts = "abbaab", [0, 0, 1, 1, 2, 2]
    assert join(table(people), parts, [10.0] * 6) == [0, 1, 1, 0, 0, 1]


def test_who_was_told_apart_in_a_part_stays_apart_however_alike() -> None:
    likeness = table("abab", same=0.3, other=0.25)
    assert join(likeness, [0, 0, 1, 1], [10.0] * 4) == [0, 1, 0, 1]
    # Unless there are too many: then the most alike are one after all.
    assert join(likeness, [0, 0, 1, 1], [10.0] * 4, at_most=1) == [0, 0, 0, 0]


def test_the_number_of_speakers_is_kept_over_the_whole_recording() -> None:
    people, parts = "abcabc", [0, 0, 0, 1, 1, 1]
    for most in (1, 2, 3):
        assert len(set(join(table(people), parts, [1.0] * 6, at_most=most))) == most
    for least in (3, 4, 6, 9):
        assert len(set(join(table(people), parts, [1.0] * 6, at_least=least))) == min(6, least)


def test_a_voice_that_could_not_be_described_is_nobody_elses() -> None:
    likeness = table("aab")
    likeness[1] = [float("nan")] * 3
    for row in likeness:
        row[1] = float("nan")
    assert join(likeness, [0, 1, 2], [5.0, 0.3, 5.0]) == [0, 1, 2]
    assert len(set(join(likeness, [0, 1, 2], [5.0, 0.3, 5.0], at_most=1))) == 1
    assert join([], [], []) == []
    assert join([[float("nan")]], [0], [1.0]) == [0]


def test_a_group_is_compared_by_all_its_voices_the_longer_the_more() -> None:
    # Two long voices of one person; a third is like the short one of them only.
    likeness = [[0, 0.5, -0.3], [0.5, 0, 0.2], [-0.3, 0.2, 0]]
    assert join(likeness, [0, 1, 2], [100.0, 1.0, 50.0]) == [0, 0, 1]
    assert join(likeness, [0, 1, 2], [1.0, 100.0, 50.0]) == [0, 0, 0]


@given(st.integers(1, 5), st.integers(1, 6), st.randoms(use_true_random=False))
def test_clear_voices_are_found_whoever_speaks_in_which_part(people: int, parts: int, rng: random.Random) -> None:
    voices = [(part, p) for part in range(parts) for p in rng.sample(range(people), rng.randint(1, people))]
    likeness = [
        [rng.uniform(0.1, 0.3) if one == two else rng.uniform(-0.9, -0.3) for _, two in voices] for _, one in voices
    ]
    likeness = [[(likeness[i][j] + likeness[j][i]) / 2 for j in range(len(voices))] for i in range(len(voices))]
    found = join(likeness, [part for part, _ in voices], [rng.uniform(1, 60) for _ in voices])
    speaker_of = dict(zip((p for _, p in voices), found, strict=True))
    assert [speaker_of[p] for _, p in voices] == found
    assert len(set(found)) == len(speaker_of)
    assert sorted(set(found), key=found.index) == list(range(len(set(found)))), "numbered in order"


def test_flicker_goes_and_breath_is_bridged() -> None:
    wavering = [turn(0, 2, "a"), turn(2, 2.1, "b"), turn(2.1, 4, "a"), turn(4.3, 6, "a"), turn(7, 8, "a")]
    assert tidy(wavering) == [turn(0, 6, "a"), turn(7, 8, "a")]
    pieces = [turn(i * 0.25, i * 0.25 + 0.125, "a") for i in range(5)]
    assert tidy(pieces) == [turn(0, 1.125, "a")], "many short pieces are one turn"


turns = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0.01, 5), st.sampled_from("abc")).map(
        lambda t: turn(t[0], t[0] + t[1], t[2])
    ),
    max_size=30,
)


@given(turns)
def test_one_speaker_at_a_time_whatever_comes(found: list[Turn]) -> None:
    tidied = tidy(found)
    assert all(one.end <= two.start for one, two in itertools.pairwise(tidied))
    assert all(t.end - t.start >= FLICKER_SECONDS for t in tidied)
    assert set(seconds_by_speaker(tidied)) <= set(seconds_by_speaker(found))
    assert tidy(tidied) == tidied


def test_who_hardly_speaks_is_nobody_unless_counted_or_alone() -> None:
    heard = [turn(0, 60, "a"), turn(61, 61.6, "b"), turn(62, 100, "c"), turn(101, 103.5, "d")]
    assert set(seconds_by_speaker(without_tiny(heard))) == {"a", "c", "d"}
    assert set(seconds_by_speaker(without_tiny(heard, at_least=4))) == {"a", "b", "c", "d"}
    assert without_tiny([turn(0, 0.3, "a")]) == [turn(0, 0.3, "a")]
    assert without_tiny([]) == []
    short = [turn(0, 3, "a"), turn(3, 3.7, "b")]
    assert without_tiny(short) == short, "in a short recording a word is something"


def test_speakers_are_called_by_who_speaks_first() -> None:
    renamed, names = numbered([turn(0, 1, "x"), turn(1, 2, "a"), turn(2, 3, "x")])
    assert [t.speaker for t in renamed] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert dict(names) == {"x": "SPEAKER_00", "a": "SPEAKER_01"}
