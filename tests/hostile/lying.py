"""Sounds without much of a container (WAV, AIFF, AU, FLAC, MP3, AAC, AMR) whose headers lie."""

import struct

from tests.hostile.case import DONE, NO_AUDIO, UNSUPPORTED, Workshop, case, noise, sine


def chunk(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    """A chunk of a RIFF file that may claim another size."""
    return kind + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WAV file of chunks that may claim another size."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def form(
    tag: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, align: int | None = None, more: bytes = b""
) -> bytes:
    """The chunk that says what the samples are."""
    align = min(0xFFFF, channels * bits // 8) if align is None else align
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, 32000, align, bits) + more)


SOUND = sine(2)
DATA = chunk(b"data", SOUND)
NOT_MUCH = (DONE, UNSUPPORTED, NO_AUDIO)

_WAVES = {
    "says_nothing_of_its_size": (riff(form(), chunk(b"data", SOUND, 0), size=0), (DONE,)),
    "says_4_gb": (riff(form(), chunk(b"data", SOUND, 0xFFFFFFFF), size=0xFFFFFFFF), (DONE,)),
    "says_a_negative_size": (riff(form(), chunk(b"data", SOUND, 0x80000000), size=0x80000000), (DONE,)),
    "data_beyond_its_end": (riff(form(), chunk(b"data", SOUND, 0x7FFFFFFF)), (DONE,)),
    "without_format": (riff(DATA), (UNSUPPORTED,)),
    "without_data": (riff(form()), (UNSUPPORTED, NO_AUDIO)),
    "format_cut_short": (riff(chunk(b"fmt ", b"\1\0\1\0"), DATA), (UNSUPPORTED,)),
    "format_of_4_gb": (riff(chunk(b"fmt ", b"\1\0\1\0", 0xFFFFFFFF)), (UNSUPPORTED,)),
    "data_before_format": (riff(DATA, form()), (DONE, UNSUPPORTED)),
    "65535_channels": (riff(form(channels=65535), DATA), (UNSUPPORTED,)),
    "no_channels": (riff(form(channels=0), DATA), (UNSUPPORTED, NO_AUDIO)),
    "255_channels": (riff(form(channels=255, rate=8000), chunk(b"data", SOUND * 8)), (DONE, UNSUPPORTED)),
    "1_hertz": (riff(form(rate=1), chunk(b"data", SOUND[:40])), NOT_MUCH),
    "no_rate": (riff(form(rate=0), DATA), (UNSUPPORTED,)),
    "4_gigahertz": (riff(form(rate=0xFFFFFFFF), DATA), NOT_MUCH),
    "2_gigahertz": (riff(form(rate=0x7FFFFFFF), DATA), NOT_MUCH),
    "no_bits": (riff(form(bits=0), DATA), NOT_MUCH),
    "255_bits": (riff(form(bits=255), DATA), NOT_MUCH),
    "65535_bits": (riff(form(bits=65535), DATA), NOT_MUCH),
    "blocks_of_no_bytes": (riff(form(align=0), DATA), NOT_MUCH),
    "blocks_of_65535_bytes": (riff(form(align=65535), DATA), NOT_MUCH),
    "unknown_codec": (riff(form(tag=0xABCD), DATA), (UNSUPPORTED,)),
    "adpcm_in_blocks_of_one": (riff(form(tag=2, align=1, bits=4), DATA), NOT_MUCH),
    "mp3_inside_is_noise": (riff(form(tag=0x55), chunk(b"data", noise(50_000))), NOT_MUCH),
    "vorbis_inside_is_noise": (riff(form(tag=0x674F), chunk(b"data", noise(50_000))), NOT_MUCH),
    "extensible_of_nonsense": (riff(form(tag=0xFFFE, more=b"\x16\0" + noise(22)), DATA), NOT_MUCH),
    "100000_chunks": (riff(form(), chunk(b"LIST", b"") * 100_000, DATA), (DONE, UNSUPPORTED)),
    "chunk_of_4_gb_before_the_data": (riff(form(), chunk(b"LIST", b"", 0xFFFFFFF0), DATA), NOT_MUCH),
    "rf64_of_2_to_the_63": (
        b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", struct.pack("<QQQI", *[2**63] * 3, 0)) + form()
        + chunk(b"data", SOUND, 0xFFFFFFFF), NOT_MUCH,
    ),
    "of_nan_and_infinity": (
        riff(form(tag=3, bits=64), chunk(b"data", struct.pack("<4d", float("nan"), float("inf"), -float("inf"), 1e308)
        * 4000)), (DONE,),
    ),
    "of_denormal_floats": (riff(form(tag=3, bits=32), chunk(b"data", b"\1\0\0\0" * 16000)), (DONE,)),
}  # fmt: skip

