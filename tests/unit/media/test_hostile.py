"""Files that are no recording or a broken one: the exact error, and what is kept of them. See also `test_corpus`."""

from pathlib import Path

import media_samples
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listening import a_sentence_for_people, lag, level, quiet
from media_samples import P001, P001_SECONDS, SAMPLES

from pipelines.documents import SAMPLE_RATE, Media
from pipelines.errors import (
    InputError,
    NoAudio,
    UnsupportedMedia,
)
from pipelines.media import ffmpeg as tool
from pipelines.media import normalise
from pipelines.stage import Limits
from tests.hostile import Workshop, corpus


@pytest.mark.parametrize("name", ["hls_of_a_host", "concat_of_a_file", "m3u_of_a_host_and_a_file"])
def test_a_suffix_does_not_help_a_playlist(tmp_path, name):
    source = tmp_path / "list.m3u8"
    source.write_bytes(corpus()[f"names_elsewhere_{name}"].make(Workshop(tmp_path, tmp_path / "x", "127.0.0.1:9")))
    with pytest.raises(UnsupportedMedia, match="not audio or video"):
        normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=quiet)


@pytest.mark.parametrize("name", ["archive_zip_of_a_recording", "archive_tar_of_a_recording", "archive_xz"])
def test_an_archive_is_called_one(convert, tmp_path, name):
    (tmp_path / "x").write_bytes(corpus()[name].make(Workshop(tmp_path, tmp_path / "x", "127.0.0.1:9")))
    with pytest.raises(UnsupportedMedia, match="archive"):
        convert(tmp_path / "x")


@pytest.mark.parametrize("name", ["wav_255_channels", "wav_65535_channels"])
def test_more_channels_than_can_be_mixed(convert, tmp_path, name):
    (tmp_path / "x").write_bytes(corpus()[name].make(Workshop(tmp_path, tmp_path / "x", "127.0.0.1:9")))
    with pytest.raises(UnsupportedMedia, match="channels, and at most 64"):
        convert(tmp_path / "x")


def test_an_older_result_is_never_taken_for_this_one(tmp_path):
    source, target = tmp_path / "source", tmp_path / "audio.wav"
    for content in (b"", b"PK\3\4", b"no media at all"):
        normalise(SAMPLES / "p001.ogg", target, limits=Limits(), progress=quiet)
        source.write_bytes(content)
        with pytest.raises(UnsupportedMedia):
            normalise(source, target, limits=Limits(), progress=quiet)
        assert not target.exists()


