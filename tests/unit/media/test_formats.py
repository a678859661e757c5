"""Everything that is a recording becomes the same audio, with the same length."""

from pathlib import Path

import media_samples
import numpy as np
import pytest
from listening import correlation, level, pitch, quiet
from media_samples import P001, P001_SECONDS, SAMPLES

from pipelines.documents import SAMPLE_RATE
from pipelines.media import normalise
from pipelines.stage import Limits

EXPECTED = {
    "aac": ("aac", "aac"),
    "aiff": ("aiff", "pcm_s16be"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "mp3"),
    "mp4": ("mp4", "aac"),
    "ogg": ("ogg", "vorbis"),
    "wav": ("wav", "pcm_s16le"),
    "webm": ("webm", "vorbis"),
}


@pytest.mark.parametrize("path", P001, ids=lambda path: path.suffix)
def test_every_container_gives_the_same_audio(convert, path):
    reference = convert(SAMPLES / "p001.wav")[1]
    media, samples = convert(path)
    assert media.duration == pytest.approx(P001_SECONDS, abs=0.06)
    assert (media.format, media.codec) == EXPECTED[path.suffix[1:]]
    assert (media.sample_rate, media.channels, media.warnings) == (44100, 2, [])
    assert correlation(samples, reference) > 0.98


def test_the_samples_cover_every_container():
    assert {path.suffix[1:] for path in P001} == set(EXPECTED)


@pytest.mark.parametrize(
    "codec",
    [
        "pcm_u8",
        "pcm_s24le",
        "pcm_s32le",
        "pcm_f32le",
        "pcm_f64le",
        "pcm_mulaw",
        "pcm_alaw",
        "adpcm_ima_wav",
        "adpcm_ms",
    ],
)
def test_every_kind_of_wav(convert, tmp_path, codec):
    path = tmp_path / "x.wav"
    media_samples.ffmpeg("-i", SAMPLES / "jfk.flac", "-c:a", codec, path)
    reference = convert(SAMPLES / "jfk.flac")[1]
    media, samples = convert(path)
    assert (media.format, media.codec) == ("wav", codec)
    assert media.duration == pytest.approx(11.0, abs=0.05)
    assert level(samples) == pytest.approx(level(reference), rel=0.05)
    assert correlation(samples, reference) > 0.98


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 48000, 96000, 192000])
def test_every_sample_rate(convert, tmp_path, rate):
    media, samples = convert(media_samples.tone(tmp_path / "x.flac", rate=rate))
    assert media.sample_rate == rate
    assert media.duration == pytest.approx(2.0, abs=0.002)
    assert pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("x.m4a", (), ("m4a", "aac")),
        ("x.mov", (), ("mov", "aac")),
        ("x.3gp", ("-c:a", "aac"), ("3gp", "aac")),
        ("x.mp4", ("-movflags", "+frag_keyframe+empty_moov"), ("mp4", "aac")),
        ("x.opus", ("-c:a", "libopus"), ("ogg", "opus")),
        ("x.mka", ("-c:a", "flac"), ("matroska", "flac")),
        ("x.webm", ("-c:a", "libopus", "-live", "1"), ("webm", "opus")),
        ("x.wma", (), ("asf", "wmav2")),
        ("x.ac3", (), ("ac3", "ac3")),
        ("x.ts", ("-c:a", "aac"), ("mpegts", "aac")),
        ("x.caf", ("-c:a", "pcm_s16be"), ("caf", "pcm_s16be")),
        ("x.au", (), ("au", "pcm_s16be")),
        ("x.w64", (), ("w64", "pcm_s16le")),
        ("x.flv", ("-c:a", "libmp3lame"), ("flv", "mp3")),
        ("x.avi", ("-c:a", "libmp3lame"), ("avi", "mp3")),
        ("x.wv", (), ("wv", "wavpack")),
    ],
)
def test_other_containers(convert, tmp_path, name, arguments, expected):
    media, samples = convert(media_samples.tone(tmp_path / name, *arguments))
    assert (media.format, media.codec) == expected
    assert media.duration == pytest.approx(2.0, abs=0.1)  # whole frames: 46 ms each in WMA
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert media.warnings == []


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv", "x.mov", "x.avi", "x.mpg"])
def test_the_sound_of_a_video(convert, tmp_path, name):
    arguments = ("-c:v", "mpeg1video", "-r", "25") if name == "x.mpg" else ()
    media, samples = convert(media_samples.video(tmp_path / name, *arguments))
    assert media.duration == pytest.approx(2.0, abs=0.08)
    assert pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("flags", ["", "+faststart"])
