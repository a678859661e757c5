from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents import SAMPLE_RATE, Span
from pipelines.engines.windows import WINDOW_SECONDS, Window, pack

LIMIT = WINDOW_SECONDS * SAMPLE_RATE


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Disjoint spans in order, some longer than a window, and the length of an audio that holds them."""
    at, spans = 0.0, []
    for gap, length in draw(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 80)), max_size=12)):
        spans.append(Span(start=at + gap, end=at + gap + length))
        at = spans[-1].end
    return spans, int(at * SAMPLE_RATE) + draw(st.integers(0, SAMPLE_RATE))


def heard(windows: list[Window]) -> list[tuple[int, int]]:
    return [(piece.start, piece.start + piece.length) for window in windows for piece in window.pieces]


@given(speech())
def test_every_sample_of_speech_is_in_one_window(given_speech):
    spans, samples = given_speech
    windows = pack(spans, samples)
    joined: list[list[int]] = []
    for start, end in heard(windows):
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    wanted: list[list[int]] = []
    for span in spans:
        start, end = round(span.start * SAMPLE_RATE), min(samples, round(span.end * SAMPLE_RATE))
        if end > start and wanted and wanted[-1][1] == start:
            wanted[-1][1] = end
        elif end > start:
            wanted.append([start, end])
    assert joined == wanted


@given(speech())
def test_windows_are_full_but_not_too_full(given_speech):
    windows = pack(*given_speech)
    assert all(0 < window.length <= LIMIT for window in windows)
    assert all(before.length + after.pieces[0].length > LIMIT for before, after in pairwise(windows))


@given(speech(), st.lists(st.floats(-1, 32), min_size=2, max_size=20))
def test_times_come_back_in_order_and_inside_one_span(given_speech, moments):
    for window in pack(*given_speech):
        inside = [(piece.start / SAMPLE_RATE, (piece.start + piece.length) / SAMPLE_RATE) for piece in window.pieces]
        words = [window.restore(start, end) for start, end in pairwise(sorted(moments))]
        for start, end in words:
            assert start <= end
            assert any(low <= start and end <= high for low, high in inside)
        assert words == sorted(words)


@given(speech(), st.floats(0, 1), st.integers(0, 11))
def test_a_moment_of_speech_comes_back_to_itself(given_speech, share, number):
    for window in pack(*given_speech):
        piece = window.pieces[number % len(window.pieces)]
        sample = piece.at + share * (piece.length - 1)
        start, end = window.restore(sample / SAMPLE_RATE, sample / SAMPLE_RATE)
        assert abs(start - (piece.start + sample - piece.at) / SAMPLE_RATE) < 1e-6
        assert start == end


def test_a_word_over_a_removed_silence_belongs_to_the_span_of_its_middle():
    (window,) = pack([Span(start=10, end=12), Span(start=60, end=62)], 100 * SAMPLE_RATE)
    assert window.restore(1.8, 2.1) == (11.8, 12.0)
    assert window.restore(1.9, 2.3) == (60.0, 60.3)


def test_a_span_longer_than_a_window_is_cut_into_equal_parts():
    windows = pack([Span(start=1, end=32)], 40 * SAMPLE_RATE)
    assert [window.seconds for window in windows] == [15.5, 15.5]


def test_overlapping_and_outlying_spans_are_heard_once():
    spans = [Span(start=-1, end=2), Span(start=1, end=3), Span(start=3, end=3), Span(start=9, end=99)]
    assert heard(pack(spans, 10 * SAMPLE_RATE)) == [(0, 32000), (32000, 48000), (144000, 160000)]
    assert pack([], 1000) == []
    assert pack([Span(start=5, end=6)], 0) == []
