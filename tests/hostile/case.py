"""What a case is, and what it may be made of."""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import media_samples

DONE = "done"
UNSUPPORTED = "unsupported_media"
NO_AUDIO = "no_audio"
TOO_LONG = "too_long"

ENCODED = {
    "ac3": (), "asf": ("-c:a", "wmav2"), "au": (), "avi": ("-c:a", "pcm_s16le"), "caf": ("-c:a", "pcm_s16le"),
    "flv": ("-c:a", "pcm_s16le"), "mkv": ("-c:a", "pcm_s16le"), "mov": ("-c:a", "pcm_s16le"), "mpg": ("-c:a", "mp2"),
    "nut": ("-c:a", "pcm_s16le"), "opus": ("-c:a", "opus", "-strict", "-2"), "ts": ("-c:a", "mp2"), "tta": (),
    "w64": (), "wv": (),
}  # fmt: skip
"""Containers made here, with encoders every build of ffmpeg has; the other ones are in ``tests/samples``."""
SAMPLED = ("aac", "aiff", "flac", "mp3", "mp4", "ogg", "wav", "webm")
CONTAINERS = (*ENCODED, *SAMPLED)


@dataclass(frozen=True)
class Workshop:
    """Where the files are made, and what those that look elsewhere look for."""

    folder: Path
    canary: Path
    """A file of the server's that nobody may open: a WAV file with a tone of its own."""
    host: str
    """``127.0.0.1:port``, where somebody listens to whom nobody may connect."""

    def sound(self, suffix: str) -> bytes:
        """A sound recording of a few seconds."""
        if suffix in SAMPLED:
            return (media_samples.SAMPLES / f"p001.{suffix}").read_bytes()
        if not (self.folder / "whole.wv").exists():
            self._encode()
        return (self.folder / f"whole.{suffix}").read_bytes()

    def _encode(self) -> None:
        each = [item for suffix, codec in ENCODED.items() for item in (*codec, self.folder / f"whole.{suffix}")]
        exact: list[str | Path] = []
        for item in each:
            exact += ["-fflags", "+bitexact", "-t", "4", item] if isinstance(item, Path) else [item]
        media_samples.ffmpeg("-i", media_samples.SAMPLES / "p001.wav", *exact)

    def made(self, suffix: str, *arguments: str) -> bytes:
        """What ffmpeg makes of these arguments."""
        path = self.folder / f"made.{suffix}"
        media_samples.ffmpeg(*arguments, "-fflags", "+bitexact", path)
        data = path.read_bytes()
        path.unlink()
        return data

    @property
    def url(self) -> str:
        """An address at the listening socket."""
        return f"http://{self.host}/live.mp3"


Make = Callable[[Workshop], bytes]


@dataclass(frozen=True)
class Case:
    """A file and the outcomes that are right for it."""

    name: str
    outcomes: frozenset[str]
    make: Make
    seconds: tuple[float, float]
    """Where the duration lies if it is ``done``."""
    long: bool
    """Whether it is so long that only a low limit of audio keeps it cheap."""


_cases: dict[str, Case] = {}


def case(
    *outcomes: str, name: str | None = None, seconds: tuple[float, float] = (0, 3600), long: bool = False
) -> Callable[[Make], Make]:
    """Declare a function that makes a file as a case of the corpus."""

    def declare(make: Make) -> Make:
        found = name or getattr(make, "__name__", "")
        assert found not in _cases, found
        _cases[found] = Case(found, frozenset(outcomes), make, seconds, long)
        return make

    return declare


def gathered() -> dict[str, Case]:
    """What has been declared so far."""
    return dict(_cases)


@functools.cache
def noise(size: int) -> bytes:
    """The same bytes in each run."""
    return random.Random(size).randbytes(size)


def sine(seconds: float = 1.0, rate: int = 16000) -> bytes:
    """A tone of 440 Hz as mono 16-bit samples, little-endian."""
    import numpy as np

    return (np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate)) * 8000).astype("<i2").tobytes()
