"""Media files of every kind a user may send, odd and broken ones included: `import media_samples`.

Each function writes one file and returns its path. What `ffmpeg` can make is made by it on the spot.
"""

import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.media import find_ffmpeg

SAMPLES = Path(__file__).parent / "samples"
P001_SECONDS = 8.995
"""Of the WAV file, which the other containers were made from."""
P001 = sorted(SAMPLES.glob("p001.*"))


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


def under_our_name(path: Path, folder: Path) -> Path:
    """A copy as the server keeps it: no suffix, nothing of the client's name."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, folder / "source"))
