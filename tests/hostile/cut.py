"""Every container cut short, without its beginning, with a hole, or as a header alone."""

from collections.abc import Callable

from tests.hostile.case import CONTAINERS, DONE, NO_AUDIO, SAMPLED, UNSUPPORTED, Workshop, case, noise

Spoil = Callable[[bytes], bytes]


def header_alone(data: bytes) -> bytes:
    return data[:64]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_its_beginning(data: bytes) -> bytes:
    return data[len(data) // 3 :]


def noise_inside(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + noise(third) + data[2 * third :]


def zeros_inside(data: bytes) -> bytes:
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def noise_in_the_header(data: bytes) -> bytes:
    return data[:16] + noise(64) + data[80:]


def byte_twice_in_the_header(data: bytes) -> bytes:
    """All that follows is one byte off, as after a transfer in text mode."""
    return data[:20] + data[19:]


COMMON = (*SAMPLED, "asf", "avi", "mkv", "mov", "ts")
INDEX_BEHIND = {"mp4", "mov"}
ANY = (DONE, UNSUPPORTED, NO_AUDIO)


def _declare(suffix: str, spoil: Spoil, outcomes: tuple[str, ...]) -> None:
    @case(*outcomes, name=f"{suffix}_{spoil.__name__}", seconds=(0, 60))
    def spoilt(w: Workshop) -> bytes:
        return spoil(w.sound(suffix))


for _suffix in CONTAINERS:
    _declare(_suffix, half, (UNSUPPORTED,) if _suffix in INDEX_BEHIND else (DONE,))
    _declare(_suffix, noise_in_the_header, ANY)
for _suffix in COMMON:
    _declare(_suffix, header_alone, ANY)
    _declare(_suffix, without_its_beginning, ANY)
    _declare(_suffix, noise_inside, ANY)
for _suffix in ("mp4", "ogg", "mkv", "avi"):
    _declare(_suffix, zeros_inside, ANY)
    _declare(_suffix, byte_twice_in_the_header, ANY)
