import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from faster_whisper.vad import VadOptions, get_speech_timestamps, get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.documents import ChunkPlan, Span
from pipelines.pauses import WINDOW_SECONDS, Pauses
from pipelines.silence import MAX_SPAN_SECONDS, plan_chunks, speech_spans, whole_spans

SAMPLES = Path(__file__).parents[1] / "samples"
Floats = NDArray[np.float32]


def windows(*stretches: tuple[float, float]) -> Floats:
    """Probabilities: (seconds, probability) one after the other."""
    return np.concatenate([np.full(round(s / WINDOW_SECONDS), p, np.float32) for s, p in stretches])


def length(probabilities: Floats) -> float:
    return len(probabilities) * WINDOW_SECONDS


def made_up(seed: int, seconds: float, *, pauses: bool = True) -> Floats:
    """Speech of sentences and pauses, now and then a long silence; without `pauses`: dips at most."""
    rng = random.Random(seed)
    stretches, length = [], 0.0
    while length < seconds:
        stretches.append((rng.uniform(0.5, 9), rng.uniform(0.6, 1)))
        if pauses:
            stretches.append((rng.choice([0.1, 0.3, 0.6, 2, rng.uniform(0, 80)]), rng.uniform(0, 0.3)))
        else:
            stretches.append((0.032, rng.uniform(0.36, 0.6)))
        length += stretches[-2][0] + stretches[-1][0]
    return windows(*stretches)[: round(seconds / WINDOW_SECONDS)]


def disjoint(spans: list[Span], duration: float) -> bool:
    ordered = all(a.end <= b.start for a, b in pairwise(spans))
    return ordered and all(0 <= span.start < span.end <= duration for span in spans)


# Speech


def recording(seconds: float) -> Floats:
    """Real speech and real silence, put together from the samples."""
    rng = random.Random(3)
    clips = [decode_audio(str(SAMPLES / name)) for name in ("jfk.flac", "p001.wav")]
    pieces: list[Floats] = []
    while sum(map(len, pieces)) < seconds * 16_000:
        pieces.append(rng.choice(clips)[: rng.randint(50_000, 150_000)])
        pieces.append(np.zeros(rng.choice([0, 0, 3_000, 30_000]), np.float32))
    return np.concatenate(pieces)


def test_real_speech_is_found_as_the_batched_pipeline_finds_it() -> None:
    audio = recording(120)
    probabilities = get_vad_model()(np.pad(audio, (0, -len(audio) % 512 + 512))).reshape(-1)
    theirs = get_speech_timestamps(audio, VadOptions(max_speech_duration_s=30, min_silence_duration_ms=160))
    ours = speech_spans(probabilities, len(audio) / 16_000)
    assert len(ours) > 10
    assert [t for span in ours for t in (span.start, span.end)] == pytest.approx(
        [t / 16_000 for span in theirs for t in (span["start"], span["end"])], abs=2 * WINDOW_SECONDS
    )


def test_speech_begins_late_and_ends_late() -> None:
    found = speech_spans(windows((1.6, 0.45), (0.96, 0.9), (0.96, 0.4), (1.6, 0.1)))
    assert [(span.start, span.end) for span in found] == [(1.2, 3.92)]


def test_a_short_dip_does_not_end_speech() -> None:
    assert len(speech_spans(windows((2, 0.9), (0.128, 0.0), (2, 0.9)))) == 1
    two = speech_spans(windows((1.92, 0.9), (0.32, 0.0), (1.92, 0.9)))
    assert [(span.start, span.end) for span in two] == [(0, 2.08), (2.08, 4.16)]


def test_the_last_window_may_be_cut_short() -> None:
    assert speech_spans(windows((3.2, 0.9)), 3.19)[-1].end == 3.19


def test_speech_without_end_is_split_at_its_best_pause() -> None:
    spans = speech_spans(windows((9.6, 0.9), (0.096, 0.1), (9.6, 0.9), (0.128, 0.1), (12.8, 0.9)))
    assert [(span.start, span.end) for span in spans] == [
        (0, pytest.approx(19.36, abs=0.07)),
        (spans[0].end, pytest.approx(32.224, abs=0.001)),
    ]


