"""Hand-written sentences and where a subtitler would cut them."""

from dataclasses import replace
from itertools import pairwise

import pytest
from transcripts import cues, say, segment, transcript

from pipelines.documents import Segment, Word
from pipelines.formats.cues import Cue
from pipelines.formats.style import PRESETS, Style
from pipelines.formats.text import columns
from pipelines.formats.timing import schedule

STYLE = Style()


def lines(*texts: str, style: Style = STYLE, language: str = "en") -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(say(*texts, language=language), style)]


def word(text: str, start: float, end: float) -> Word:
    return Word(start=start, end=end, word=text, probability=1.0)


def spoken(*words: Word, text: str | None = None, speaker: str | None = None) -> Segment:
    return Segment(
        id=0,
        start=words[0].start,
        end=words[-1].end,
        text="".join(w.word for w in words).strip() if text is None else text,
        speaker=speaker,
        avg_logprob=0.0,
        no_speech_prob=0.0,
        words=list(words),
    )


def test_what_fits_on_one_line_stays_on_one_line() -> None:
    assert lines("We stood there for hours and hours.") == [("We stood there for hours and hours.",)]


def test_breaks_after_the_comma() -> None:
    assert lines("When I was young, my father took me to the harbour.") == [
        ("When I was young,", "my father took me to the harbour.")
    ]


def test_breaks_before_the_conjunction() -> None:
    assert lines("The boat had left the harbour because the storm was over.") == [
        ("The boat had left the harbour", "because the storm was over.")
    ]


def test_breaks_before_the_preposition() -> None:
    assert lines("She published a very long report about the investigation") == [
        ("She published a very long report", "about the investigation")
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Nobody could have guessed what the old lighthouse keeper kept hidden in a wooden box under the stairs"),
        ("de", "Niemand hätte gedacht dass der alte Wärter in einer kleinen Kiste unter der Treppe ein Vermögen hatte"),
        ("es", "Nadie habría imaginado que el viejo farero tenía una fortuna en la caja de madera bajo la escalera"),
        ("fr", "Personne ne pensait que le vieux gardien avait caché une fortune dans la petite boîte sous le lit"),
    ],
)
def test_no_line_ends_with_an_article_or_a_preposition(language: str, text: str) -> None:
    stranded = "the a an in of under der die das ein einer unter dass el la de en que bajo le une dans sous ne"
    for width in (24, 28, 32, 37, 42):
        for cue in lines(text, style=Style(max_line_width=width), language=language):
            for line in cue:
                assert line.split()[-1] not in stranded.split(), (width, cue)


def test_a_title_stays_with_its_name() -> None:
    for width in range(20, 43):
        for cue in lines("In the end we went to see Dr. Miller about the matter.", style=Style(max_line_width=width)):
            assert not any(line.endswith("Dr.") for line in cue)


def test_lines_are_balanced_rather_than_filled() -> None:
    (cue,) = lines("elephants crocodiles buffaloes antelopes flamingos")
    assert len(cue) == 2
    assert abs(len(cue[0]) - len(cue[1])) <= 11


def test_no_lone_word_is_left_for_a_cue_of_its_own() -> None:
    assert lines("Elephants walked through the town, Peter.", style=Style(max_line_width=34, max_lines=1)) == [
        ("Elephants walked",),
        ("through the town, Peter.",),
    ]


def test_a_new_cue_begins_with_the_sentence() -> None:
    assert lines(
        "My father took me to the harbour to watch the ships come in. We stood there for hours in the cold wind."
    ) == [
        ("My father took me to the harbour", "to watch the ships come in."),
        ("We stood there for hours in the cold wind.",),
    ]


def test_short_sentences_share_a_cue_but_not_across_a_pause() -> None:
    assert lines("Yes. No. Absolutely not.") == [("Yes. No. Absolutely not.",)]
    assert lines("Yes, I do. (1.5) I think we should leave now.") == [
        ("Yes, I do.",),
        ("I think we should leave now.",),
    ]


def test_a_pause_decides_where_there_is_no_punctuation() -> None:
    text = "red green blue black white brown pink (0.8) gold grey teal cyan lime navy plum rust sand rose ruby jade"
    assert lines(text)[0][-1].endswith("pink")


def test_never_through_a_long_silence() -> None:
    found = cues(say("She opened the (2.1) door."), STYLE)
    assert [cue.lines for cue in found] == [("She opened the",), ("door.",)]
    assert len(cues(say("She opened the (1.9) door."), Style(max_cue_seconds=9))) <= 2


