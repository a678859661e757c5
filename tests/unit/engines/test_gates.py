import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engines import gates
from pipelines.engines.gates import Heard, Reason

SENTENCE = "We will meet again on Tuesday at half past three, if nothing comes between."


def heard(text=SENTENCE, *, seconds=5.0, logprob=-0.2, silence=0.05, words=0.9):
    return Heard(text, seconds, logprob, silence, [words] * len(text.split()))


def test_ordinary_speech_passes():
    assert gates.drop_window(heard()) is None
    assert gates.drop_phrase(heard()) is None
    assert not gates.wants_retry(heard())


@pytest.mark.parametrize(
    "real",
    [
        heard("No, no, no, no, no!", seconds=2.0),
        heard("Yes.", seconds=0.15),
        heard("Yes.", seconds=0.0, words=0.3),
        heard(SENTENCE, silence=0.95),  # a quiet voice: the text is probable
        heard(SENTENCE, logprob=-1.2, words=0.4),  # a bad line: nobody says it is silent
        heard("Thank you very much.", seconds=1.0),  # said clearly at the end of a talk
        heard("one two three four five six seven eight nine ten eleven twelve", seconds=4.0),
        heard("请大家明天早上九点到会议室开会", seconds=2.5),
        heard("お手元の資料の三ページをご覧ください", seconds=2.6),
        heard("สวัสดีครับวันนี้เราจะพูดถึงเรื่องงบประมาณ", seconds=3.0),
        heard("The fastest auctioneer in the county talks like this all day", seconds=2.0),
    ],
)
def test_what_people_really_say_passes(real):
    assert gates.drop_window(real) is None
    assert gates.drop_phrase(real) is None


@pytest.mark.parametrize(
    ("invented", "reason"),
    [
        (heard("The", logprob=-5.1, silence=0.999), Reason.SILENCE),
        (heard(logprob=-1.1, silence=0.7), Reason.SILENCE),
        (heard(logprob=-2.0), Reason.GUESSED),
        (heard("and then " * 40, seconds=28.0), Reason.LOOP),
        (heard(" ".join(SENTENCE.split() + list("abcdefghijklmnop")), seconds=0.6), Reason.TOO_FAST),
        (heard("请大家明天早上九点到会议室开会不要迟到谢谢", seconds=0.5), Reason.TOO_FAST),
        (heard("!!!!!!!!!!"), Reason.WORDLESS),
        (heard(" ♪♪ "), Reason.WORDLESS),
        (heard(""), Reason.WORDLESS),
    ],
)
def test_invented_windows_are_dropped(invented, reason):
    assert gates.drop_window(invented) is reason


@pytest.mark.parametrize(
    ("invented", "reason"),
    [
        (heard("Thank you for watching!", silence=0.45), Reason.PHANTOM),
        (heard("ご視聴ありがとうございました。", logprob=-0.8), Reason.PHANTOM),
        (heard("Vielen Dank.", words=0.3), Reason.PHANTOM),
        (heard(words=0.01), Reason.INAUDIBLE),
        (heard(seconds=0.1, words=0.4), Reason.TOO_FAST),
        (heard("..."), Reason.WORDLESS),
    ],
)
def test_invented_phrases_are_dropped(invented, reason):
    assert gates.drop_phrase(invented) is reason


def test_every_phantom_is_spelt_as_it_is_looked_up():
    for phantom in gates.PHANTOMS:
        assert (
            gates.drop_phrase(heard(f" {phantom[0].upper()}{phantom[1:]}! ", seconds=9, silence=0.5)) is Reason.PHANTOM
        ), phantom


def test_only_what_may_get_better_is_tried_again():
    assert gates.wants_retry(heard(logprob=-1.2))
    assert gates.wants_retry(heard("and then " * 40))
    assert not gates.wants_retry(heard(logprob=-1.2, silence=0.9))
    assert not gates.wants_retry(heard("", logprob=-3))


@pytest.mark.parametrize(
    ("words", "copies"),
    [
        ("we went home and then and then and then and then we slept", [range(5, 11)]),
        ("No, no no. NO! no", [range(1, 5)]),
        ("a b c a b c a b c", []),
        ("x y x y x y x y x", [range(2, 8)]),
        ("", []),
    ],
)
def test_loops_keep_the_first_copy(words, copies):
    assert gates.loops(words.split()) == copies


@given(st.lists(st.sampled_from(["la", "ti", "do"]), max_size=60))
def test_without_its_loops_text_has_none_and_keeps_its_words(words):
    gone = {number for copies in gates.loops(words) for number in copies}
    kept = [word for number, word in enumerate(words) if number not in gone]
    assert set(kept) == set(words)
    assert all(words[number] in words[: copies.start] for copies in gates.loops(words) for number in copies)


def test_wide_letters_count_twice():
    assert gates.letters("ab, 3") == 3
    assert gates.letters("会议。") == 4