def test_where_nobody_pauses_it_is_split_where_it_is_quietest() -> None:
    probabilities = windows((45, 0.95))
    probabilities[700:706] = 0.6
    spans = speech_spans(probabilities)
    assert [span.end for span in spans] == [pytest.approx(703 * WINDOW_SECONDS, abs=0.04), length(probabilities)]


@pytest.mark.parametrize("probabilities", [[], windows((5, 0.1)), windows((5, 0.49))])
def test_nobody_speaks(probabilities: Floats) -> None:
    assert speech_spans(probabilities) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.1, 300), st.booleans())
def test_all_speech_is_in_a_span_and_none_is_too_long(seed: int, seconds: float, pauses: bool) -> None:
    probabilities = made_up(seed, seconds, pauses=pauses)
    spans = speech_spans(probabilities)
    assert disjoint(spans, length(probabilities))
    assert all(span.end - span.start <= MAX_SPAN_SECONDS for span in spans)
    covered = np.zeros(len(probabilities), bool)
    for span in spans:
        covered[round(span.start / WINDOW_SECONDS) : round(span.end / WINDOW_SECONDS)] = True
    assert covered[probabilities >= 0.5].all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 300), st.booleans())
def test_without_a_filter_everything_is_in_a_piece(seed: int, duration: float, pauses: bool) -> None:
    pieces = whole_spans(made_up(seed, duration + 0.032, pauses=pauses), duration)
    assert (pieces[0].start, pieces[-1].end) == (0, duration)
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(0 < piece.end - piece.start <= MAX_SPAN_SECONDS for piece in pieces)


# Chunks


def planned(probabilities: Floats, chunk_seconds: float, *, whole: bool = False) -> ChunkPlan:
    duration = length(probabilities)
    spans = whole_spans(probabilities, duration) if whole else speech_spans(probabilities, duration)
    return plan_chunks(spans, duration, chunk_seconds=chunk_seconds, probabilities=probabilities)


def test_what_fits_is_one_chunk() -> None:
    plan = planned(windows((100, 0), (400, 0.9), (99, 0)), 600)
    assert [(c.index, c.start, c.end) for c in plan.chunks] == [(0, 0, pytest.approx(599, abs=0.05))]
    assert plan.seams == []
    assert plan.speech_seconds == pytest.approx(400.8, abs=0.05)


def test_the_cut_is_made_in_the_longest_pause_near_the_middle() -> None:
    plan = planned(windows((300, 0.9), (0.32, 0), (10, 0.9), (1.6, 0), (330, 0.9)), 600)
    assert len(plan.chunks) == 2
    assert plan.seams == [pytest.approx(311.1, abs=0.1)]
    assert plan.chunks[0].end - plan.chunks[1].start == pytest.approx(5, abs=2.1)


def test_where_nobody_pauses_the_chunks_overlap_by_more() -> None:
    probabilities = made_up(1, 1300, pauses=False)
    plan = planned(probabilities, 600)
    for before, after in pairwise(plan.chunks):
        assert 10 <= before.end - after.start <= 15
    rough = [float(probabilities[round(at / WINDOW_SECONDS)]) for at in plan.seams]
    assert max(rough) < float(np.median(probabilities))


def test_chunks_begin_and_end_in_pauses() -> None:
    sentences = [stretch for _ in range(600) for stretch in ((1.6, 0.95), (0.256, 0.05))]
    probabilities = windows(*sentences)
    plan = planned(probabilities, 300)
    edges = [c.start for c in plan.chunks[1:]] + [c.end for c in plan.chunks[:-1]] + plan.seams
    assert len(plan.chunks) == 4
    assert all(probabilities[int(at / WINDOW_SECONDS)] < 0.1 for at in edges)


def test_chunks_are_about_equally_long() -> None:
    plan = planned(made_up(5, 1900), 600)
    cores = np.diff([0, *plan.seams, plan.duration])
    assert len(cores) == 4
    assert min(cores) > 0.75 * max(cores)


