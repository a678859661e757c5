"""People who speak at the same time, each in a channel of their own."""

import random
from itertools import pairwise

import srt
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import cues, segment, transcript

from pipelines.documents import Segment, Transcript
from pipelines.formats import render
from pipelines.formats.style import Style

STYLE = Style()
LONG = "When I was young, my father took me to the harbour to watch the ships come in, and we stood there for hours."


def shown(t: Transcript, *, label: bool = False) -> list[tuple[str | None, str]]:
    return [(cue.speaker, " ".join(cue.lines)) for cue in cues(t, STYLE, label=label)]


def test_a_word_in_between_stands_when_it_is_said() -> None:
    t = transcript(segment(LONG, speaker="A"), segment("Really?", at=4.0, speaker="B"))
    found = cues(t, STYLE)
    (word,) = [cue for cue in found if cue.speaker == "B"]
    assert (word.lines, word.start_ms) == (("Really?",), 4000)
    assert word.end_ms - word.start_ms >= 830
    own = [cue for cue in found if cue.speaker == "A"]
    assert " ".join(" ".join(cue.lines) for cue in own) == LONG, "nothing is torn out of the sentence"
    assert [cue.start_ms for cue in found] == sorted(cue.start_ms for cue in found)
    assert any(cue.start_ms < 4000 < cue.end_ms for cue in own), "the sentence stays where it is"
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(own))


def test_names_stand_where_the_reader_needs_them() -> None:
    t = transcript(segment(LONG, speaker="A"), segment("Really?", at=2.5, speaker="B"), names={"A": "Ada", "B": "Bob"})
    found = shown(t, label=True)
    assert [speaker for speaker, _ in found].count("Bob") == 1
    for (before, _), (speaker, text) in pairwise([(None, ""), *found]):
        assert text.startswith(f"{speaker}: ") == (speaker != before)


def test_turns_that_hardly_overlap_do_not_on_the_screen() -> None:
    one = segment("I have been waiting for you since this morning.", speaker="A")
    t = transcript(one, segment("I know, and I am very sorry about it.", at=one.end - 0.3, speaker="B"))
    first, second = cues(t, STYLE)
    assert first.end_ms <= second.start_ms
    assert second.start_ms == round((one.end - 0.3) * 1000)


def test_both_at_the_same_time_are_both_readable() -> None:
    t = transcript(
        segment("I have been waiting for you since this morning.", speaker="A"),
        segment("It was not my fault that the train was late.", speaker="B"),
    )
    first, second = cues(t, STYLE)
    assert {first.speaker, second.speaker} == {"A", "B"}
    assert min(first.end_ms, second.end_ms) > 2500
    contents = [one.content.replace("\n", " ") for one in srt.parse(render(t, "srt", STYLE))]
    assert contents == [
        "A: I have been waiting for you since this morning.",
        "B: It was not my fault that the train was late.",
    ]


def test_texts_have_a_paragraph_for_each() -> None:
    t = transcript(segment(LONG, speaker="A"), segment("Really?", at=4.0, speaker="B"))
    assert render(t, "txt", STYLE) == f"A: {LONG}\n\nB: Really?\n"


@st.composite
def channels(draw: st.DrawFn) -> Transcript:
    rng = random.Random(draw(st.integers(0, 2**32)))
    found: list[Segment] = []
    for speaker in "ABC"[: rng.randint(1, 3)]:
        at = rng.uniform(0, 5)
        for number in range(rng.randint(0, 8)):
            text = " ".join(
                f"{speaker}{number}{n}{rng.choice(['', 'xxxxx', '.', ','])}" for n in range(rng.randint(1, 20))
            )
            found.append(segment(text, at=at, speaker=speaker, words=rng.random() < 0.9))
            at = found[-1].end + rng.choice([0.0, 0.2, 1.0, 4.0])
    return transcript(*sorted(found, key=lambda one: one.start))


@settings(max_examples=150, deadline=None)
@given(channels(), st.booleans())
def test_whatever_is_said_at_once_stands_once_in_its_own_order(t: Transcript, label: bool) -> None:
    found = cues(t, STYLE, label=label)
    for speaker in "ABC":
        own = [cue for cue in found if cue.speaker == speaker]
        written = " ".join(line for cue in own for line in cue.lines).replace(f"{speaker}: ", "")
        assert written.split() == " ".join(one.text for one in t.segments if one.speaker == speaker).split()
        assert all(before.end_ms <= after.start_ms for before, after in pairwise(own))
    assert all(before.start_ms <= after.start_ms for before, after in pairwise(found))
    for cue in found:
        assert 0 <= cue.start_ms < cue.end_ms <= t.duration * 1000 + 0.01
        assert cue.end_ms - cue.start_ms <= STYLE.max_cue_seconds * 1000
        assert len(cue.lines) <= STYLE.max_lines and all(len(line) <= STYLE.max_line_width for line in cue.lines)
