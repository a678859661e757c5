"""The files as other programs read them."""

import html
import json

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import cues, say, segment, transcript

from pipelines.documents import Segment, Transcript, Word
from pipelines.errors import OptionsError
from pipelines.formats import FORMATS, render
from pipelines.formats.srt import timestamp
from pipelines.formats.style import Style

STYLE = Style()
NASTY = [
    "1984", "a --> b", "00:00:01,000 --> 00:00:02,000", "--->", "nul\0in", "cr\r\nlf", "bom\ufeffx", "ls\u2028x",
    "nel\x85x", "R&D &amp;", "1 < 2 > 1", "12\n\n13\n00:00:01,000 --> 00:00:02,000", "WEBVTT", "NOTE x", "STYLE",
    "-", "\x1b[31m", "\x1cx", "\ud800half", "שלום עולם", "👨\u200d👩\u200d👧", "\u200dz", "\u202eevil", "tab\tbed",
    "\x0bx\x0c",
]  # fmt: skip


def single(word: str, *, start: float = 0.0, end: float = 1.0, speaker: str | None = None) -> Segment:
    return Segment(
        id=0,
        start=start,
        end=end,
        text=word.strip(),
        speaker=speaker,
        avg_logprob=0.0,
        no_speech_prob=0.0,
        words=[Word(start=start, end=end, word=f" {word}", probability=1.0)],
    )


def nasty(speaker: str | None = None) -> Transcript:
    return transcript(*[single(word, start=n * 5.0, end=n * 5.0 + 2, speaker=speaker) for n, word in enumerate(NASTY)])


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "00:00:00,000"),
        (59_999, "00:00:59,999"),
        (60_000, "00:01:00,000"),
        (3_600_000, "01:00:00,000"),
        (86_399_999, "23:59:59,999"),
        (86_400_000, "24:00:00,000"),
        (360_000_001, "100:00:00,001"),
    ],
)
def test_times(ms: int, text: str) -> None:
    assert timestamp(ms) == text
    assert timestamp(ms, mark=".") == text.replace(",", ".")


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (59.9996, "00:01:00,000"),
        (3599.9996, "01:00:00,000"),
        (24 * 3600 + 0.0004, "24:00:00,000"),
        (99 * 3600 + 3599.4996, "99:59:59,500"),
        (100 * 3600 + 1.0, "100:00:01,000"),
    ],
)
def test_times_are_rounded_and_hours_grow(start: float, text: str) -> None:
    t = transcript(single("Hello there", start=start, end=start + 1.5))
    lines = render(t, "srt", STYLE).splitlines()
    assert lines[1].split(" --> ")[0] == text
    assert render(t, "vtt", STYLE).splitlines()[2].split(" --> ")[0] == text.replace(",", ".")


def test_srt_to_the_letter() -> None:
    t = transcript(single("Hello.", end=1.5), single("Bye.", start=4, end=5))
    assert render(t, "srt", STYLE) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n00:00:04,000 --> 00:00:05,000\nBye.\n"
    )


def test_vtt_to_the_letter() -> None:
    t = transcript(
        single("R&D <3", end=1.5, speaker="S0"), single("a --> b", start=4, end=6), names={"S0": "Ada & <Bob>\n-->"}
    )
    assert render(t, "vtt", STYLE) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.500\n<v Ada &amp; &lt;Bob&gt; --&gt;>R&amp;D &lt;3\n\n"
        "00:00:04.000 --> 00:00:06.000\na --&gt; b\n"
    )


def test_srt_names_the_speaker_where_it_changes() -> None:
    t = transcript(
        single("Hi.", speaker="S0"), single("Well?", start=6, end=7, speaker="S0"),
        single("No.", start=8, end=9, speaker="S1"), names={"S0": "Ada", "S1": " "},
    )  # fmt: skip
    assert [s.content for s in srt.parse(render(t, "srt", STYLE))] == ["Ada: Hi.", "Well?", "S1: No."]


def test_empty_transcripts_are_empty_files() -> None:
    t = transcript(duration=3.0)
    assert {name: render(t, name, STYLE) for name in ("srt", "vtt", "txt", "tsv")} == {
        "srt": "",
        "vtt": "WEBVTT\n",
        "txt": "",
        "tsv": "start\tend\ttext\n",
    }
    assert len(webvtt.from_string(render(t, "vtt", STYLE)).captions) == 0
    assert Transcript.model_validate_json(render(t, "json", STYLE)) == t