def test_a_little_too_long_is_not_one_chunk_more() -> None:
    assert len(planned(made_up(5, 600), 600).chunks) == 1
    assert len(planned(made_up(5, 625), 600).chunks) == 1
    assert len(planned(made_up(5, 640), 600).chunks) == 2


def test_a_recording_of_more_than_half_an_hour_is_never_one_chunk() -> None:
    assert len(planned(made_up(2, 1799), 1800).chunks) == 1
    assert len(planned(made_up(2, 1801), 1800).chunks) == 2
    assert len(planned(windows((900, 0), (120, 0.9), (900, 0)), 1800).chunks) == 2
    assert len(planned(windows((900, 0), (20, 0.9), (900, 0)), 1800).chunks) == 2
    assert len(planned(windows((900, 0), (1, 0.9), (900, 0)), 1800).chunks) == 1


def test_a_long_silence_belongs_to_nobody() -> None:
    plan = planned(windows((300, 0), (600, 0.9), (3600, 0), (600, 0.9), (900, 0)), 600)
    assert plan.chunks[0].start == pytest.approx(300, abs=1)
    assert plan.chunks[-1].end == pytest.approx(5100, abs=1)
    assert sum(c.end - c.start for c in plan.chunks) < 3000
    assert all(chunk.spans for chunk in plan.chunks)


def test_silence_alone_makes_no_chunk() -> None:
    plan = planned(windows((4000, 0.1)), 600)
    assert (plan.chunks, plan.seams, plan.speech_seconds) == ([], [], 0)
    assert planned(windows((0, 0)), 600, whole=True).chunks == []


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.floats(1, 4000), st.floats(30, 1800), st.booleans(), st.booleans())
def test_every_plan_holds_together(seed: int, seconds: float, size: float, pauses: bool, whole: bool) -> None:
    probabilities = made_up(seed, seconds, pauses=pauses)
    plan = planned(probabilities, size, whole=whole)
    duration = length(probabilities)
    spans = whole_spans(probabilities, duration) if whole else speech_spans(probabilities, duration)
    chunks = plan.chunks
    assert bool(chunks) == bool(spans)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert len(plan.seams) == max(0, len(chunks) - 1)
    for chunk in chunks:
        assert disjoint(chunk.spans, duration)
        assert chunk.spans
        assert 0 <= chunk.start <= chunk.spans[0].start < chunk.spans[-1].end <= chunk.end <= duration
        assert chunk.end - chunk.start <= 1.2 * size + 15
    for (before, after), seam in zip(pairwise(chunks), plan.seams, strict=True):
        shared = before.end - after.start
        assert shared <= 15
        silent_between = not any(s.start < after.start and s.end > before.end for s in spans)
        assert shared >= 4 or (shared < 0 and silent_between)
        assert min(before.end, after.start) <= seam <= max(before.end, after.start)
        assert before.start < after.start
        assert before.end < after.end
    assert all(a.end < b.start for a, b in zip(chunks, chunks[2:], strict=False))
    for span in spans:
        at = span.start
        while at < span.end - 1e-6:
            ends = [s.end for chunk in chunks for s in chunk.spans if s.start <= at + 1e-6 and s.end > at + 1e-6]
            assert ends, f"nobody has the speech at {at}"
            at = max(ends)


def test_the_best_pause_is_the_longest_not_too_far_away() -> None:
    pauses = Pauses(windows((10, 1), (0.32, 0), (2, 1), (0.48, 0), (10, 1)))
    assert pauses.best(5, 20, 10).at == pytest.approx(12.56, abs=0.2)
    assert pauses.best(5, 12, 10).at == pytest.approx(10.16, abs=0.2)
    assert pauses.best(0, 8, 4).pause == 0


def test_ten_hours_take_no_time() -> None:
    probabilities = np.tile(made_up(1, 600), 60)
    began = time.process_time()
    planned(probabilities, 600)
    assert time.process_time() - began < 10


def test_the_module_is_light() -> None:
    code = "import sys, pipelines.silence, pipelines.joining, pipelines.stages.chunk, pipelines.stages.merge; "
    code += "print(sorted({'numpy', 'onnxruntime', 'faster_whisper'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root).stdout == "[]\n"