for _name, (_data, _outcomes) in _WAVES.items():
    case(*_outcomes, name=f"wav_{_name}", seconds=(0, 60))(lambda _, data=_data: data)


def aiff(rate: bytes, *, channels: int = 1, bits: int = 16, frames: int = 16000) -> bytes:
    """An AIFF file whose rate is given as an 80-bit float."""
    common = struct.pack(">HIH", channels, frames, bits) + rate
    sound = struct.pack(">II", 0, 0) + SOUND
    body = b"AIFF" + b"".join(k + struct.pack(">I", len(d)) + d for k, d in ((b"COMM", common), (b"SSND", sound)))
    return b"FORM" + struct.pack(">I", len(body)) + body


_16_KHZ = b"\x40\x0c\xfa" + bytes(7)
_AIFFS = {
    "rate_is_infinite": aiff(b"\x7f\xff\x80" + bytes(7)),
    "rate_is_not_a_number": aiff(b"\x7f\xff\xff" + bytes(7)),
    "rate_is_negative": aiff(b"\xc0\x0c\xfa" + bytes(7)),
    "32767_channels": aiff(_16_KHZ, channels=32767),
    "no_bits": aiff(_16_KHZ, bits=0),
    "4_billion_frames": aiff(_16_KHZ, frames=0xFFFFFFFF),
}
for _name, _data in _AIFFS.items():
    case(*NOT_MUCH, name=f"aiff_{_name}", seconds=(0, 60))(lambda _, data=_data: data)


def au(start: int, size: int, codec: int, rate: int, channels: int) -> bytes:
    return b".snd" + struct.pack(">IIIII", start, size, codec, rate, channels) + bytes(8) + SOUND


_AUS = {
    "starts_after_4_gb": au(0xFFFFFFFF, 1, 3, 16000, 1),
    "without_rate": au(32, 0xFFFFFFFF, 3, 0, 1),
    "4_billion_channels": au(32, 0xFFFFFFFF, 3, 16000, 0xFFFFFFFF),
    "4_gigahertz": au(32, 0xFFFFFFFF, 3, 0xFFFFFFFF, 1),
}
for _name, _data in _AUS.items():
    case(*NOT_MUCH, name=f"au_{_name}", seconds=(0, 60))(lambda _, data=_data: data)


def _streaminfo(w: Workshop, at: int, value: bytes) -> bytes:
    data = bytearray(w.sound("flac"))
    data[at : at + len(value)] = value
    return bytes(data)


@case(*NOT_MUCH)
def flac_without_rate(w: Workshop) -> bytes:
    return _streaminfo(w, 18, b"\0\0\0")


@case(*NOT_MUCH)
def flac_claims_2_to_the_36_samples(w: Workshop) -> bytes:
    return _streaminfo(w, 21, b"\xff" * 5)


@case(*NOT_MUCH)
def flac_smallest_block_above_largest(w: Workshop) -> bytes:
    return _streaminfo(w, 8, b"\xff\xff\x00\x10")


@case(*NOT_MUCH)
def flac_picture_of_16_mb_that_is_not_there(w: Workshop) -> bytes:
    data = w.sound("flac")
    return data[:4] + b"\0" + data[5:42] + b"\x06\xff\xff\xff" + data[42:]


@case(*NOT_MUCH)
def flac_30000_comments(w: Workshop) -> bytes:
    data = w.sound("flac")
    comment = struct.pack("<I", 5) + b"A=b\nc"
    body = struct.pack("<I", 0) + struct.pack("<I", 30_000) + comment * 30_000
    return data[:4] + b"\0" + data[5:42] + b"\x04" + len(body).to_bytes(3, "big") + body + data[42:]