@pytest.mark.parametrize("speaker", [None, "S0"])
def test_nasty_text_stays_a_valid_file(speaker: str | None) -> None:
    t = nasty(speaker)
    written = cues(t, STYLE, label=True)
    assert len(written) == len(NASTY)
    text = render(t, "srt", STYLE)
    text.encode("utf-8")
    parsed = list(srt.parse(text))
    contents = [p.content.replace("\u2060", "") for p in parsed]
    assert contents == ["\n".join(c.lines).replace("-->", "→") for c in written]
    assert [round(p.start.total_seconds() * 1000) for p in parsed] == [c.start_ms for c in written]
    events = pysubs2.SSAFile.from_string(text, format_="srt").events
    assert [(e.start, e.end) for e in events] == [(c.start_ms, c.end_ms) for c in written]
    assert all(e.text for e in events)


@pytest.mark.parametrize("speaker", [None, "S0"])
def test_nasty_text_stays_a_valid_vtt(speaker: str | None) -> None:
    t = nasty(speaker)
    written = cues(t, STYLE)
    text = render(t, "vtt", STYLE)
    text.encode("utf-8")
    captions = webvtt.from_string(text).captions
    assert [html.unescape(c.text) for c in captions] == ["\n".join(c.lines) for c in written]
    assert [c.voice for c in captions] == [speaker] * len(written)
    events = pysubs2.SSAFile.from_string(text, format_="vtt").events
    assert [(e.start, e.end) for e in events] == [(c.start_ms, c.end_ms) for c in written]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20) | st.sampled_from(NASTY), max_size=6), st.sampled_from([None, "S0"]))
def test_any_text_gives_files_that_other_programs_read(words: list[str], speaker: str | None) -> None:
    t = transcript(*[single(word, start=n * 1.0, end=n + 0.8, speaker=speaker) for n, word in enumerate(words)])
    text = render(t, "srt", STYLE)
    assert [p.index for p in srt.parse(text)] == list(range(1, len(cues(t, STYLE, label=True)) + 1))
    assert not any(line == "" for block in text.split("\n\n") for line in block.rstrip("\n").split("\n")) or not text
    assert len(webvtt.from_string(render(t, "vtt", STYLE)).captions) == len(cues(t, STYLE))


def test_tsv_has_whispers_columns() -> None:
    t = transcript(single("One\ttwo\nthree", end=1.2344), single("four", start=2.0006, end=3.0))
    assert render(t, "tsv", STYLE) == "start\tend\ttext\n0\t1234\tOne two three\n2001\t3000\tfour\n"


def test_json_is_the_document_in_plain_letters() -> None:
    t = say("Größe 語 😀 \u2028 \0", names={"S0": "Ada"})
    text = render(t, "json", STYLE)
    assert "Größe 語 😀" in text
    assert Transcript.model_validate_json(text) == t
    assert json.loads(text)["segments"][0]["words"][0]["word"] == " Größe"


def test_txt_has_a_paragraph_for_each_speaker_and_each_pause() -> None:
    t = transcript(
        segment("Good morning. Shall we begin?", speaker="S0"),
        segment("Yes, please.", at=2.2, speaker="S1"),
        segment("I have (3.0) a question.", at=4, speaker="S1"),
        segment("It is about the budget.", at=12, speaker="S1"),
        names={"S0": "Ada", "S1": "Bob"},
    )
    assert render(t, "txt", STYLE) == (
        "Ada: Good morning. Shall we begin?\n\nBob: Yes, please. I have a question.\n\nIt is about the budget.\n"
    )


def test_txt_divides_a_long_monologue_at_a_sentence() -> None:
    text = render(say(*["We stood there for hours in the cold wind."] * 60), "txt", STYLE)
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == 4
    assert all(p.strip().endswith("wind.") for p in paragraphs)


def test_formats_are_found_and_typed() -> None:
    assert {name: (f.media_type, f.extension, f.subtitle) for name, f in FORMATS.items()} == {
        "json": ("application/json", "json", False),
        "srt": ("application/x-subrip", "srt", True),
        "tsv": ("text/tab-separated-values", "tsv", False),
        "txt": ("text/plain", "txt", False),
        "vtt": ("text/vtt", "vtt", True),
    }


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(OptionsError, match=r"'docx'.*json, srt, tsv, txt, vtt") as caught:
        render(transcript(), "docx", STYLE)
    assert caught.value.code == "invalid_option"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_rendering_twice_gives_the_same(name: str) -> None:
    t = say("One two three, four five six. Seven eight nine ten eleven twelve, thirteen and fourteen.")
    assert render(t, name, STYLE) == render(t, name, STYLE)
