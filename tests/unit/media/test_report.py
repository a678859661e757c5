"""What ffmpeg says is understood, and what a file says through it is not believed."""

import subprocess
import sys

import pytest

from pipelines.errors import ToolError
from pipelines.media import ffmpeg as tool
from pipelines.media import find_ffmpeg, media_type
from pipelines.media.report import Report, channel_count
from pipelines.media.types import container_name

NEW = """\
[in#0 @ 0x55] [info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:/x/source':
[info]   Metadata:
[info]     title           : Stream #0:0: Audio: evil, 1 Hz, mono
[info]   Duration: 01:02:03.50, start: 0.000000, bitrate: 66 kb/s
[info]   Stream #0:0[0x1](eng): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 1280x720, 25 fps (default)
[info]   Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, 5.1(side), fltp, 64 kb/s (default)
[info]   Stream #0:2[0x3](und): Audio: mp3 (mp3float), 8000 Hz, mono, fltp
[info] Output #0, wav, to 'file:/x/audio.wav':
[info]   Stream #0:0: Audio: pcm_s16le ([1][0][0][0] / 0x0001), 16000 Hz, mono, s16, 256 kb/s"""

OLD = """\
[mp3 @ 0x13738500] [warning] Estimating duration from bitrate, this may be inaccurate
[info] Input #0, mp3, from 'file:/x/source':
[info]   Duration: 00:00:09.04, start: 0.025057, bitrate: 64 kb/s
[info]     Stream #0:0: Audio: mp3, 44100 Hz, stereo, fltp, 64 kb/s
[info]     Stream #0:1: Video: png, rgb24(pc), 300x300, 90k tbr (attached pic)"""


def read(text: str) -> Report:
    report = Report()
    for line in text.splitlines():
        report.log_line(line)
    return report


def test_the_words_of_a_new_and_of_an_old_version():
    new, old = read(NEW), read(OLD)
    assert (new.demuxer, new.codec, new.sample_rate, new.channels) == ("mov,mp4,m4a,3gp,3g2,mj2", "aac", 44100, 6)
    assert (new.claimed, new.estimated, new.has_video) == (3723.5, False, True)
    assert (old.demuxer, old.codec, old.sample_rate, old.channels) == ("mp3", "mp3", 44100, 2)
    assert (old.claimed, old.estimated, old.has_video) == (9.04, True, False)


@pytest.mark.parametrize(
    "words",
    ["No space left on device", "matches no streams", "Unrecognized option", "[error] Cannot allocate memory"],
)
def test_a_title_cannot_speak_for_ffmpeg(words):
    report = read(NEW.replace("Stream #0:0: Audio: evil", words))
    assert not (report.disk_full or report.no_track or report.misused or report.no_memory or report.errors)
    assert report.codec == "aac"
    assert read(f"[out#0/wav @ 0x1] [error] {words}").errors


def test_repeated_failures_are_counted():
    failed = "[aist#0:0/mp3 @ 0x1] [dec:mp3float @ 0x2] [error] Error submitting packet to decoder: Invalid data"
    report = read(f"{NEW}\n{failed}")
    assert (report.undecoded, report.damaged) == (1, False)
    report.log_line("    Last message repeated 9 times")
    assert (report.undecoded, report.damaged) == (10, True)


@pytest.mark.parametrize(
    ("layout", "count"),
    [
        ("mono", 1), ("stereo", 2), ("5.1", 6), ("5.1(side)", 6), ("7.1(wide-side)", 8), ("7.1.4", 12), ("22.2", 24),
        ("quad(side)", 4), ("6 channels (FL+FR+FC+LFE+BL+BR)", 6), ("32 channels", 32), ("ambisonic 1", 4), ("odd", 0),
    ],
)  # fmt: skip
def test_channels_of_a_layout(layout, count):
    assert channel_count(layout) == count