def test_a_word_stretched_over_a_silence_does_not_bridge_it() -> None:
    t = transcript(spoken(word(" Hello", 1.0, 1.4), word(" there", 1.4, 32.0), word(" Bob.", 32.0, 32.4)))
    first, second = cues(t, STYLE)
    assert (first.lines, second.lines) == (("Hello there",), ("Bob.",))
    assert first.end_ms < 4_000
    assert second.start_ms == 32_000


def test_the_first_word_of_a_segment_is_stretched_backwards() -> None:
    t = transcript(spoken(word(" Hello", 1.0, 31.4), word(" there.", 31.4, 32.0)))
    (cue,) = cues(t, STYLE)
    assert 29_500 <= cue.start_ms <= 31_000


def test_speakers_never_share_a_cue() -> None:
    t = transcript(segment("Are you there?", speaker="A"), segment("Yes.", at=1.0, speaker="B"), names={"A": "Ada"})
    assert [(c.lines, c.speaker) for c in cues(t, STYLE)] == [(("Are you there?",), "Ada"), (("Yes.",), "B")]


def test_speakers_may_change_inside_a_segment() -> None:
    words = [
        replace(word(" Ready?", 0.0, 1.0), speaker="A"),
        replace(word(" Yes.", 1.0, 2.0), speaker="B"),
    ]
    assert [c.speaker for c in cues(transcript(spoken(*words, speaker="A")), STYLE)] == ["A", "B"]


def test_a_label_takes_its_room_on_the_line() -> None:
    t = transcript(segment("This line alone is forty columns wide ok.", speaker="A"), names={"A": "Professor Lovelace"})
    (cue,) = cues(t, STYLE, label=True)
    assert cue.lines[0].startswith("Professor Lovelace: This")
    assert all(len(line) <= 42 for line in cue.lines)


def test_a_label_comes_only_where_the_speaker_changes() -> None:
    said = [segment("One.", at=n * 5.0, speaker=s) for n, s in enumerate(["A", "A", "B", None, "B"])]
    assert [c.lines[0] for c in cues(transcript(*said), STYLE, label=True)] == [
        "A: One.",
        "One.",
        "B: One.",
        "One.",
        "B: One.",
    ]


def test_a_short_cue_stays_until_it_can_be_read() -> None:
    t = transcript(spoken(word(" Yes.", 1.0, 1.1)), duration=10)
    (cue,) = cues(t, STYLE)
    assert (cue.start_ms, cue.end_ms) == (1_000, 1_830)
    fast = transcript(spoken(word(" Incomprehensibilities", 1.0, 1.2)), duration=10)
    assert cues(fast, STYLE)[0].end_ms == 1_000 + 21 * 1000 // 20


def test_a_short_cue_at_the_very_end_comes_earlier() -> None:
    (cue,) = cues(transcript(spoken(word(" Yes.", 9.6, 10.0)), duration=10), STYLE)
    assert (cue.start_ms, cue.end_ms) == (9_200, 10_000)


def test_a_gap_too_small_to_see_is_closed_to_the_least_gap() -> None:
    t = transcript(
        segment("A first sentence that is quite long, really.", at=0),
        segment("Somebody else speaks now, for a while.", at=3.2, speaker="B"),
    )
    first, second = cues(t, STYLE)
    assert second.start_ms == 3_200
    assert second.start_ms - first.end_ms == 83


def test_contiguous_speech_keeps_the_gap() -> None:
    found = cues(
        say(*["Then it went on without so much as a breath between the words, which is hard to read."] * 5), STYLE
    )
    assert len(found) >= 5
    assert {b.start_ms - a.end_ms for a, b in pairwise(found)} == {83}


def test_no_cue_is_longer_than_allowed() -> None:
    slow = cues(say("one (1.5) two (1.5) three (1.5) four (1.5) five (1.5) six"), Style(max_cue_seconds=3))
    assert all(cue.end_ms - cue.start_ms <= 3_000 for cue in slow)
    assert " ".join(line for cue in slow for line in cue.lines) == "one two three four five six"


def test_words_with_one_time_are_spread_over_what_room_there_is() -> None:
    t = transcript(spoken(*[word(f" word{n:03}", 5.0, 5.0) for n in range(200)]), duration=60)
    found = cues(t, STYLE)
    assert all(cue.end_ms - cue.start_ms >= 150 for cue in found)
    assert " ".join(line for cue in found for line in cue.lines).split() == [f"word{n:03}" for n in range(200)]


