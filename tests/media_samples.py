"""Media files of every kind a user may send, odd and hostile ones included: `import media_samples`.

Each function writes one file and returns its path. What `ffmpeg` can make is made by it on the spot.
"""

import shutil
import subprocess
import wave
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.media import find_ffmpeg

SAMPLES = Path(__file__).parent / "samples"
P001_SECONDS = 8.995
"""Of the WAV file, which the other containers were made from."""
P001 = sorted(SAMPLES.glob("p001.*"))

HOST_FILE = "/etc/passwd"
"""A file of the server that no upload may reach."""


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(
        [find_ffmpeg(), "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, arguments)],
        check=True,
        capture_output=True,
    )


def tone(path: Path, *arguments: str, hertz: int = 440, seconds: float = 2.0, rate: int = 44100) -> Path:
    """A sine at -18 dB in whatever container the suffix says, or `arguments` ask for."""
    ffmpeg("-f", "lavfi", "-i", f"sine=f={hertz}:r={rate}:d={seconds}", *arguments, path)
    return path


def video(path: Path, *arguments: str, seconds: float = 2.0, audio_from: float = 0.0) -> Path:
    """A moving picture with a tone that may begin later."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc=s=160x120:r=10:d={seconds}"),
        *("-itsoffset", str(audio_from), "-f", "lavfi", "-i", f"sine=f=440:r=48000:d={seconds - audio_from}"),
        *("-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", *arguments, path),
    )
    return path


def silent_video(path: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=1", "-c:v", "mpeg4", path)
    return path


def two_tracks(path: Path) -> Path:
    """440 Hz in the first audio track, 1500 Hz in the second, which is marked as the default one."""
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=f=440:d=2", "-f", "lavfi", "-i", "sine=f=1500:d=2", "-map", "0", "-map", "1"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", path),
    )
    return path


def with_cover(path: Path) -> Path:
    """An MP3 with a picture of more than a megabyte in front of it."""
    cover = path.with_suffix(".png")
    ffmpeg("-f", "lavfi", "-i", "nullsrc=s=900x900,geq=random(1)*255:128:128", "-frames:v", "1", cover)
    ffmpeg(
        *("-i", SAMPLES / "p001.mp3", "-i", cover, "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:v", "attached_pic", "-metadata", "title=No space left on device", path),
    )
    return path


def paused(path: Path) -> Path:
    """Two seconds of tone whose time stamps jump from 1 s to 3 s."""
    return tone(path, "-af", "asetpts=PTS+gte(T\\,1)*2/TB", "-c:a", "pcm_s16le")


def broken_clock(path: Path) -> Path:
    """Two seconds of tone whose time stamps jump ahead by twenty hours."""
    return tone(path, "-af", "asetpts=PTS+gte(T\\,1)*72000/TB", "-c:a", "pcm_s16le")


def joined(path: Path, first: Path, second: Path) -> Path:
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def truncated(path: Path, source: Path, share: float = 0.6) -> Path:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damaged(path: Path, source: Path, *, start: float, share: float, seed: int = 1) -> Path:
    """Noise over a share of the bytes."""
    data = bytearray(source.read_bytes())
    first, length = int(len(data) * start), int(len(data) * share)
    data[first : first + length] = np.random.default_rng(seed).bytes(length)
    path.write_bytes(data)
    return path


def lying_wav(path: Path, riff_bytes: int, data_bytes: int) -> Path:
    """`p001.wav` with other sizes in its header."""
    data = bytearray((SAMPLES / "p001.wav").read_bytes())
    at = data.index(b"data") + 4
    data[4:8], data[at : at + 4] = riff_bytes.to_bytes(4, "little"), data_bytes.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def wav(path: Path, channels: Sequence[np.ndarray], rate: int = 16000) -> Path:
    """A plain WAV file of float channels in [-1, 1], which does not say what its channels are."""
    samples = np.clip(np.stack(channels, axis=1) * 32767, -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def long_silence(path: Path, seconds: float) -> Path:
    """A WAV file of zeros that takes no room on the disk."""
    size = int(seconds * 32000)
    wav(path, [np.zeros(1)])
    with path.open("r+b") as file:
        file.seek(4)
        file.write((36 + size).to_bytes(4, "little"))
        file.seek(40)
        file.write(size.to_bytes(4, "little"))
        file.truncate(44 + size)
    return path


def bomb(path: Path, seconds: float) -> Path:
    """Hours of silence in some kilobytes."""
    ffmpeg("-f", "lavfi", "-i", f"anullsrc=r=8000:cl=mono:d={seconds}", "-c:a", "flac", path)
    return path


def unlike_media(
    folder: Path, *, file: str | Path = HOST_FILE, url: str = "http://127.0.0.1:9/live.mp3"
) -> dict[str, Path]:
    """Files that are no media, most of which name `file` or `url` for ffmpeg to open; by what they are."""
    hls = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
    real = SAMPLES / "p001.mp3"
    texts = {
        "hls_file": hls.format(file),
        "hls_protocol": hls.format(f"file://{file}"),
        "hls_subfile": hls.format(f"subfile,,start,0,end,9,,:{file}"),
        "hls_media": hls.format(real),
        "hls_url": hls.format(url),
        "concat_file": f"ffconcat version 1.0\nfile {file}\n",
        "concat_media": f"ffconcat version 1.0\nfile '{real}'\n",
        "concat_url": f"ffconcat version 1.0\nfile {url}\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="audio/mp4">'
            f'<Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>'
        ),
        "m3u": f"{url}\n{real}\n",
        "pls": f"[playlist]\nFile1={url}\nNumberOfEntries=1\n",
        "smil": f'<smil><body><audio src="{url}"/></body></smil>',
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "asf_reference": f"[Reference]\r\nRef1={url}\r\n",
        "rtsp_text": f"RTSPtextRTSP://{url.removeprefix('http://')}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "ffmetadata": ";FFMETADATA1\ntitle=x\n",
        "text": "The quick brown fox jumps over the lazy dog.\n" * 500,
        "srt": "1\n00:00:01,000 --> 00:00:02,000\nhello\n",
        "vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file://{file}"/></svg>',
        "html": "<!doctype html><title>404 Not Found</title><p>Not found.",
        "json": '{"error": "not found"}',
        "one_byte": "x",
    }
    files = {}
    for name, text in texts.items():
        files[name] = folder / name
        files[name].write_text(text)
    raw = np.random.default_rng(7).bytes(300_000)
    for name, data in {"noise": raw, "zeros": bytes(500_000), "elf": b"\x7fELF\x02\x01\x01" + raw[:5000]}.items():
        files[name] = folder / name
        files[name].write_bytes(data)
    files["zip"] = folder / "zip"
    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.write(real, "talk.mp3")
    picture = folder / "picture.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64", "-frames:v", "1", picture)
    files["picture"] = picture
    return files


def under_our_name(path: Path, folder: Path) -> Path:
    """A copy as the server keeps it: no suffix, nothing of the client's name."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, folder / "source"))