def test_the_index_of_an_mp4_may_stand_at_either_end(convert, tmp_path, flags):
    path = media_samples.video(tmp_path / "x.mp4", *(["-movflags", flags] if flags else []))
    data = path.read_bytes()
    assert (data.index(b"moov") < data.index(b"mdat")) == bool(flags)
    assert convert(path)[0].duration == pytest.approx(2.0, abs=0.08)


def test_a_cover_picture_is_no_video(convert, tmp_path):
    media, _ = convert(media_samples.with_cover(tmp_path / "x.mp3"))
    assert (media.format, media.codec, media.warnings) == ("mp3", "mp3", [])
    assert media.duration == pytest.approx(P001_SECONDS, abs=0.06)


def test_the_first_audio_track_is_taken(convert, tmp_path):
    _, samples = convert(media_samples.two_tracks(tmp_path / "x.mkv"))
    assert pitch(samples) == pytest.approx(440, abs=1)


def test_six_channels_are_mixed_without_clipping(convert, tmp_path):
    path = tmp_path / "x.flac"
    loud = "|".join(["0.99*sin(880*PI*t)"] * 6)
    media_samples.ffmpeg("-f", "lavfi", "-i", f"aevalsrc={loud}:c=5.1:s=48000:d=1", path)
    media, samples = convert(path)
    assert media.channels == 6
    assert 0.5 < np.max(np.abs(samples)) < 1.0
    assert np.max(np.abs(np.diff(samples))) < 0.2  # a clipped or wrapped sine has steps


@pytest.mark.parametrize("channels", [2, 3, 4, 6, 8, 12, 32])
@pytest.mark.parametrize("last", [False, True])
def test_a_voice_in_any_channel_is_heard(convert, tmp_path, channels, last):
    """Also where nobody says what the channels are: in a cinema's order, the fourth would be dropped as bass."""
    voice = 0.8 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    where = channels - 1 if last else min(3, channels - 1)
    tracks = [voice if n == where else np.zeros(SAMPLE_RATE) for n in range(channels)]
    media, samples = convert(media_samples.wav(tmp_path / "x.wav", tracks))
    assert media.channels == channels
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert level(samples) > 0.9 * level(voice) / channels


def test_a_sound_that_begins_after_the_picture_keeps_its_time(convert, tmp_path):
    for name in ("x.mkv", "x.mp4"):
        media, samples = convert(media_samples.video(tmp_path / name, seconds=3, audio_from=1.5))
        assert media.duration == pytest.approx(3.0, abs=0.08)
        assert level(samples[: int(1.4 * SAMPLE_RATE)]) == 0
        assert level(samples[int(1.6 * SAMPLE_RATE) :]) > 0.05


def test_a_pause_in_the_time_stamps_becomes_silence(convert, tmp_path):
    media, samples = convert(media_samples.paused(tmp_path / "x.mkv"))
    assert media.duration == pytest.approx(4.0, abs=0.06)
    assert level(samples[int(1.2 * SAMPLE_RATE) : int(2.8 * SAMPLE_RATE)]) == 0
    assert level(samples[int(3.1 * SAMPLE_RATE) : int(3.9 * SAMPLE_RATE)]) > 0.05


def test_a_broken_clock_adds_no_hours(convert, tmp_path):
    media, samples = convert(media_samples.broken_clock(tmp_path / "x.mkv"))
    assert media.duration == pytest.approx(2.0, abs=0.06)
    assert level(samples) == pytest.approx(0.088, rel=0.1)


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "aac"])
def test_joined_files_are_heard_to_the_end(convert, tmp_path, suffix):
    """The second part's time stamps begin anew."""
    path = SAMPLES / f"p001.{suffix}"
    once = convert(path)[1]
    media, samples = convert(media_samples.joined(tmp_path / "x", path, path))
    assert media.duration == pytest.approx(2 * P001_SECONDS, abs=0.12)
    assert media.warnings == []
    assert correlation(samples[-len(once) :], once) > 0.95


@pytest.mark.parametrize("seconds", [0.01, 0.2])
def test_a_very_short_file(convert, tmp_path, seconds):
    media, _ = convert(media_samples.tone(tmp_path / "x.wav", seconds=seconds))
    assert media.duration == pytest.approx(seconds, abs=0.002)


def test_an_odd_name_is_only_a_name(tmp_path):
    for name in ("-i", "a:b", "%03d.m3u8", "concat:x|y", "ü 'x\".jpg", "*.wav"):
        source = tmp_path / name
        source.write_bytes((SAMPLES / "p001.ogg").read_bytes())
        media = normalise(source, tmp_path / "out %d", limits=Limits(), progress=quiet)
        assert media.format == "ogg"
        assert (tmp_path / "out %d").stat().st_size > 280_000


def test_a_relative_path_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-source").write_bytes((SAMPLES / "p001.ogg").read_bytes())
    assert normalise(Path("-source"), Path("-out"), limits=Limits(), progress=quiet).codec == "vorbis"
