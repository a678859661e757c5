import io
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from pipelines import silence
from pipelines.errors import Cancelled
from pipelines.voice import WINDOW, speech_probabilities
from pipelines.wav import WavReader

SAMPLES = Path(__file__).parents[1] / "samples"


def reader(samples: NDArray[np.int16]) -> WavReader:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(samples.tobytes())
    return WavReader(stream)


def speech(*, times: int, trim: int = 0) -> NDArray[np.int16]:
    """Real speech, several blocks long."""
    once = np.concatenate([decode_audio(str(SAMPLES / name)) for name in ("jfk.flac", "p001.wav")])
    samples = np.tile((once * 32767).astype(np.int16), times)
    return samples[: len(samples) - trim]


@pytest.mark.parametrize("beyond", [0, 1, 300, 448], ids=lambda n: f"{n} samples beyond a window")
def test_in_blocks_as_in_one(beyond: int) -> None:
    samples = speech(times=5)
    samples = samples[: len(samples) // WINDOW * WINDOW - WINDOW + beyond]
    whole = samples.astype(np.float32) / 32768
    # Their one-shot call silences the last 64 samples it is given; silence of our own in their place changes nothing.
    expected = get_vad_model()(np.pad(whole, (0, -len(whole) % WINDOW + WINDOW))).reshape(-1)[:-1]
    found = speech_probabilities(reader(samples))
    assert len(samples) > 3 * 32 * 16_000
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_window_is_what_silence_takes_it_for() -> None:
    assert WINDOW / 16_000 == silence.WINDOW_SECONDS


def test_progress_goes_to_the_end_and_can_stop_the_work() -> None:
    seen: list[tuple[float, float]] = []
    wav = reader(np.zeros(16_000 * 70, np.int16))
    speech_probabilities(wav, lambda done, total: seen.append((done, total)))
    assert seen == [(32, 70), (64, 70), (70, 70)]

    def stop(done: float, total: float) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        speech_probabilities(wav, stop)


def test_no_audio_no_probabilities() -> None:
    assert speech_probabilities(reader(np.zeros(0, np.int16))).shape == (0,)


def test_memory_does_not_grow_with_the_recording() -> None:
    def peak(minutes: int) -> int:
        wav = reader(np.zeros(16_000 * 60 * minutes, np.int16))
        tracemalloc.start()
        try:
            speech_probabilities(wav)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    speech_probabilities(reader(np.zeros(16_000, np.int16)))
    assert peak(9) < 1.1 * peak(3)
