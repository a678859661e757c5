"""Matroska files written element by element: unknown sizes, compressed bombs, nests, and words that look like a log."""

import struct
import zlib

from tests.hostile.case import DONE, NO_AUDIO, TOO_LONG, UNSUPPORTED, Workshop, case, sine

ANY = (DONE, UNSUPPORTED, NO_AUDIO)
BLOCK_SAMPLES = 1600
SOUND = sine(2)
BLOCKS = [SOUND[at : at + BLOCK_SAMPLES * 2] for at in range(0, len(SOUND), BLOCK_SAMPLES * 2)]
UNKNOWN = b"\x01" + b"\xff" * 7


def element(name: int, *inside: bytes, size: bytes | None = None) -> bytes:
    """An element that may claim another size."""
    body = b"".join(inside)
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + (size or claim(len(body))) + body


def claim(size: int) -> bytes:
    return (size | 1 << 56).to_bytes(8, "big")


def number(name: int, value: int) -> bytes:
    return element(name, value.to_bytes(8, "big"))


def head(kind: bytes = b"matroska") -> bytes:
    return element(0x1A45DFA3, element(0x4282, kind), number(0x4287, 4), number(0x4285, 2))


def info(*, scale: int = 1_000_000, duration: float | None = None) -> bytes:
    lasting = b"" if duration is None else element(0x4489, struct.pack(">d", duration))
    return element(0x1549A966, number(0x2AD7B1, scale), lasting)


def track(
    *more: bytes, codec: bytes = b"A_PCM/INT/LIT", rate: float = 16000, channels: int = 1, bits: int = 16
) -> bytes:
    audio = element(0xE1, element(0xB5, struct.pack(">d", rate)), number(0x9F, channels), number(0x6264, bits))
    return element(0xAE, number(0xD7, 1), number(0x73C5, 1), number(0x83, 2), element(0x86, codec), audio, *more)


def cluster(at: int, *blocks: bytes) -> bytes:
    """Blocks of a tenth of a second each, from this millisecond on."""
    placed = (element(0xA3, b"\x81" + struct.pack(">h", 100 * n) + b"\x80" + data) for n, data in enumerate(blocks))
    return element(0x1F43B675, number(0xE7, at), *placed)


def film(*parts: bytes, tracks: bytes | None = None, about: bytes | None = None, kind: bytes = b"matroska") -> bytes:
    segment = (about or info(), element(0x1654AE6B, tracks or track()), *parts)
    return head(kind) + element(0x18538067, *segment)


SOUNDING = cluster(0, *BLOCKS)


@case(DONE, seconds=(1.99, 2.01))
def mkv_that_is_well(_: Workshop) -> bytes:
    return film(SOUNDING)


