import wave
from itertools import pairwise

import jiwer
import numpy as np
import pytest
import recordings
from folder_files import FolderFiles
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Language, Span
from pipelines.engines import EngineSettings, loader
from pipelines.engines.holder import Holder
from pipelines.errors import Cancelled, OptionsError
from pipelines.stage import discover, plan
from pipelines.stages.detect_language import choose_spots, speech, vote

SETTINGS = EngineSettings(device="cpu", cpu_threads=1, batch_size=1)
STAGES = discover()
CODES = ["de", "en", "es", "fr"]


class Watch:
    """Progress that is written down, and that may be told to cancel."""

    def __init__(self, *, cancel_after: int | None = None) -> None:
        self.calls: list[tuple[float, float]] = []
        self._cancel_after = cancel_after

    def __call__(self, done: float, total: float) -> None:
        self.calls.append((done, total))
        if self._cancel_after is not None and len(self.calls) > self._cancel_after:
            raise Cancelled("The job was cancelled.")


@pytest.fixture(scope="module")
def models():
    return Holder(SETTINGS, loader("faster-whisper"))


@pytest.fixture(scope="module")
def talk():
    return recordings.recording(70, 12)


@pytest.fixture(scope="module")
def prepared(talk, tmp_path_factory):
    """A folder with the recording and a plan of two chunks, cut between two sentences."""
    folder = tmp_path_factory.mktemp("job")
    talk.write(folder / "audio.wav")
    middle = next(s for s in talk.sentences if s.start > 35)
    seam = middle.start - 0.1
    spans = [Span(start=max(0, s.start - 0.1), end=s.end + 0.1) for s in talk.sentences]
    halves = [[s for s in spans if s.end <= seam], [s for s in spans if s.start >= seam]]
    chunks = [
        Chunk(index=0, start=0.0, end=round(seam, 3), spans=halves[0]),
        Chunk(index=1, start=round(seam, 3), end=round(talk.duration, 3), spans=halves[1]),
    ]
    total = sum(s.end - s.start for s in spans)
    document = ChunkPlan(duration=talk.duration, speech_seconds=total, chunks=chunks, seams=[seam])
    (folder / "chunks.json").write_text(document.model_dump_json())
    return folder


def run(name, folder, models, *, item=None, progress=None, **options):
    stage = STAGES[name]
    files = FolderFiles(stage, folder, item=item)
    stage.run(files, stage.pick({"model": "demo", **options}), progress or Watch(), models=models)


def transcript(folder, number) -> ChunkTranscript:
    return ChunkTranscript.model_validate_json((folder / "segments" / f"{number}.json").read_bytes())


def spoken(text: str) -> str:
    return " ".join(recordings.split_words(text.lower()))


def test_each_chunk_is_written_down_in_the_recordings_own_time(prepared, talk, models):
    chunks = ChunkPlan.model_validate_json((prepared / "chunks.json").read_bytes()).chunks
    heard = []
    for chunk in chunks:
        run("transcribe", prepared, models, item=chunk.index, language="en")
        one = transcript(prepared, chunk.index)
        assert (one.index, one.language, one.language_probability, one.model) == (chunk.index, "en", 1.0, "demo")
        assert one.transcribed_seconds == pytest.approx(sum(s.end - s.start for s in chunk.spans), abs=0.001)
        assert [warning.code for warning in one.warnings] == ["demo_model"]
        words = [word for segment in one.segments for word in segment.words]
        assert all(chunk.start <= word.start <= word.end <= chunk.end for word in words)
        assert all(before.end <= after.start for before, after in pairwise(words))
        heard += one.segments
    assert jiwer.wer(spoken(talk.text), spoken(" ".join(segment.text for segment in heard))) < 0.1
    truth = {s.text: s.start for s in talk.sentences}
    offsets = [abs(segment.start - truth[segment.text]) for segment in heard if segment.text in truth]
    assert len(offsets) > 0.7 * len(truth)
    assert max(offsets) < 0.5


