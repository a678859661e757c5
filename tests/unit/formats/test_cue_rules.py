"""Rules that every transcript's cues keep, whatever is in it."""

import time
from itertools import groupby, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import cues, segment, transcript

from pipelines.documents import Segment, Transcript, Word
from pipelines.formats.style import Style
from pipelines.formats.text import clean, columns, visible

_LETTERS = "abcZ19,.;:!?—–-'\"()«»¿ñéßαжשעربไทยก็한글今日はがーっ、。「」！（ｱﾝ😀👍🏽e\u0301"
_NASTY = [
    "\0",
    "\r\n",
    "\ufeff",
    "\u2028",
    "\u200d",
    "\u00a0",
    "-->",
    "\n\n1\n",
    "<b>",
    "&",
    "\t",
    "\u202e",
    "a" * 90,
    "語" * 40,
]

texts = st.lists(st.text(_LETTERS, min_size=1, max_size=12) | st.sampled_from(_NASTY), max_size=8)
styles = st.builds(
    Style,
    max_line_width=st.integers(10, 60),
    max_lines=st.integers(1, 4),
    max_cps=st.floats(5, 40),
    min_cue_seconds=st.floats(0, 1),
    max_cue_seconds=st.floats(1, 10),
    min_gap_seconds=st.sampled_from([0, 0.083, 0.5]),
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Times in order, many of them equal, some words absurdly long; speakers, scripts and spaces mixed."""
    at, segments = 0.0, []
    for parts in draw(st.lists(texts, max_size=5)):
        words = []
        for part in parts:
            length = draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 30.0]))
            speaker = draw(st.sampled_from([None, None, None, "A", "B"]))
            space = draw(st.sampled_from([" ", " ", ""]))
            words.append(Word(start=at, end=at + length, word=space + part, probability=1, speaker=speaker))
            at += length + draw(st.sampled_from([0.0, 0.0, 0.4, 2.5]))
        text = "".join(word.word for word in words).strip()
        kept = draw(st.sampled_from([True, True, False]))
        start = words[0].start if words else at
        segments.append(
            Segment(id=0, start=start, end=at, text=text, avg_logprob=0, no_speech_prob=0, words=words if kept else [])
        )
    return transcript(*segments, duration=max(at, 1.0), language=draw(st.sampled_from([None, "en", "ja", "de"])))


def seen(text: str) -> str:
    return "".join(c for c in clean(text) if visible(c))


@settings(max_examples=100, deadline=None)
@given(transcripts(), styles)
def test_every_character_once_and_in_order(t: Transcript, style: Style) -> None:
    written = "".join(seen(line) for cue in cues(t, style) for line in cue.lines)
    assert written == "".join(seen(s.text) for s in t.segments)


@settings(max_examples=100, deadline=None)
@given(transcripts(), styles)
def test_the_rules_of_the_style(t: Transcript, style: Style) -> None:
    found = cues(t, style)
    for cue in found:
        assert 0 <= cue.start_ms < cue.end_ms <= t.duration * 1000 + 0.01
        assert cue.end_ms - cue.start_ms <= round(style.max_cue_seconds * 1000)
        assert 1 <= len(cue.lines) <= style.max_lines
        for line in cue.lines:
            assert line.strip()
            assert line == clean(line)
            assert columns(line) <= style.max_line_width
    for before, after in pairwise(found):
        assert before.end_ms <= after.start_ms


@settings(max_examples=60, deadline=None)
@given(transcripts(), styles)
def test_speakers_are_never_mixed(t: Transcript, style: Style) -> None:
    spoken = [
        (word.speaker or s.speaker, seen(word.word))
        for s in t.segments
        for word in (s.words or [Word(start=0, end=0, word=s.text, probability=0)])
    ]
    written = [(cue.speaker, seen("".join(cue.lines))) for cue in cues(t, style)]

    def runs(parts: list[tuple[str | None, str]]) -> list[tuple[str | None, str]]:
        kept = [part for part in parts if part[1]]
        return [(who, "".join(text for _, text in said)) for who, said in groupby(kept, lambda part: part[0])]

    assert runs(written) == runs(spoken)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 14), st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.95, 2.05, 4.0])), min_size=1, max_size=80
    ),
    styles,
)
def test_cues_follow_the_voice(said: list[tuple[int, float]], style: Style) -> None:
    at, words = 0.5, []
    for n, (length, pause) in enumerate(said):
        words.append(Word(start=at, end=at + 0.25 + 0.06 * length, word=f" {n}{'x' * length}", probability=1))
        at = words[-1].end + pause
    s = Segment(
        id=0,
        start=0.5,
        end=at,
        text="".join(w.word for w in words).strip(),
        avg_logprob=0,
        no_speech_prob=0,
        words=words,
    )
    found = cues(transcript(s, duration=at + 1), style)
    by_text = {w.word.strip(): w for w in words}
    for cue in found:
        inside = [by_text.get(text) for text in " ".join(cue.lines).split()]  # None: part of a word that was cut
        for left, right in pairwise(inside):
            assert left is None or right is None or right.start - left.end <= 2.0
        if inside[0] is not None:
            assert -0.402 <= cue.start_ms / 1000 - inside[0].start <= 0.5


def test_ten_hours_take_seconds_not_minutes() -> None:
    text = "The committee, which had been meeting in secret since May, announced that it would publish the results."
    segments, at = [], 0.0
    for _ in range(2_000):
        segments.append(segment(text, at=at))
        at = segments[-1].end + 0.3
    t = transcript(*segments)  # 34 000 words, a good three and a half hours
    began = time.process_time()
    found = cues(t, Style())
    assert len(found) >= 2_000
    assert time.process_time() - began < 5.0  # about half a second; the rest is for slow and busy machines