def test_an_empty_file(convert, tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(UnsupportedMedia, match=r"^The file is empty"):
        convert(tmp_path / "x")


def test_a_video_without_sound(convert, tmp_path):
    for name in ("x.mp4", "x.mkv", "x.avi"):
        with pytest.raises(NoAudio) as caught:
            convert(media_samples.silent_video(tmp_path / name))
        assert caught.value.code == "no_audio"
        assert a_sentence_for_people(caught.value)


def test_a_track_without_a_sample(convert, tmp_path):
    with pytest.raises(NoAudio, match="empty"):
        convert(media_samples.wav(tmp_path / "x.wav", [np.zeros(0)]))


def test_a_codec_nobody_decodes(convert, tmp_path):
    path = media_samples.tone(tmp_path / "x.mkv", "-c:a", "flac")
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_ZZZZ"))
    with pytest.raises(UnsupportedMedia, match="codec"):
        convert(path)


READABLE_WHEN_CUT = [path for path in P001 if path.suffix != ".mp4"]
SAYS_ITS_LENGTH = {".wav", ".aiff", ".flac", ".mp3", ".webm"}


@pytest.mark.parametrize("path", READABLE_WHEN_CUT, ids=lambda path: path.suffix)
def test_of_a_truncated_file_the_readable_part_is_kept(convert, tmp_path, path):
    whole = convert(path)[1]
    media, samples = convert(media_samples.truncated(tmp_path / "x", path))
    assert 0.5 * P001_SECONDS < media.duration < 0.7 * P001_SECONDS
    keep = len(samples) - SAMPLE_RATE // 5
    np.testing.assert_allclose(samples[:keep], whole[:keep], atol=0.002)
    assert [warning.code for warning in media.warnings] == ["truncated"] * (path.suffix in SAYS_ITS_LENGTH)


def test_a_truncated_mp4_with_its_index_in_front_is_kept(convert, tmp_path):
    path = tmp_path / "x.mp4"
    media_samples.ffmpeg("-i", SAMPLES / "p001.mp4", "-c", "copy", "-movflags", "+faststart", path)
    media, _ = convert(media_samples.truncated(tmp_path / "y", path))
    assert 4 < media.duration < 7
    assert [warning.code for warning in media.warnings] == ["truncated"]


def test_an_mp4_without_its_index_says_what_is_wrong(convert, tmp_path):
    with pytest.raises(UnsupportedMedia, match="incomplete") as caught:
        convert(media_samples.truncated(tmp_path / "x", SAMPLES / "p001.mp4"))
    assert a_sentence_for_people(caught.value)


@pytest.mark.parametrize("suffix", ["aac", "flac", "mp3", "mp4", "ogg", "webm"])
def test_of_a_damaged_file_the_rest_is_kept(convert, tmp_path, suffix):
    path = media_samples.damaged(tmp_path / "x", SAMPLES / f"p001.{suffix}", start=0.35, share=0.2)
    media, samples = convert(path)
    assert media.duration > 0.7 * P001_SECONDS
    assert level(samples[-3 * SAMPLE_RATE : -SAMPLE_RATE // 2]) > 0.01
    assert [warning.code for warning in media.warnings] == ["damaged"]


def test_silence_stands_for_what_is_lost(convert, tmp_path):
    """So that the words after the damage keep their times."""
    whole = convert(SAMPLES / "p001.ogg")[1]
    path = media_samples.damaged(tmp_path / "x", SAMPLES / "p001.ogg", start=0.35, share=0.2)
    samples = convert(path)[1]
    end, spoken = samples[8 * SAMPLE_RATE :], whole[8 * SAMPLE_RATE : len(samples)]
    assert abs(lag(end, spoken)) < 0.02


@pytest.mark.parametrize(
    ("riff", "data", "warnings"),
    [
        (0, 0, []),
        (0xFFFFFFFF, 0xFFFFFFFF, []),
        (0x7FFFF024, 0x7FFFF000, []),
        (1000, 964, []),
        (20_000_000, 19_999_964, ["truncated"]),
    ],
)
def test_the_sizes_in_a_wav_header_are_not_believed(convert, tmp_path, riff, data, warnings):
    media, _ = convert(media_samples.lying_wav(tmp_path / "x", riff, data))
    assert media.duration == pytest.approx(P001_SECONDS, abs=0.01)
    assert [warning.code for warning in media.warnings] == warnings


def test_tags_behind_the_sound_are_not_heard(convert, tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes((SAMPLES / "p001.wav").read_bytes() + b"LIST" + (30_000).to_bytes(4, "little") + bytes(30_000))
    assert convert(path)[0].duration == pytest.approx(P001_SECONDS, abs=0.01)


def test_a_file_that_crashes_ffmpeg_is_refused(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(tool, "find_ffmpeg", lambda: str(program))
    with pytest.raises(UnsupportedMedia, match="stops the decoder") as caught:
        normalise(SAMPLES / "p001.ogg", tmp_path / "audio.wav", limits=Limits(), progress=quiet)
    assert a_sentence_for_people(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(P001),
    holes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=64)), max_size=12),
    cut=st.floats(0.02, 1),
)
def test_whatever_is_in_the_file_it_is_a_recording_or_a_clear_error(tmp_path, path, holes, cut):
    data = bytearray(path.read_bytes())
    del data[max(64, int(len(data) * cut)) :]
    for where, noise in holes:
        at = int(where * (len(data) - 1) * (where if len(noise) % 2 else 1))  # half of them crowd into the header
        data[at : at + len(noise)] = noise
    source, target = tmp_path / "source", tmp_path / "audio.wav"
    source.write_bytes(data)
    limits = Limits(max_audio_seconds=600, ffmpeg_seconds=20)
    try:
        media = normalise(source, target, limits=limits, progress=quiet)
    except InputError as error:
        assert a_sentence_for_people(error)
        assert not target.exists()
    else:
        assert Media.model_validate_json(media.model_dump_json()) == media
        assert target.stat().st_size == 44 + round(media.duration * SAMPLE_RATE) * 2


def test_the_source_is_only_read(convert, tmp_path):
    source = Path(tmp_path / "x.ogg")
    source.write_bytes((SAMPLES / "p001.ogg").read_bytes())
    source.chmod(0o400)
    before = source.stat().st_mtime_ns
    normalise(source, tmp_path / "audio.wav", limits=Limits(), progress=quiet)
    assert source.stat().st_mtime_ns == before
    assert source.read_bytes() == (SAMPLES / "p001.ogg").read_bytes()
