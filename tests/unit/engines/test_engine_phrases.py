import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents import Word
from pipelines.engines.phrases import LONG, phrases


def words(text: str, *, each: float = 0.3, gap: float = 0.0) -> list[Word]:
    """Words one after another; ``|`` is a pause of two seconds."""
    at, made = 0.0, []
    for part in text.split():
        if part == "|":
            at += 2.0
            continue
        made.append(Word(start=at, end=at + each, word=" " + part, probability=0.9))
        at += each + gap
    return made


def texts(given_words: list[Word]) -> list[str]:
    return ["".join(word.word for word in phrase).strip() for phrase in phrases(given_words)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("Dr. Smith met J. S. Bach. They ate.", ["Dr. Smith met J. S. Bach.", "They ate."]),
        ("He said e.g. this and 3.5 more.", ["He said e.g. this and 3.5 more."]),
        ("the U.S. is big vs. small", ["the U.S. is big vs. small"]),
        ("“Stop!” he said. No. Why not?", ["“Stop!”", "he said.", "No.", "Why not?"]),
        ("I think | that it is", ["I think", "that it is"]),
        ("你好。 再见。", ["你好。", "再见。"]),
        ("", []),
    ],
)
def test_phrases_end_with_sentences_and_pauses(text, wanted):
    assert texts(words(text)) == wanted


def test_a_long_phrase_is_divided_at_its_pauses_only():
    breathing = phrases(words("one two three " * 30, gap=0.35))
    assert len(breathing) > 1
    assert all(phrase[-1].end - phrase[0].start <= LONG for phrase in breathing)
    assert len(phrases(words("one two three " * 30))) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([" so", " yes.", " Mr.", "，", " 3.", "?!", " a"]), st.floats(0, 3), st.floats(0, 2))
    )
)
def test_no_word_is_lost(parts):
    at, spoken = 0.0, []
    for text, gap, length in parts:
        spoken.append(Word(start=at + gap, end=at + gap + length, word=text, probability=0.5))
        at = spoken[-1].end
    groups = phrases(spoken)
    assert [word for group in groups for word in group] == spoken
    assert all(groups)
