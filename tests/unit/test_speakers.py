"""Words and turns put together: values in, values out."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents import Segment, Turn, Word
from pipelines.speakers import NEAREST_SECONDS, Assigner, Spoken


def turns(*found: tuple[float, float, str]) -> list[Turn]:
    return [Turn(start=start, end=end, speaker=speaker) for start, end, speaker in found]


def words(text: str, *, start: float = 0.0, each: float = 0.5) -> list[Word]:
    """The words of a text, one after the other, each as long as the next."""
    return [
        Word(start=start + n * each, end=start + (n + 1) * each, word=f" {word}", probability=0.9)
        for n, word in enumerate(text.split())
    ]


def segment(text: str, *, start: float = 0.0, each: float = 0.5, number: int = 0) -> Segment:
    said = words(text, start=start, each=each)
    return Segment(
        id=number, start=said[0].start, end=said[-1].end, text=text, avg_logprob=-0.1, no_speech_prob=0.1, words=said
    )


def heard(*segments: Segment, by: list[Turn], names: dict[str, str] | None = None) -> list[tuple[str | None, str]]:
    return [(found.speaker, found.text) for found in Spoken(segments, by, names or {})]


def test_each_word_is_whose_turn_it_falls_into_and_segments_are_cut_where_another_goes_on() -> None:
    by = turns((0, 1.5, "b"), (1.5, 3.0, "a"))
    assert heard(segment("one two three four five six"), by=by) == [
        ("SPEAKER_00", "one two three"),
        ("SPEAKER_01", "four five six"),
    ]


def test_pieces_keep_their_words_and_times_and_are_numbered_anew() -> None:
    long = segment("one two three four").model_copy(update={"start": -0.0, "end": 2.4})
    spoken = Spoken([long, segment("five six", start=3, number=1)], turns((0, 1, "a"), (1, 2, "b"), (3, 4, "a")), {})
    found = list(spoken)
    assert [(one.id, one.start, one.end) for one in found] == [(0, 0.0, 1.0), (1, 1.0, 2.4), (2, 3.0, 4.0)]
    assert [[word.speaker for word in one.words] for one in found] == [
        ["SPEAKER_00"] * 2, ["SPEAKER_01"] * 2, ["SPEAKER_00"] * 2,
    ]  # fmt: skip
    assert [(one.id, one.seconds) for one in spoken.speakers()] == [("SPEAKER_00", 2.0), ("SPEAKER_01", 1.0)]


def test_a_word_in_two_turns_is_whose_it_is_more() -> None:
    by = turns((0, 1.3, "a"), (1.3, 9, "b"))
    assert heard(segment("one two three four five"), by=by) == [
        ("SPEAKER_00", "one two three"),
        ("SPEAKER_01", "four five"),
    ]


def test_of_equal_shares_the_later_turn_has_the_word() -> None:
    assert Assigner(turns((0, 1, "a"), (1, 2, "b"))).turn(0.5, 1.5) == turns((1, 2, "b"))[0]


@pytest.mark.parametrize(
    ("at", "whose"),
    [(1.1, "a"), (5.9, "b"), (1.0 + NEAREST_SECONDS, "a"), (9.9, "b"), (3.5, None), (10.1, None)],
    ids=["just after", "just before", "at the edge of reach", "after the last", "too far from both", "long after"],
)
def test_a_word_that_no_turn_covers_is_the_nearest_ones(at: float, whose: str | None) -> None:
    found = Assigner(turns((0, 1, "a"), (6, 8, "b"))).turn(at, at)
    assert (found.speaker if found else None) == whose


def test_a_lone_word_between_anothers_is_given_to_them() -> None:
    by = turns((0, 1, "a"), (1, 1.5, "b"), (1.5, 3, "a"))
    assert heard(segment("one two three four five six"), by=by) == [("SPEAKER_00", "one two three four five six")]


def test_two_words_are_no_island() -> None:
    by = turns((0, 1, "a"), (1, 2, "b"), (2, 3, "a"))
    assert [text for _, text in heard(segment("one two three four five six"), by=by)] == [
        "one two",
        "three four",
        "five six",
    ]


def test_a_lone_word_between_two_others_goes_to_the_nearer() -> None:
    said = segment("one two three four five")
    late = [*said.words[:2], *(Word(w.start + 0.2, w.end + 0.2, w.word, 0.9) for w in said.words[2:])]
    by = turns((0, 1.1, "a"), (1.15, 1.75, "b"), (1.75, 9, "c"))
    found = heard(said.model_copy(update={"words": late}), by=by)
    assert found == [("SPEAKER_00", "one two"), ("SPEAKER_01", "three four five")]


def test_lone_words_of_two_people_go_to_who_speaks_around_them() -> None:
    by = turns((0, 1, "a"), (1, 1.5, "b"), (1.5, 2, "c"), (2, 3, "a"))
    assert heard(segment("one two three four five six"), by=by) == [("SPEAKER_00", "one two three four five six")]


def test_what_is_one_word_in_writing_is_one_persons() -> None:
    said = segment("It is well known indeed so")
    parts = [replace(word, word="-known") if word.word == " known" else word for word in said.words]
    said = said.model_copy(update={"words": parts, "text": "It is well-known indeed so"})
    found = heard(said, by=turns((0, 1.5, "a"), (1.5, 9, "b")))
    assert found == [("SPEAKER_00", "It is well-known"), ("SPEAKER_01", "indeed so")]
    chinese = said.model_copy(update={"language": "zh"})
    assert heard(chinese, by=turns((0, 1.5, "a"), (1.5, 9, "b")))[1][1].startswith("-known"), "every word is so there"


def test_a_text_that_is_not_that_of_its_words_is_not_cut() -> None:
    said = segment("one two three four").model_copy(update={"text": "One, two; three, four."})
    spoken = Spoken([said], turns((0, 0.9, "a"), (0.9, 2, "b")), {})
    (found,) = spoken
    assert (found.text, found.speaker) == ("One, two; three, four.", "SPEAKER_00")
    assert {word.speaker for word in found.words} == {"SPEAKER_00"} and len(found.words) == 4


@pytest.mark.parametrize("edge", [2.5, 3.0, 3.5, 4.0])
def test_people_change_between_sentences_where_nobody_pauses(edge: float) -> None:
    by = turns((0, edge - 0.5, "a"), (edge - 0.5, 9, "b"))
    found = heard(segment("See you again this morning. The temperature is low"), by=by)
    assert found == [("SPEAKER_00", "See you again this morning."), ("SPEAKER_01", "The temperature is low")]


def test_who_is_far_from_the_end_of_a_sentence_breaks_in() -> None:
    by = turns((0, 1, "a"), (1, 9, "b"))
    found = heard(segment("See you again this fine morning. The end"), by=by)
    assert found == [("SPEAKER_00", "See you"), ("SPEAKER_01", "again this fine morning. The end")]


def test_an_answer_that_is_all_that_somebody_says_is_not_taken_away() -> None:
    by = turns((0, 1, "a"), (1, 2.0, "b"), (2.0, 4, "a"))
    found = heard(segment("Ready now of course. Then we go"), by=by)
    assert found == [("SPEAKER_00", "Ready now"), ("SPEAKER_01", "of course."), ("SPEAKER_00", "Then we go")]


def test_where_somebody_pauses_another_may_begin_in_the_middle() -> None:
    said = segment("See you this morning. The end")
    late = [*said.words[:2], *(replace(w, start=w.start + 0.4, end=w.end + 0.4) for w in said.words[2:])]
    found = heard(said.model_copy(update={"words": late}), by=turns((0, 1.2, "a"), (1.2, 9, "b")))
    assert found == [("SPEAKER_00", "See you"), ("SPEAKER_01", "this morning. The end")]


def test_an_answer_of_one_word_in_a_turn_of_its_own_stands() -> None:
    by = turns((0, 1, "a"), (1, 1.6, "b"), (1.6, 3, "a"))
    assert heard(segment("Ready now? Yes. Then we go"), by=by) == [
        ("SPEAKER_00", "Ready now?"), ("SPEAKER_01", "Yes."), ("SPEAKER_00", "Then we go"),
    ]  # fmt: skip


def test_the_same_answer_without_a_turn_of_its_own_does_not() -> None:
    by = turns((0, 1.1, "a"), (1.1, 1.5, "b"), (1.5, 3, "a"))
    assert heard(segment("Ready now? Yes. Then we go"), by=by) == [("SPEAKER_00", "Ready now? Yes. Then we go")]


def test_speakers_are_numbered_by_their_first_words_and_those_without_any_are_left_out() -> None:
    spoken = Spoken(
        [segment("one two", start=10), segment("three four", start=20)],
        turns((0, 2, "x"), (10, 11, "z"), (20, 21, "y")),
        {"y": "Ada"},
    )
    assert [found.speaker for found in spoken] == ["SPEAKER_00", "SPEAKER_01"]
    assert [(one.id, one.name) for one in spoken.speakers()] == [("SPEAKER_00", "SPEAKER_00"), ("SPEAKER_01", "Ada")]


def test_a_segment_without_words_is_whose_most_of_it_is() -> None:
    said = segment("one two three").model_copy(update={"words": []})
    assert heard(said, by=turns((0, 0.4, "a"), (0.4, 1.5, "b"))) == [("SPEAKER_00", "one two three")]


def test_without_turns_nothing_changes() -> None:
    said = segment("one two three")
    spoken = Spoken([said], [], {})
    assert list(spoken) == [said]
    assert spoken.speakers() == []


_times = st.lists(st.integers(0, 400), min_size=2, max_size=40, unique=True).map(sorted)


@given(_times, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 12)), max_size=40), st.data())
def test_the_sweep_finds_what_comparing_everything_finds(
    edges: list[int], said: list[tuple[int, int]], data: st.DataObject
) -> None:
    by = [
        Turn(start=start / 10, end=end / 10, speaker=data.draw(st.sampled_from("abc")))
        for start, end in pairwise(edges)
        if data.draw(st.booleans())
    ]
    assigner = Assigner(by)
    for start, length in sorted(said):
        a, b = start / 10, (start + length) / 10
        found = assigner.turn(a, b)
        shares = [max(0.0, min(b, turn.end) - max(a, turn.start)) for turn in by]
        if any(share > 0 for share in shares):
            assert found is not None
            assert min(b, found.end) - max(a, found.start) == pytest.approx(max(shares))
        elif a != b:
            gaps = [max(turn.start - b, a - turn.end) for turn in by]
            near = min(gaps, default=99.0)
            if near > NEAREST_SECONDS + 1e-9:
                assert found is None
            elif near < NEAREST_SECONDS - 1e-9:
                assert found is not None
                assert max(found.start - b, a - found.end) == pytest.approx(near)


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=30),
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.floats(0.1, 3.0),
)
def test_no_word_is_lost_doubled_or_moved(order: list[str], sizes: list[int], length: float) -> None:
    by = [Turn(start=n * length, end=(n + 1) * length, speaker=one) for n, one in enumerate(order)]
    segments, start = [], 0.0
    for number, size in enumerate(sizes):
        segments.append(segment(" ".join(f"w{number}.{n}" for n in range(size)), start=start, number=number))
        start = segments[-1].end + 0.3
    spoken = Spoken(segments, by, {})
    found = list(spoken)
    said = [word.word for one in found for word in one.words]
    assert said == [word.word for one in segments for word in one.words]
    assert [one.id for one in found] == list(range(len(found)))
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(found))
    assert all({word.speaker for word in one.words} == {one.speaker} for one in found)
    labels = [one.speaker for one in found if one.speaker]
    assert list(dict.fromkeys(labels)) == [f"SPEAKER_{n:02d}" for n in range(len(set(labels)))]
    assert [one.id for one in spoken.speakers()] == list(dict.fromkeys(labels))
