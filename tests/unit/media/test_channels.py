"""Channels that stay apart."""

import media_samples
import numpy as np
import pytest
from listening import a_sentence_for_people, quiet
from media_samples import SAMPLES

from pipelines.documents import SAMPLE_RATE
from pipelines.errors import OptionsError, TooLong
from pipelines.media import conversion, normalise, verdict
from pipelines.stage import Limits
from pipelines.wav import WavReader

TIME = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
TONES = [0.3 * np.sin(2 * np.pi * (300 + 100 * n) * TIME) for n in range(17)]


@pytest.fixture
def split(tmp_path):
    """A file with its channels apart: the document, and a row of samples for each channel."""

    def split(path, *, limits=Limits(), progress=quiet):  # noqa: B008 - a value
        target = tmp_path / "audio.wav"
        media = normalise(path, target, limits=limits, progress=progress, split=True)
        with target.open("rb") as stream:
            reader = WavReader(stream)
            assert media.duration == reader.duration
            return media, np.concatenate([np.zeros((reader.channels, 0)), *reader.blocks_apart(30)], axis=1)

    return split


def pitches(samples) -> list[int]:
    middle = samples[:, 4000:28000] * np.hanning(24000)
    return [round(int(np.abs(np.fft.rfft(row)).argmax()) * SAMPLE_RATE / 24000) for row in middle]


def tones(count: int) -> list[int]:
    return [300 + 100 * n for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8, 16])
def test_each_channel_is_itself(split, tmp_path, count):
    media, samples = split(media_samples.wav(tmp_path / "x.wav", TONES[:count]))
    assert media.channels == len(samples) == count
    assert pitches(samples) == tones(count)
    assert media.warnings == []


@pytest.mark.parametrize(
    ("name", "layout", "count"),
    [("x.flac", "stereo", 2), ("x.opus", "stereo", 2), ("x.flac", "2.1", 3), ("x.flac", "5.1", 6), ("x.mkv", "7.1", 8)],
)
def test_whatever_the_channels_are_called(split, tmp_path, name, layout, count):
    expression = "|".join(f"0.3*sin({hertz}*2*PI*t)" for hertz in tones(count))
    path = tmp_path / name
    media_samples.ffmpeg("-f", "lavfi", "-i", f"aevalsrc={expression}:d=2:s=48000:c={layout}", path)
    media, samples = split(path)
    assert media.channels == count
    assert pitches(samples) == tones(count)


def test_too_many_channels_are_refused_with_what_to_do(tmp_path):
    source, target = media_samples.wav(tmp_path / "x.wav", TONES), tmp_path / "audio.wav"
    with pytest.raises(OptionsError, match="17 channels, and at most 16") as caught:
        normalise(source, target, limits=Limits(), progress=quiet, split=True)
    assert caught.value.code == "invalid_option"
    assert a_sentence_for_people(caught.value)
    assert not target.exists()


def test_the_first_run_ends_as_soon_as_there_are_several_channels(split, tmp_path, monkeypatch):
    runs = []
    command = conversion.ffmpeg.command

    def note(*arguments, **options):
        runs.append(options["channels"])
        return command(*arguments, **options)

    monkeypatch.setattr(conversion.ffmpeg, "command", note)
    split(media_samples.wav(tmp_path / "x.wav", TONES[:1]))
    assert runs == [1]
    split(SAMPLES / "stereo_diarization.wav")
    assert runs == [1, 1, 2]


def test_a_bomb_with_many_channels_writes_no_more_than_the_limit(tmp_path, monkeypatch):
    source, target, largest = tmp_path / "source.flac", tmp_path / "audio.wav", []
    media_samples.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000:cl=7.1:d=300", "-c:a", "flac", source)
    judge = verdict.samples_or_error

    def look_and_judge(*arguments):
        largest.append(target.stat().st_size)
        return judge(*arguments)

    monkeypatch.setattr(verdict, "samples_or_error", look_and_judge)
    with pytest.raises(TooLong):
        normalise(source, target, limits=Limits(max_audio_seconds=20), progress=quiet, split=True)
    assert largest == [68 + 8 * 21 * 32000]
    assert not target.exists()


def test_many_channels_share_what_a_file_can_hold(split, tmp_path, monkeypatch):
    monkeypatch.setattr(verdict, "MAX_WAV_SECONDS", 6)
    path = media_samples.wav(tmp_path / "x.wav", TONES[:3])
    assert split(path)[0].duration == 2
    with pytest.raises(TooLong, match="whose 4 channels are transcribed apart") as caught:
        split(media_samples.wav(tmp_path / "y.wav", TONES[:4]))
    assert a_sentence_for_people(caught.value)


def test_progress_goes_to_the_end(tmp_path):
    source, calls = tmp_path / "source.flac", []
    media_samples.ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=stereo:d=600", "-c:a", "flac", source)
    normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=lambda *f: calls.append(f), split=True)
    assert all(0 <= done <= total == 600 for done, total in calls)
    assert calls[-1] == (600, 600)


def test_a_gap_is_silence_in_every_channel(split, tmp_path):
    path, count = tmp_path / "x.mkv", 16
    gap = conversion.ffmpeg.LONGEST_GAP_SECONDS // count - 5
    expression = "|".join(f"0.3*sin({hertz}*2*PI*t)" for hertz in tones(count))
    media_samples.ffmpeg(
        *("-f", "lavfi", "-i", f"aevalsrc={expression}:d=2:s=16000"),
        *("-af", f"asetpts=PTS+gte(T\\,1)*{gap}/TB", "-c:a", "pcm_s16le", path),
    )
    media, samples = split(path)
    assert media.duration == pytest.approx(gap + 2, abs=0.1)
    assert np.abs(samples[:, 2 * SAMPLE_RATE : -2 * SAMPLE_RATE]).max() == 0
    assert np.abs(samples[:, -SAMPLE_RATE // 2 :]).max(axis=1).min() > 0.2


def test_what_is_no_media_is_told_as_ever(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"no media at all" * 100)
    with pytest.raises(verdict.UnsupportedMedia):
        normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=quiet, split=True)
