"""The real pyannote.audio with the demo diariser, where it is installed."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.documents import SAMPLE_RATE, Turns
from pipelines.engines.diarisers import (
    INSTALL,
    Diariser,
    DiariserSettings,
    SpeakerCount,
    diariser_loader,
    installed,
)
from pipelines.engines.holder import OneDiariser
from pipelines.errors import Cancelled, EngineError, ModelUnavailable, TransientError, UnknownModel
from pipelines.voices import seconds_by_speaker
from pipelines.wav import WavReader

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "tests" / "samples" / "two_speakers.wav"
SETTINGS = DiariserSettings(model="demo", device="cpu", cpu_threads=1)
FREE = SpeakerCount()
here = pytest.mark.skipif(not installed(), reason=f"needs pyannote.audio: `{INSTALL}` installs it")


class Samples:
    """A recording in memory that knows how much of it was read at once."""

    def __init__(self, audio: np.ndarray) -> None:
        self.audio, self.duration, self.longest = audio, len(audio) / SAMPLE_RATE, 0

    def read(self, start: float = 0.0, end: float | None = None) -> np.ndarray:
        last = len(self.audio) if end is None else round(end * SAMPLE_RATE)
        piece = self.audio[max(0, round(start * SAMPLE_RATE)) : last].copy()
        self.longest = max(self.longest, len(piece))
        return piece


@pytest.fixture(scope="module")
def conversation() -> np.ndarray:
    """Two people taking turns, without the silence before they begin."""
    with SAMPLE.open("rb") as stream:
        return WavReader(stream).read(6.5)


@pytest.fixture(scope="module")
def demo() -> Diariser:
    return diariser_loader("pyannote")(SETTINGS)


@pytest.fixture(scope="module")
def in_parts() -> Diariser:
    return diariser_loader("pyannote")(DiariserSettings(model="demo", device="cpu", cpu_threads=1, part_seconds=30.0))


def heard(diariser: Diariser, audio: np.ndarray, count: SpeakerCount = FREE) -> Turns:
    return diariser.diarise(Samples(audio), count, lambda done, total: None)


@pytest.mark.skipif(installed(), reason="pyannote.audio is installed")
def test_without_the_libraries_the_command_that_installs_them_is_named() -> None:
    with pytest.raises(ModelUnavailable, match=INSTALL):
        diariser_loader("pyannote")(SETTINGS)


def test_an_engine_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(KeyError, match=r"no engine 'none'.*pyannote"):
        diariser_loader("none")


def test_one_load_serves_everybody_and_a_failed_one_is_tried_again() -> None:
    tried: list[DiariserSettings] = []

    def load(settings: DiariserSettings) -> Diariser:
        tried.append(settings)
        if len(tried) == 1:
            raise ModelUnavailable("not now")
        return object()  # type: ignore[return-value]  # what is loaded does not matter here

    holder = OneDiariser(SETTINGS, load)
    with pytest.raises(ModelUnavailable):
        holder.get()
    assert holder.get() is holder.get()
    assert len(tried) == 2


def test_the_token_is_in_no_representation() -> None:
    assert "hf_secret" not in repr(DiariserSettings(token="hf_secret"))


@here
def test_two_people_are_told_apart_the_same_way_every_time(demo: Diariser, conversation: np.ndarray) -> None:
    found = heard(demo, conversation)
    seconds = seconds_by_speaker(found.turns)
    assert list(seconds) == ["SPEAKER_00", "SPEAKER_01"] and min(seconds.values()) > 8
    assert all(one.end <= two.start for one, two in itertools.pairwise(found.turns))
    assert found.turns[0].start >= 0 and found.turns[-1].end <= len(conversation) / SAMPLE_RATE
    assert [voice.speaker for voice in found.voices] == list(seconds)
    assert found.model == "demo" and [warning.code for warning in found.warnings] == ["demo_diariser"]
    assert Turns.model_validate_json(found.model_dump_json()) == found
    assert heard(demo, conversation) == found


@here
@pytest.mark.parametrize(
    ("count", "speakers"),
    [
        (SpeakerCount(exactly=1), 1),
        (SpeakerCount(exactly=3), 3),
        (SpeakerCount(at_most=1), 1),
        (SpeakerCount(at_least=3), 3),
        (SpeakerCount(at_least=1, at_most=2), 2),
    ],
)
def test_as_many_speak_as_somebody_knows(
    demo: Diariser, in_parts: Diariser, conversation: np.ndarray, count: SpeakerCount, speakers: int
) -> None:
    assert len(heard(demo, conversation, count).voices) == speakers
    if speakers != 3:  # three of two people: which part has whom is anybody's guess
        assert len(heard(in_parts, np.tile(conversation, 2), count).voices) == speakers


@here
def test_a_long_recording_has_the_same_two_speakers_throughout(in_parts: Diariser, conversation: np.ndarray) -> None:
    recording = Samples(np.tile(conversation, 5))
    told: list[tuple[float, float]] = []
    found = in_parts.diarise(recording, FREE, lambda done, total: told.append((done, total)))
    assert recording.longest < 60 * SAMPLE_RATE, "no more than a part is in memory"
    assert list(seconds_by_speaker(found.turns)) == ["SPEAKER_00", "SPEAKER_01"]
    # The conversation is the same five times over, and so is who speaks in it.
    length = len(conversation) / SAMPLE_RATE
    probes = [2.0, 6.0, 10.0, 13.0, 17.0, 20.0]
    said = [
        [next((t.speaker for t in found.turns if t.start <= again * length + p < t.end), None) for p in probes]
        for again in range(5)
    ]
    assert said == [said[0]] * 5 and set(said[0]) == {"SPEAKER_00", "SPEAKER_01"}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (recording.duration, recording.duration) and len(told) > 20


@here
def test_where_nobody_speaks_there_is_nobody(demo: Diariser) -> None:
    rng = np.random.default_rng(1)
    nothing = (
        np.zeros(0), np.zeros(1), np.ones(5), np.zeros(3 * SAMPLE_RATE), np.zeros(25 * SAMPLE_RATE),
        rng.normal(0, 1e-5, 12 * SAMPLE_RATE), rng.normal(0, 0.05, 20 * SAMPLE_RATE),
    )  # fmt: skip
    for audio in nothing:
        found = heard(demo, audio.astype(np.float32))
        assert (found.turns, found.voices) == ([], []), len(audio)
    assert demo.embed(np.zeros(SAMPLE_RATE, np.float32)) is None


@here
@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.5, 4.0, 9.999, 10.0, 10.5])
def test_a_recording_of_any_length_is_heard(demo: Diariser, conversation: np.ndarray, seconds: float) -> None:
    found = heard(demo, conversation[4 * SAMPLE_RATE :][: round(seconds * SAMPLE_RATE)])
    assert all(0 <= turn.start < turn.end <= seconds for turn in found.turns)
    assert len(found.turns) > 0 or seconds < 1
    assert "NaN" not in found.model_dump_json()


@here
def test_a_reference_is_recognised_and_another_is_not(demo: Diariser, conversation: np.ndarray) -> None:
    found = heard(demo, conversation)
    voices = {voice.speaker: voice.embedding for voice in found.voices}
    one, other = voices["SPEAKER_00"], voices["SPEAKER_01"]
    assert demo.similarity(one, other) < demo.similarity(one, one)
    assert demo.similarity(one, other) == pytest.approx(demo.similarity(other, one))
    for turn in found.turns:
        if turn.end - turn.start > 3:
            reference = demo.embed(conversation[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)])
            assert reference is not None
            likeness = {speaker: demo.similarity(reference, voice) for speaker, voice in voices.items()}
            assert max(likeness, key=lambda speaker: likeness[speaker]) == turn.speaker
            assert likeness[turn.speaker] > 0
    assert not demo.similarity([], one) >= 0, "a voice that could not be described is nobody's"


@here
def test_a_window_is_looked_at_once_with_the_librarys_own_result(conversation: np.ndarray) -> None:
    import torch
    from pyannote.audio.pipelines import SpeakerDiarization

    from pipelines.engines.networks.shared_frames import SharedFrames

    pipeline = diariser_loader("pyannote")(SETTINGS)._pipeline  # type: ignore[attr-defined]  # it is what is compared
    assert type(pipeline) is SharedFrames
    file = {"waveform": torch.from_numpy(conversation)[None], "sample_rate": SAMPLE_RATE, "uri": "x"}
    quick = pipeline(file)
    object.__setattr__(pipeline, "__class__", SpeakerDiarization)
    assert SharedFrames.fits(pipeline)
    stock = pipeline(file)
    assert stock.serialize() == quick.serialize()
    assert np.allclose(stock.speaker_embeddings, quick.speaker_embeddings, atol=1e-5)


@here
def test_what_the_listener_raises_passes_through(demo: Diariser, conversation: np.ndarray) -> None:
    calls = 0

    def stop(done: float, total: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        demo.diarise(Samples(conversation), FREE, stop)

    def timeout(done: float, total: float) -> None:
        raise TimeoutError("the task's own limit")

    with pytest.raises(TimeoutError):
        demo.diarise(Samples(conversation), FREE, timeout)


@here
def test_what_fails_is_said_without_a_path(conversation: np.ndarray) -> None:
    import torch

    diariser = diariser_loader("pyannote")(SETTINGS)
    network = diariser._pipeline._segmentation.model  # type: ignore[attr-defined]  # a fault is put into the library
    raised: list[Exception] = []

    def fail(module: object, inputs: object) -> None:
        raise raised[-1]

    with network.register_forward_pre_hook(fail):
        for error, expected, says in (
            (
                torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
                TransientError,
                "not enough memory",
            ),
            (MemoryError(), TransientError, "not enough memory"),
            (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), TransientError, "memory"),
            (ValueError("/srv/models/x is odd"), EngineError, "operator"),
        ):
            raised.append(error)
            with pytest.raises(expected, match=says) as caught:
                heard(diariser, conversation)
            assert "/srv" not in caught.value.detail
            assert caught.value.code == ("out_of_memory" if expected is TransientError else "engine_error")
    assert len(heard(diariser, conversation).voices) == 2, "afterwards it works as before"


@here
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    for name in ("segmentation", "embedding"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pytorch_model.bin").write_bytes(b"no weights")
    (tmp_path / "plda").mkdir()
    for name in ("plda.npz", "xvec_transform.npz"):
        (tmp_path / "plda" / name).write_bytes(b"")
    (tmp_path / "config.yaml").write_text(
        "pipeline: {name: pyannote.audio.pipelines.SpeakerDiarization,"
        " params: {segmentation: $model/segmentation, embedding: $model/embedding, plda: $model/plda}}"
    )
    settings = DiariserSettings(model=str(tmp_path), device="cpu")
    with pytest.raises(EngineError, match="DIARISATION_MODEL") as caught:
        diariser_loader("pyannote")(settings)
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(UnknownModel, match="no model folder"):
        diariser_loader("pyannote")(DiariserSettings(model=str(tmp_path / "gone")))


@here
def test_nobody_is_told_anything(tmp_path: Path) -> None:
    code = f"""
import sys
asked = []
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
sys.addaudithook(lambda event, arguments: asked.append((event, str(arguments))) if event in WATCHED else None)
import time
from pipelines.engines.diarisers import *
from pipelines.wav import WavReader
diariser = diariser_loader("pyannote")(DiariserSettings(model="demo", device="cpu", cpu_threads=1))
with open({str(SAMPLE)!r}, "rb") as stream:
    found = diariser.diarise(WavReader(stream), SpeakerCount(), lambda done, total: None)
from pyannote.audio.telemetry import metrics
assert not metrics.is_metrics_enabled()
metrics.set_telemetry_metrics(True)  # whoever may do that later
metrics.track_pipeline_init(diariser._pipeline)
time.sleep(2)  # what is told is told in the background, twice a second
print(len(found.voices), asked)
import socket
try: socket.create_connection(("127.0.0.1", 9), timeout=0.1)
except OSError: pass
assert asked, "this would have been seen"
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    # As somebody may have it in their shell: what the operator's machine says about other programs is not asked.
    env["PYANNOTE_METRICS_ENABLED"] = "1"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[0] == "2 []"
    assert "arning" not in result.stderr.replace("told apart with the demo model", ""), result.stderr