def test_the_voted_language_is_used_unless_one_is_asked_for(prepared, models):
    (prepared / "language.json").write_text(Language(language="de", probability=0.7).model_dump_json())
    try:
        run("transcribe", prepared, models, item=0)
        assert (transcript(prepared, 0).language, transcript(prepared, 0).language_probability) == ("de", 0.7)
        run("transcribe", prepared, models, item=0, language="english", word_timestamps=False)
    finally:
        (prepared / "language.json").unlink()
    assert transcript(prepared, 0).language == "en"
    assert transcript(prepared, 0).segments
    assert not any(segment.words for segment in transcript(prepared, 0).segments)


def test_progress_counts_seconds_of_speech(prepared, models):
    watch = Watch()
    run("transcribe", prepared, models, item=1, language="en", progress=watch)
    done = [one for one, _ in watch.calls]
    (total,) = {total for _, total in watch.calls}
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert len(set(done)) > 4


def test_a_cancelled_job_stops_between_segments(prepared, models, tmp_path):
    watch = Watch(cancel_after=3)
    with pytest.raises(Cancelled):
        run("transcribe", prepared, models, item=0, language="en", progress=watch)
    assert len(watch.calls) == 4


def test_without_a_model_it_says_so(prepared, models):
    for name in ("transcribe", "detect_language"):
        with pytest.raises(OptionsError, match="model"):
            run(name, prepared, models, item=0, model=None)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 1.5}, {"beam_size": 0}, {"beam_size": 21}, {"prompt": "x" * 2001}, {"task": "sing"}]
)
def test_options_have_ranges(wrong):
    with pytest.raises(ValidationError):
        STAGES["transcribe"].pick(wrong)


def test_the_language_is_asked_for_only_if_nobody_said():
    assert "detect_language" in [stage.name for stage in plan(STAGES, {})]
    assert "detect_language" not in [stage.name for stage in plan(STAGES, {"language": "de"})]
    names = [stage.name for stage in plan(STAGES, {})]
    assert names.index("detect_language") < names.index("transcribe")


@pytest.mark.parametrize(("options", "language"), [({}, "de"), ({"languages": ["en", "es"]}, "en|es")])
def test_the_language_of_a_recording_is_found(tmp_path, models, options, language):
    sound = recordings.recording(20, 3, language="de")
    sound.write(tmp_path / "audio.wav")
    document = ChunkPlan(
        duration=sound.duration,
        speech_seconds=sound.duration,
        chunks=[Chunk(index=0, start=0, end=sound.duration, spans=[Span(start=0, end=sound.duration)])],
        seams=[],
    )
    (tmp_path / "chunks.json").write_text(document.model_dump_json())
    run("detect_language", tmp_path, models, **options)
    found = Language.model_validate_json((tmp_path / "language.json").read_bytes())
    assert found.language in language.split("|")
    assert 0.3 < found.probability <= 1


def test_one_candidate_needs_no_model(prepared, tmp_path):
    (tmp_path / "chunks.json").write_bytes((prepared / "chunks.json").read_bytes())
    run("detect_language", tmp_path, None, languages=["fr"])
    assert Language.model_validate_json((tmp_path / "language.json").read_bytes()).language == "fr"


def test_where_nobody_speaks_there_is_no_language(tmp_path):
    (tmp_path / "chunks.json").write_text(
        ChunkPlan(duration=9, speech_seconds=0, chunks=[], seams=[]).model_dump_json()
    )
    run("detect_language", tmp_path, None)
    assert not (tmp_path / "language.json").exists()


def test_speech_in_an_overlap_counts_once():
    chunks = [
        Chunk(index=0, start=0, end=12, spans=[Span(start=1, end=8), Span(start=9, end=12)]),
        Chunk(index=1, start=10, end=20, spans=[Span(start=10, end=14), Span(start=15, end=19)]),
    ]
    spans = speech(ChunkPlan(duration=20, speech_seconds=16, chunks=chunks, seams=[11]))
    assert [(s.start, s.end) for s in spans] == [(1, 8), (9, 12), (12, 14), (15, 19)]