def id3(body: bytes, size: int | None = None) -> bytes:
    """An ID3v2.3 tag that may claim another size."""
    claimed = len(body) if size is None else size
    return b"ID3\3\0\0" + bytes((claimed >> shift) & 0x7F for shift in (21, 14, 7, 0)) + body


def id3_frame(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return kind + struct.pack(">I", len(body) if size is None else size) + b"\0\0" + body


@case(*NOT_MUCH)
def mp3_tag_of_200_mb_that_is_not_there(w: Workshop) -> bytes:
    return id3(b"", 200 << 20) + w.sound("mp3")


@case(DONE)
def mp3_tag_with_a_frame_of_4_gb(w: Workshop) -> bytes:
    return id3(id3_frame(b"APIC", b"\0image/png\0\3\0", 0xFFFFFFFF)) + w.sound("mp3")


@case(DONE)
def mp3_tag_of_50000_frames(w: Workshop) -> bytes:
    return id3(id3_frame(b"TXXX", b"\0a\0b") * 50_000) + w.sound("mp3")


@case(DONE)
def mp3_1000_tags_one_after_another(w: Workshop) -> bytes:
    return id3(id3_frame(b"TIT2", b"\0x")) * 1000 + w.sound("mp3")


@case(DONE)
def mp3_tag_of_5000_chapters(w: Workshop) -> bytes:
    chapters = b"".join(id3_frame(b"CHAP", b"%d\0" % n + b"\xff" * 16) for n in range(5_000))
    return id3(chapters) + w.sound("mp3")


def _first_frame(data: bytes) -> int:
    return data.index(b"\xff\xfb") if b"\xff\xfb" in data else data.index(b"\xff\xf3")


@case(DONE, seconds=(0, 60))
def mp3_claims_a_billion_frames(w: Workshop) -> bytes:
    data = bytearray(w.sound("mp3"))
    at = next(data.find(mark) for mark in (b"Xing", b"Info") if data.find(mark) > 0)
    data[at + 8 : at + 16] = struct.pack(">II", 1_000_000_000, 0xFFFFFFFF)
    return bytes(data)


@case(*NOT_MUCH)
def mp3_sync_words_only(_: Workshop) -> bytes:
    return b"\xff\xfb" * 100_000


@case(DONE, UNSUPPORTED, seconds=(0, 60))
def mp3_of_another_rate_in_each_frame(w: Workshop) -> bytes:
    data = bytearray(w.sound("mp3"))
    for at in range(_first_frame(data), len(data) - 4):
        if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0 and at % 2:
            data[at + 2] ^= 0x04
    return bytes(data)


@case(DONE)
def mp3_mono_and_stereo_in_turn(w: Workshop) -> bytes:
    tone = ("-f", "lavfi", "-i", "sine=d=0.3")
    mono, stereo = (w.made("mp2", *tone, "-ac", n, "-ar", r) for n, r in (("1", "16000"), ("2", "48000")))
    return (mono + stereo) * 10


@case(*NOT_MUCH)
def aac_frames_of_no_length(w: Workshop) -> bytes:
    data = bytearray(w.sound("aac"))
    for at in range(len(data) - 7):
        if data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
            data[at + 3] &= 0xFC
            data[at + 4], data[at + 5] = 0, data[at + 5] & 0x1F
    return bytes(data)


@case(DONE, UNSUPPORTED, seconds=(0, 60))
def aac_junk_between_frames(w: Workshop) -> bytes:
    data = w.sound("aac")
    return b"".join(data[at : at + 400] + noise(100) for at in range(0, len(data), 400))


@case(*NOT_MUCH)
def aac_of_a_rate_that_is_none(w: Workshop) -> bytes:
    data = bytearray(w.sound("aac"))
    for at in range(len(data) - 7):
        if data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
            data[at + 2] |= 0x3C
    return bytes(data)


@case(*NOT_MUCH)
def amr_of_noise(_: Workshop) -> bytes:
    return b"#!AMR\n" + noise(20_000)


@case(*NOT_MUCH)
def amr_modes_that_are_reserved(_: Workshop) -> bytes:
    return b"#!AMR\n" + b"\x4c" * 50_000
