"""What a run may take, how it is ended, and whose fault that is."""

import os
import signal
import time

import media_samples
import psutil
import pytest
from listening import a_sentence_for_people, quiet
from media_samples import SAMPLES

from pipelines.errors import Cancelled, InputError, ToolError, TooLong, TransientError
from pipelines.media import conversion, normalise, verdict
from pipelines.media import ffmpeg as tool
from pipelines.stage import Limits


def running_ffmpegs() -> list[int]:
    """Numbers of the ffmpeg processes this process has started; a whole installation may run beside this test."""
    return [
        child.pid for child in psutil.Process().children() if "ffmpeg" in child.name() or child.status() == "zombie"
    ]


def test_a_bomb_writes_no_more_than_the_limit(tmp_path, monkeypatch):
    source = media_samples.bomb(tmp_path / "source.flac", 3600)
    assert source.stat().st_size < 3600 * 32000 / 100
    target, largest = tmp_path / "audio.wav", []
    judge = verdict.samples_or_error

    def look_and_judge(*arguments):
        largest.append(target.stat().st_size)
        return judge(*arguments)

    monkeypatch.setattr(verdict, "samples_or_error", look_and_judge)
    with pytest.raises(TooLong) as caught:
        normalise(source, target, limits=Limits(max_audio_seconds=20), progress=quiet)
    assert caught.value.code == "too_long"
    assert a_sentence_for_people(caught.value)
    assert largest == [44 + 21 * 32000]
    assert not target.exists()


def test_what_just_fits_is_taken(convert, tmp_path):
    path = media_samples.tone(tmp_path / "x.wav", seconds=2)
    assert convert(path, limits=Limits(max_audio_seconds=2))[0].duration == pytest.approx(2, abs=0.001)
    with pytest.raises(TooLong):
        convert(path, limits=Limits(max_audio_seconds=1.9))


def test_a_run_over_its_time_is_ended(tmp_path):
    source = media_samples.long_silence(tmp_path / "source", 9 * 3600)
    target = tmp_path / "audio.wav"
    with pytest.raises(InputError) as caught:
        normalise(source, target, limits=Limits(ffmpeg_seconds=0.3), progress=quiet)
    assert caught.value.code == "timeout"
    assert a_sentence_for_people(caught.value)
    assert not target.exists()
    assert running_ffmpegs() == []


def test_cancelling_ends_ffmpeg_and_leaves_nothing(tmp_path):
    source = media_samples.long_silence(tmp_path / "source", 9 * 3600)
    target, seen = tmp_path / "audio.wav", []

    def cancelled(done: float, total: float) -> None:
        seen.append(running_ffmpegs())
        raise Cancelled("The job was cancelled.")

    started = time.monotonic()
    with pytest.raises(Cancelled):
        normalise(source, target, limits=Limits(), progress=cancelled)
    assert time.monotonic() - started < 10
    assert [len(children) for children in seen] == [1]
    assert not psutil.pid_exists(seen[0][0])  # reaped as well: a zombie's number still exists
    assert not target.exists()


def test_a_cancel_at_the_very_end_leaves_nothing_either(tmp_path):
    def cancelled(done: float, total: float) -> None:
        raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        normalise(SAMPLES / "p001.ogg", tmp_path / "audio.wav", limits=Limits(), progress=cancelled)
    assert not (tmp_path / "audio.wav").exists()


def test_progress_runs_forward_to_the_end(tmp_path):
    source = media_samples.long_silence(tmp_path / "source", 3600)
    calls: list[tuple[float, float]] = []
    media = normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=lambda *figures: calls.append(figures))
    assert media.duration == 3600
    assert all(0 <= done <= total == 3600 for done, total in calls)
    assert calls == sorted(calls)
    assert calls[-1] == (3600, 3600)


def test_progress_of_unknown_length_counts_bytes(tmp_path):
    """What a browser records has no length: its header was written before the first word."""
    source = tmp_path / "source"
    noise = ("-f", "lavfi", "-i", "anoisesrc=r=48000:d=240:c=brown", "-c:a", "flac")
    media_samples.ffmpeg(*noise, "-f", "matroska", "-live", "1", source)
    calls: list[tuple[float, float]] = []
    media = normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=lambda *figures: calls.append(figures))
    assert media.duration == pytest.approx(240, abs=0.1)
    assert {total for _, total in calls[:-1]} <= {source.stat().st_size}
    assert calls[-1] == (media.duration, media.duration)
    with source.open("rb") as stream:
        stream.seek(12345)
        assert conversion._bytes_read(os.getpid(), source) == 12345
    assert conversion._bytes_read(os.getpid(), source) == 0


def test_a_full_disk_passes_by_itself(tmp_path):
    target = tmp_path / "audio.wav"
    target.symlink_to("/dev/full")
    with pytest.raises(TransientError) as caught:
        normalise(SAMPLES / "p001.ogg", target, limits=Limits(), progress=quiet)
    assert caught.value.code == "storage_full"
    assert not target.is_symlink()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ffmpeg_killed_from_outside_may_be_tried_again(tmp_path, number):
    source = media_samples.long_silence(tmp_path / "source", 9 * 3600)

    def kill(done: float, total: float) -> None:
        # The ffmpeg alone: the session's Redis is a child of this process too.
        for child in psutil.Process().children():
            if child.name().startswith("ffmpeg"):
                child.send_signal(number)

    with pytest.raises(TransientError) as caught:
        normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=kill)
    assert caught.value.code == "interrupted"
    assert not (tmp_path / "audio.wav").exists()


def test_a_source_that_is_not_there_is_not_the_users_fault(tmp_path):
    with pytest.raises(FileNotFoundError):
        normalise(tmp_path / "source", tmp_path / "audio.wav", limits=Limits(), progress=quiet)


@pytest.mark.parametrize("status", [0, 1])
def test_a_program_that_is_no_ffmpeg_is_not_the_users_fault(tmp_path, monkeypatch, status):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\necho not today >&2\nexit {status or 127}\n")
    program.chmod(0o755)
    monkeypatch.setattr(tool, "find_ffmpeg", lambda: str(program))
    with pytest.raises(ToolError) as caught:
        normalise(SAMPLES / "p001.ogg", tmp_path / "audio.wav", limits=Limits(), progress=quiet)
    assert a_sentence_for_people(caught.value)