@pytest.mark.parametrize(
    ("demuxer", "head", "name"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x20ftypM4A \0\0\0\0", "m4a"),
        ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x20ftypisom\0\0\0\0", "mp4"),
        ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x20ftyp3gp5\0\0\0\0", "3gp"),
        ("mov,mp4,m4a,3gp,3g2,mj2", b"\0\0\0\x20moov", "mov"),
        ("matroska,webm", b"\x1aE\xdf\xa3\x01B\x82\x84webm", "webm"),
        ("matroska,webm", b"\x1aE\xdf\xa3\x01B\x82\x88matroska", "matroska"),
        ("wav", b"RIFF", "wav"),
        ("asf_o", b"", "asf"),
        ("<script>", b"", "unknown"),
    ],
)
def test_names_of_containers(demuxer, head, name):
    assert container_name(demuxer, head) == name


def test_a_source_is_served_as_something_a_browser_plays_and_never_runs():
    assert media_type("mp3") == "audio/mpeg"
    assert media_type("m4a") == "audio/mp4"
    assert media_type("webm") == "video/webm"
    for name in ("unknown", "html", "svg", "", "text/html", "nut"):
        assert media_type(name) == "application/octet-stream"
    for name in tool.DEMUXERS.split(","):
        assert media_type(container_name(name, b"")).split("/")[0] in ("audio", "video", "application")


def test_no_demuxer_that_opens_other_files_is_allowed():
    allowed = set(tool.DEMUXERS.split(","))
    others = (
        "hls applehttp dash concat ffmetadata image2 image2pipe lavfi sdp rtsp rtp sap imf webm_dash_manifest vobsub"
    )
    assert not allowed & set(f"{others} tty srt webvtt ass svg_pipe png_pipe mlv libopenmpt libgme avisynth".split())


def test_without_any_ffmpeg_the_error_says_what_to_do(monkeypatch, tmp_path):
    find_ffmpeg.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    try:
        with pytest.raises(ToolError, match="install ffmpeg"):
            find_ffmpeg()
        own = tmp_path / "ffmpeg"
        own.write_text("#!/bin/sh\n")
        own.chmod(0o755)
        assert find_ffmpeg() == str(own)
    finally:
        find_ffmpeg.cache_clear()


def test_the_web_process_may_import_all_this():
    program = (
        "import sys, pipelines.media, pipelines.stages.normalise\n"
        "print(sorted({'av', 'numpy', 'imageio_ffmpeg', 'ctranslate2', 'faster_whisper'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_decoder_of_a_cover_is_no_error_and_that_of_the_sound_is_known():
    report = Report()
    report.log_line("[png @ 0x1] [error] Codec (png) not on whitelist 'aac,mp3'")
    report.log_line("[info] Input #0, mp3, from 'file:source':")
    report.log_line("[info]   Stream #0:0: Audio: roq_dpcm, 22050 Hz, mono, s16")
    assert (list(report.errors), report.damaged, report.codec in report.not_allowed) == ([], False, False)
    report.log_line("[roq_dpcm @ 0x2] [error] Codec (roq_dpcm) not on whitelist 'aac,mp3'")
    assert report.codec in report.not_allowed


def test_what_is_kept_for_the_log_cannot_steer_a_terminal():
    report = Report()
    report.log_line("[x @ 0x1] [error] a\u009b31mb\u202ec\u2028d")
    assert list(report.errors) == ["a?31mb?c?d"]


def test_lost_silence_is_damage():
    report = Report()
    report.log_line("[Parsed_aresample_2 @ 0x1] [SWR @ 0x2] [error] Failed to compensate for timestamp delta of 3589.9")
    assert report.damaged


def test_only_its_own_word_says_that_ffmpeg_was_stopped():
    report = Report()
    report.log_line("[error] Operation not permitted")
    assert not report.stopped
    report.log_line("[info] Exiting normally, received signal 15.")
    assert report.stopped


def test_only_decoders_of_sound_are_allowed():
    listed = subprocess.run([find_ffmpeg(), "-v", "quiet", "-decoders"], capture_output=True, text=True, check=True)
    kinds = {line.split()[1]: line.split()[0][0] for line in listed.stdout.splitlines() if len(line.split()) > 2}
    assert kinds["h264"] == "V"
    allowed = tool.DECODERS.split(",")
    assert len(allowed) == len(set(allowed))
    assert {kinds.get(name, "A") for name in allowed} == {"A"}
    common = "aac ac3 alac amrnb amrwb ape dca eac3 flac mp2float mp3float opus pcm_s16le vorbis wavpack wmav2"
    assert {name for name in common.split() if kinds.get(name)} <= set(allowed)