_FILMS = {
    "lasting_longer_than_the_universe": film(SOUNDING, about=info(duration=1e300)),
    "lasting_no_number": film(SOUNDING, about=info(duration=float("nan"))),
    "lasting_less_than_nothing": film(SOUNDING, about=info(duration=-1e300)),
    "scale_of_zero": film(SOUNDING, about=info(scale=0)),
    "scale_of_64_bits": film(SOUNDING, about=info(scale=2**64 - 1)),
    "255_channels": film(SOUNDING, tracks=track(channels=255)),
    "2_to_the_62_channels": film(SOUNDING, tracks=track(channels=2**62)),
    "rate_is_infinite": film(SOUNDING, tracks=track(rate=float("inf"))),
    "rate_is_not_a_number": film(SOUNDING, tracks=track(rate=float("nan"))),
    "rate_is_negative": film(SOUNDING, tracks=track(rate=-16000)),
    "1_hertz": film(SOUNDING, tracks=track(rate=1)),
    "of_4096_bits": film(SOUNDING, tracks=track(bits=4096)),
    "private_data_of_1_gb": film(SOUNDING, tracks=track(element(0x63A2, b"x", size=claim(1 << 30)))),
    "clusters_that_go_back": film(*(cluster(at, *BLOCKS[:5]) for at in (9000, 6000, 3000, 0))),
    "cluster_in_three_hundred_years": film(cluster(0, *BLOCKS), cluster(10**13, *BLOCKS)),
    "clusters_of_unknown_size": head() + element(0x18538067, info(), element(0x1654AE6B, track()),
        *(element(0x1F43B675, number(0xE7, n), size=UNKNOWN) for n in range(5000)), size=UNKNOWN),
    "seek_head_that_points_at_itself": film(
        element(0x114D9B74, element(0x4DBB, element(0x53AB, b"\x11\x4d\x9b\x74"), number(0x53AC, 0))) * 500, SOUNDING),
    "tracks_without_end": film(SOUNDING, tracks=track() * 2000),
    "attachment_of_4_gb": film(element(0x1941A469, element(0x61A7, element(0x466E, b"../../x"),
        element(0x4660, b"font/ttf"), element(0x465C, b"x", size=claim(1 << 32)), number(0x46AE, 1))), SOUNDING),
    "webm_of_another_codec": film(SOUNDING, kind=b"webm", tracks=track(codec=b"A_MS/ACM")),
    "audio_codec_said_to_be_a_path": film(SOUNDING, tracks=track(codec=b"A_/../../etc/passwd")),
}  # fmt: skip
for _name, _data in _FILMS.items():
    case(*ANY, TOO_LONG, name=f"mkv_{_name}", seconds=(0, 3700))(lambda _, data=_data: data)


@case(DONE, NO_AUDIO, UNSUPPORTED)
def mkv_2000_chapters_within_each_other(_: Workshop) -> bytes:
    nest = b""
    for n in range(2_000):
        nest = element(0xB6, number(0x73C4, n + 1), number(0x91, n), nest)
    return film(element(0x1043A770, element(0x45B9, nest)), SOUNDING)


@case(DONE)
def mkv_20000_chapters(_: Workshop) -> bytes:
    each = b"".join(element(0xB6, number(0x73C4, n + 1), number(0x91, n)) for n in range(20_000))
    return film(element(0x1043A770, element(0x45B9, each)), SOUNDING)


@case(DONE)
def mkv_5000_tags_within_each_other(_: Workshop) -> bytes:
    nest = b""
    for _n in range(5_000):
        nest = element(0x67C8, element(0x45A3, b"A"), element(0x4487, b"b\n[error] c"), nest)
    return film(element(0x1254C367, element(0x7373, nest)), SOUNDING)


@case(DONE)
def mkv_with_an_attachment_for_another_place(w: Workshop) -> bytes:
    file = element(0x61A7, element(0x466E, str(w.canary).encode()), element(0x4660, b"font/ttf"),
        element(0x465C, b"taken"), number(0x46AE, 1))  # fmt: skip
    return film(element(0x1941A469, file), SOUNDING)


@case(*ANY, TOO_LONG)
def mkv_blocks_that_unpack_to_gigabytes(_: Workshop) -> bytes:
    packed = element(0x6D80, element(0x6240, number(0x5031, 0), element(0x5034, number(0x4254, 0))))
    block = zlib.compress(bytes(40_000_000), 9)
    return film(*(cluster(100 * n, block) for n in range(8)), tracks=track(packed))


_FORGED = {
    "the_disk_is_full": "No space left on device",
    "the_command_is_wrong": "Unrecognized option 'x'.",
    "there_is_no_track": "Stream map '0:a:0' matches no streams.",
    "there_is_no_memory": "Cannot allocate memory",
    "the_input_is_open": "Input #0, wav, from '",
}
for _name, _text in _FORGED.items():
    # A document type is printed as it stands, in the middle of a complaint about it.
    @case(DONE, name=f"mkv_that_says_{_name}")
    def _forged(_: Workshop, text: str = _text) -> bytes:
        return film(SOUNDING, kind=f"x\n[error] {text}\n[matroska @ 0x1] [fatal] {text}\n".encode())