@example([(1.0, 61.0)])
@given(st.lists(st.tuples(st.floats(0.1, 400), st.floats(0.1, 400)), max_size=30))
def test_spots_are_speech_spread_over_the_recording(parts):
    spans, at = [], 0.0
    for gap, length in parts:
        spans.append(Span(start=at + gap, end=at + gap + length))
        at = spans[-1].end
    spots = list(choose_spots(spans))
    assert len(spots) == (
        0 if not spans else 1 if (total := sum(b for _, b in parts)) <= 60 else 3 if total <= 1200 else 5
    )
    for spot in spots:
        assert sum(s.end - s.start for s in spot) == pytest.approx(min(30, total / len(spots)), abs=1e-6)
        assert all(any(o.start <= s.start and s.end <= o.end + 1e-9 for o in spans) for s in spot)
    ranges = sorted((spot[0].start, spot[-1].end) for spot in spots)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges)), "no second is listened to twice"


def test_a_clear_lead_ends_the_vote():
    heard = iter([{"en": 0.9, "de": 0.1}] * 5)
    assert vote(heard, 5).language == "en"
    assert len(list(heard)) == 2, "after three the two left cannot change it"


def test_one_odd_spot_does_not_decide():
    heard = [{"de": 0.99, "en": 0.01}, {"de": 0.2, "en": 0.8}, {"de": 0.1, "en": 0.9}]
    found = vote(heard, 3)
    assert found.language == "en"
    assert found.probability == pytest.approx(1.71 / 3)


def test_only_candidates_stand_for_election():
    heard = [{"en": 0.8, "de": 0.15, "nl": 0.05}]
    found = vote(heard, 1, candidates=["de", "nl"])
    assert (found.language, found.probability) == ("de", pytest.approx(0.75))
    assert vote([{"en": 1.0}], 1, candidates=["de", "nl"]).language == "en", "a model that knows English only"


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=5))
def test_ending_the_vote_early_changes_nothing(rows):
    heard = [dict(zip(CODES, (p / sum(row) for p in row), strict=True)) for row in rows]
    full = {code: sum(one[code] for one in heard) for code in CODES}
    early = vote(heard, len(heard))
    assert full[early.language] == pytest.approx(max(full.values()))
    assert 0 <= early.probability <= 1


def test_speech_of_several_channels_counts_once_in_order():
    spans = [[Span(start=1, end=4), Span(start=20, end=30)], [Span(start=3, end=6)], [Span(start=25, end=31)]]
    chunks = [
        Chunk(index=n, start=0, end=40, spans=own, channel=channel)
        for n, (own, channel) in enumerate(zip(spans, (1, 2, 2), strict=True))
    ]
    found = speech(ChunkPlan(duration=40, speech_seconds=22, chunks=chunks, seams=[15]))
    assert [(span.start, span.end) for span in found] == [(1, 4), (4, 6), (20, 30), (30, 31)]


def test_a_chunk_is_heard_in_its_channel_only(tmp_path, models):
    left, right = recordings.utterance(7), recordings.utterance(8)
    samples = np.zeros((max(len(left.audio), len(right.audio)), 2), np.float32)
    samples[: len(left.audio), 0], samples[: len(right.audio), 1] = left.audio, right.audio
    with wave.open(str(tmp_path / "audio.wav"), "wb") as out:
        out.setparams((2, 2, 16_000, 0, "NONE", ""))
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    whole = Span(start=0, end=len(samples) / 16_000)
    chunks = [Chunk(index=n, start=0, end=whole.end, spans=[whole], channel=n + 1) for n in (0, 1)]
    plan = ChunkPlan(duration=whole.end, speech_seconds=2 * whole.end, chunks=chunks, seams=[])
    (tmp_path / "chunks.json").write_text(plan.model_dump_json())
    for number, said in enumerate((left, right)):
        run("transcribe", tmp_path, models, item=number, language="en")
        heard = " ".join(segment.text for segment in transcript(tmp_path, number).segments)
        assert jiwer.wer(spoken(said.text), spoken(heard)) < 0.3
