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
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
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


def test_channels_are_cut_each_by_itself(tmp_path: Path) -> None:
    clip = decode_audio(str(SAMPLES / "jfk.flac"))
    silence = np.zeros_like(clip)
    left, right = np.concatenate([clip, silence, clip, clip]), np.concatenate([silence, clip * 0.5, silence, silence])
    plan, seen = run(tmp_path, np.stack([left, right, 0 * left], axis=1), channels="split", chunk_seconds=30)
    assert [(chunk.index, chunk.channel) for chunk in plan.chunks] == [(0, 1), (1, 2), (2, 1)]
    assert len(plan.seams) == 1 and plan.warnings == []
    (span, *_), length = plan.chunks[1].spans, len(clip) / 16_000
    assert length - 0.5 < span.start and plan.chunks[1].spans[-1].end < 2 * length + 0.5
    assert not any(length + 0.5 < s.start < 2 * length - 0.5 for s in plan.chunks[0].spans), "the right one's speech"
    assert plan.speech_seconds == pytest.approx(4 * 10.3, abs=4)
    assert seen == sorted(seen) and seen[-1] == (plan.duration, plan.duration)


def test_two_people_at_once_are_found_apart(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, decode_stereo("stereo_diarization.wav"), channels="split")
    assert [chunk.channel for chunk in plan.chunks] == [1, 2]
    assert plan.chunks[0].spans[-1].end > 4.5 and plan.chunks[1].spans[-1].end < 3.5
    assert plan.speech_seconds > plan.duration


def test_the_same_sound_twice_is_transcribed_once_and_told(tmp_path: Path) -> None:
    clip = decode_audio(str(SAMPLES / "jfk.flac"))
    plan, _ = run(tmp_path, np.stack([clip, 0.7 * clip], axis=1), channels="split")
    assert [chunk.channel for chunk in plan.chunks] == [1]
    (warn,) = plan.warnings
    assert warn.code == "channels_alike"
    assert warn.detail == "Channel 2 has the same sound as channel 1, so its words stand once, as Channel 1."


def test_one_channel_by_itself_is_channel_one(tmp_path: Path) -> None:
    clip = decode_audio(str(SAMPLES / "jfk.flac"))
    apart, _ = run(tmp_path, clip, channels="split")
    mixed, _ = run(tmp_path, clip)
    assert [chunk.channel for chunk in apart.chunks] == [1]
    assert apart.chunks[0].model_copy(update={"channel": None}) == mixed.chunks[0]


def test_nobody_in_any_channel_gives_no_chunk(tmp_path: Path) -> None:
    silence = np.zeros((16_000 * 40, 2), np.float32)
    plan, _ = run(tmp_path, silence, channels="split")
    assert (plan.chunks, plan.seams, plan.speech_seconds, plan.duration, plan.warnings) == ([], [], 0, 40, [])
    plan, _ = run(tmp_path, np.zeros((0, 2), np.float32), channels="split", vad_filter=False)
    assert (plan.chunks, plan.duration) == ([], 0)
    plan, _ = run(tmp_path, silence, channels="split", vad_filter=False)
    assert plan.speech_seconds == 80


def decode_stereo(name: str) -> np.ndarray:
    with wave.open(str(SAMPLES / name)) as source:
        return np.frombuffer(source.readframes(source.getnframes()), "<i2").reshape(-1, 2) / 32768
