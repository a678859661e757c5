import wave
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio
from folder_files import FolderFiles
from pydantic import ValidationError

from pipelines.documents import ChunkPlan
from pipelines.stage import discover
from pipelines.stages.chunk import ChunkOptions

SAMPLES = Path(__file__).parents[1] / "samples"


def run(folder: Path, samples: np.ndarray, **options: object) -> tuple[ChunkPlan, list[tuple[float, float]]]:
    with wave.open(str(folder / "audio.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    seen: list[tuple[float, float]] = []
    stage = discover()["chunk"]
    stage.run(FolderFiles(stage, folder), stage.pick(options), lambda done, total: seen.append((done, total)))
    return ChunkPlan.model_validate_json((folder / "chunks.json").read_bytes()), seen


def test_speech_is_found_and_cut_into_chunks(tmp_path: Path) -> None:
    clip = decode_audio(str(SAMPLES / "jfk.flac"))
    plan, seen = run(tmp_path, np.tile(np.append(clip, np.zeros(16_000, np.float32)), 6), chunk_seconds=30)
    assert plan.duration == pytest.approx(72, abs=0.1)
    assert plan.speech_seconds == pytest.approx(6 * 10.3, abs=3)
    assert len(plan.chunks) == 3
    assert all(before.end - after.start >= 4 for before, after in zip(plan.chunks, plan.chunks[1:], strict=False))
    assert seen[-1] == (plan.duration, plan.duration)


def test_silence_gives_no_chunk_unless_all_is_asked_for(tmp_path: Path) -> None:
    silence = np.zeros(16_000 * 40, np.float32)
    plan, _ = run(tmp_path, silence)
    assert (plan.chunks, plan.speech_seconds, plan.duration) == ([], 0, 40)
    plan, _ = run(tmp_path, silence, vad_filter=False)
    assert plan.speech_seconds == 40
    assert [span.end - span.start <= 30 for span in plan.chunks[0].spans] == [True, True]


def test_no_audio_at_all(tmp_path: Path) -> None:
    for vad_filter in (None, True, False):
        plan, _ = run(tmp_path, np.zeros(0, np.float32), vad_filter=vad_filter)
        assert (plan.chunks, plan.duration) == ([], 0)


@pytest.mark.parametrize("seconds", [29, 1801, float("nan")])
def test_chunks_of_senseless_size_are_refused(seconds: float) -> None:
    with pytest.raises(ValidationError):
        ChunkOptions(chunk_seconds=seconds)
