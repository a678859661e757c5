"""What people send: silence, videos, broken files, traps. Each gives what the contract says, and the worker lives."""

import socket
import subprocess
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.media.ffmpeg import find_ffmpeg
from tests import recordings
from tests.stack import ROOT, Stack

SAMPLE = ROOT / "models" / "demo" / "sample.flac"


@pytest.fixture(scope="module", autouse=True)
def workers_live(stack: Stack) -> Iterator[None]:
    """The same children serve before and after, and a user's bad file is no error of ours in the log."""
    names = ["cpu", "gpu1", "gpu2"]
    before = {name: sorted(p.pid for p in stack.children(name)) for name in names}
    logged = len(stack.log("cpu"))
    yield
    assert "Traceback" not in stack.log("cpu")[logged:]
    assert {name: sorted(p.pid for p in stack.children(name)) for name in names} == before
    assert stack.run(SAMPLE)["status"] == "done"


def convert(source: Path, target: Path, *options: str) -> Path:
    command = [str(find_ffmpeg()), "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


@pytest.mark.parametrize("sound", ["silence", "noise", "hum"])
def test_nothing_is_invented_where_nobody_speaks(stack: Stack, tmp_path: Path, sound: str) -> None:
    made = {"silence": recordings.silence, "noise": recordings.white_noise, "hum": recordings.hum}[sound](20)
    done = stack.run(made.write(tmp_path / "x.wav"))
    assert done["status"] == "done"
    transcript = stack.transcript(done["id"])
    assert (transcript["text"], transcript["segments"]) == ("", [])
    assert transcript["duration"] == pytest.approx(20, abs=0.01)
    assert stack.client.get(f"/v1/jobs/{done['id']}/transcript.vtt").text.strip() == "WEBVTT"


def test_a_fifth_of_a_second(stack: Stack, tmp_path: Path) -> None:
    done = stack.run(recordings.white_noise(0.2).write(tmp_path / "x.wav"))
    assert done["status"] == "done"
    assert stack.transcript(done["id"])["duration"] == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("container", ["wav", "aiff", "flac", "mp3", "aac", "mp4", "ogg", "webm"])
def test_every_container_has_the_same_duration(stack: Stack, samples: Path, container: str) -> None:
    # A name that lies: what counts is the content.
    done = stack.run(samples / f"p001.{container}", name="talk.exe")
    assert done["status"] == "done", done["error"]
    truth = 9.0
    with wave.open(str(samples / "p001.wav")) as w:
        truth = w.getnframes() / w.getframerate()
    assert stack.transcript(done["id"])["duration"] == pytest.approx(truth, abs=0.06)
    assert done["source"]["duration"] == pytest.approx(truth, abs=0.06)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("8bit.wav", ["-c:a", "pcm_u8"]),
        ("24bit.wav", ["-c:a", "pcm_s24le"]),
        ("32bit.wav", ["-c:a", "pcm_s32le"]),
        ("float.wav", ["-c:a", "pcm_f32le"]),
        ("double.wav", ["-c:a", "pcm_f64le"]),
        ("surround.wav", ["-ac", "6", "-c:a", "pcm_s16le"]),
        ("8k.wav", ["-ar", "8000"]),
        ("96k.flac", ["-ar", "96000"]),
        (
            "video.mp4",
            ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=29", "-map", "0:a", "-map", "1:v", "-shortest"],
        ),
        (
            "video.mkv",
            ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=29", "-map", "1:v", "-map", "0:a", "-shortest"],
        ),
    ],
)
def test_every_kind_of_audio_is_understood(stack: Stack, tmp_path: Path, name: str, options: list[str]) -> None:
    done = stack.run(convert(SAMPLE, tmp_path / name, *options), name=name)
    assert done["status"] == "done", done["error"]
    assert stack.transcript(done["id"])["text"].startswith("Welcome to the product demo."), name


def test_a_truncated_file_gives_what_there_is(stack: Stack, tmp_path: Path) -> None:
    whole = convert(SAMPLE, tmp_path / "whole.mp3").read_bytes()
    done = stack.run(whole[: len(whole) // 2], name="half.mp3")
    assert done["status"] == "done"
    transcript = stack.transcript(done["id"])
    assert transcript["text"].startswith("Welcome to the product demo.")
    assert 12 < transcript["duration"] < 16


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n%s\n#EXT-X-ENDLIST\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio %d RTP/AVP 0\n"
TRAPS = {
    "text": lambda _: b"Dear sir or madam,\n" * 200,
    "zeros": lambda _: b"\0" * 5000,
    "playlist to a file": lambda _: HLS % b"file:///etc/passwd",
    "playlist to a host": lambda port: HLS % b"http://127.0.0.1:%d/x.ts" % port,
    "concat script": lambda _: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "session description": lambda port: SDP % port,
    "subtitles": lambda _: b"1\n00:00:00,000 --> 00:00:09,000\nHello\n",
    "picture": lambda _: b"\x89PNG\r\n\x1a\n" + b"\0" * 500,
    "archive": lambda _: b"PK\x03\x04" + b"\0" * 500,
}


@pytest.mark.parametrize("name", list(TRAPS))
def test_traps_are_refused_with_a_sentence(stack: Stack, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failed = stack.run(TRAPS[name](listener.getsockname()[1]), name="talk.mp3")
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "unsupported_media"
        assert failed["error"]["stage"] == "normalise"
        assert failed["error"]["detail"].endswith(".") and " " in failed["error"]["detail"]
        assert "root:" not in str(failed) and str(stack.folder) not in str(failed)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_video_without_sound_has_no_audio(stack: Stack, tmp_path: Path) -> None:
    target = tmp_path / "silent.mp4"
    command = [
        str(find_ffmpeg()),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x48:rate=5:duration=3",
        str(target),
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    failed = stack.run(target)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "no_audio")


def test_an_empty_file_is_refused_at_once(stack: Stack) -> None:
    answer = stack.client.post("/v1/jobs", files={"file": ("talk.mp3", b"")})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media")


def test_two_channels_are_mixed(stack: Stack, tmp_path: Path) -> None:
    said = recordings.utterance(5)
    audio = np.asarray(said.audio)
    pcm = (audio * 32767).astype(np.int16) if audio.dtype.kind == "f" else audio
    with wave.open(str(tmp_path / "one-sided.wav"), "wb") as w:
        w.setnchannels(2)
        w.setsampwidth(2)
        w.setframerate(16000)
        w.writeframes(np.stack([pcm, np.zeros_like(pcm)], axis=1).tobytes())
    done = stack.run(tmp_path / "one-sided.wav")
    assert stack.transcript(done["id"])["text"] != ""