def test_a_segment_without_words_is_timed_by_its_width() -> None:
    text = "My father took me to the harbour to watch the ships come in. We stood there for hours in the cold wind."
    _, second = cues(transcript(segment(text, words=False)), STYLE)
    assert second.lines == ("We stood there for hours in the cold wind.",)
    true = cues(transcript(segment(text)), STYLE)[1].start_ms
    assert abs(second.start_ms - true) < 300


def test_words_that_do_not_agree_with_the_text_are_not_believed() -> None:
    t = transcript(spoken(word(" Helo", 0, 1), text="Hello, corrected."))
    assert [cue.lines for cue in cues(t, STYLE)] == [("Hello, corrected.",)]


def test_a_word_wider_than_a_line_is_cut_after_a_slash() -> None:
    (cue,) = lines("https://example.org/a/very/long/path/that/goes/on/and/on")
    assert all(len(line) <= 42 for line in cue)
    assert cue[0].endswith("/")
    assert "".join(cue) == "https://example.org/a/very/long/path/that/goes/on/and/on"


def test_wide_characters_count_twice_and_punctuation_begins_no_line() -> None:
    text = (
        "私は昨日、友達と一緒に新しいレストランへ行きました。とても美味しかったですが、値段が少し高かったと思います。"
    )
    for width in range(10, 43):
        found = cues(transcript(segment(text, pace=6, words=False), language="ja"), Style(max_line_width=width))
        written = [line for cue in found for line in cue.lines]
        assert "".join(written) == text
        assert all(columns(line) <= width for line in written)
        assert not any(line[0] in "、。っょ" for line in written), width


def test_japanese_breaks_where_a_phrase_begins() -> None:
    t = transcript(segment("私は昨日、友達と一緒に新しいレストランへ行きました。", pace=6, words=False), language="ja")
    assert cues(t, PRESETS["cjk"])[0].lines == ("私は昨日、友達と一緒に", "新しいレストランへ行きました。")


def test_chinese_words_as_whisper_gives_them() -> None:
    parts = ["今天", "天气", "很", "好，", "我们", "一起", "去", "公园", "散步", "吧。"]
    words = [word(part, n * 0.3, n * 0.3 + 0.3) for n, part in enumerate(parts)]
    found = cues(transcript(spoken(*words), language="zh"), Style(max_line_width=24))
    assert [cue.lines for cue in found] == [("今天天气很好，", "我们一起去公园散步吧。")]


def test_emoji_and_combining_marks_are_never_cut() -> None:
    family = "👨‍👩‍👧‍👦"
    found = cues(say(family * 12 + "e\u0301" * 25), Style(max_line_width=10))
    written = [line for cue in found for line in cue.lines]
    assert "".join(written) == family * 12 + "e\u0301" * 25
    assert all(columns(line) <= 10 for line in written)
    assert not any(line[0] in "\u200d\u0301" for line in written)


def test_right_to_left_text_keeps_its_logical_order() -> None:
    text = "في البدء كان الكلام، وكان الناس يجلسون معًا حول النار ليلًا ويستمعون إلى الحكايات."
    assert lines(text, language="ar")[0][0].startswith("في البدء كان الكلام،")
    assert " ".join(line for cue in lines(text, language="ar") for line in cue) == text


def test_parts_of_a_word_stay_together() -> None:
    t = transcript(
        spoken(word(" state", 0, 0.3), word("-of", 0.3, 0.5), word("-the", 0.5, 0.7), word("-art", 0.7, 1.0))
    )
    assert cues(t, Style(max_line_width=16))[0].lines == ("state-of-the-art",)


def test_silence_has_no_cues() -> None:
    assert cues(transcript(duration=5.0), STYLE) == []
    blank = Segment(id=0, start=0, end=1, text="", avg_logprob=0, no_speech_prob=1, words=[word("\u200b ", 0, 1)])
    assert cues(transcript(blank), STYLE) == []


def test_the_same_every_time() -> None:
    t = say("One two three, four five six. Seven eight nine ten eleven twelve, thirteen and fourteen.")
    first: list[Cue] = cues(t, STYLE)
    assert first == cues(t, STYLE)


def test_time_that_only_closed_a_gap_goes_to_a_cue_that_needs_it() -> None:
    # Said until 1.95 s; the next three words from 2.32 s, and right after them the following cue.
    spans = [(0.91, 1.95, 20), (2.32, 2.97, 11), (2.97, 4.0, 17)]
    before, short, _ = schedule(spans, STYLE, 10.0)
    assert short[1] - short[0] == 830
    assert short[0] >= 2320 - 400
    # The one before has the time that it needs, and the gap is closed all the same.
    assert before[1] >= 1950
    assert short[0] - before[1] == 83
