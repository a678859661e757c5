"""Ogg, MPEG transport streams, FLV, AVI, ASF, CAF and other streams of pages, whose order and times are broken."""

import struct

from tests.hostile.case import DONE, NO_AUDIO, TOO_LONG, UNSUPPORTED, Workshop, case, noise

ANY = (DONE, UNSUPPORTED, NO_AUDIO)


def _crc_table() -> list[int]:
    found = []
    for n in range(256):
        value = n << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        found.append(value & 0xFFFFFFFF)
    return found


_TABLE = _crc_table()


def page(data: bytes, *, flags: int = 0, granule: int = 0, serial: int = 1, number: int = 0) -> bytes:
    """A page of Ogg that holds one packet, with the right checksum."""
    lacing = bytes([255] * (len(data) // 255) + [len(data) % 255])
    start = b"OggS\0" + bytes([flags]) + struct.pack("<QIII", granule % 2**64, serial, number, 0) + bytes([len(lacing)])
    whole = bytearray(start + lacing + data)
    crc = 0
    for byte in whole:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _TABLE[(crc >> 24) ^ byte]
    whole[22:26] = struct.pack("<I", crc)
    return bytes(whole)


def opus_head(*, channels: int = 1, skip: int = 312, rate: int = 48000, family: int = 0, more: bytes = b"") -> bytes:
    return b"OpusHead\1" + bytes([channels]) + struct.pack("<HIHB", skip, rate, 0, family) + more


def opus(head: bytes, *granules: int, packet: bytes = b"\xf8\xff\xfe") -> bytes:
    """An Opus stream of a packet of silence for each position."""
    tags = b"OpusTags" + struct.pack("<I", 1) + b"x" + struct.pack("<I", 0)
    pages = [page(head, flags=2), page(tags, number=1)]
    pages += [page(packet, granule=at, number=n + 2) for n, at in enumerate(granules)]
    return b"".join(pages)


_EACH = tuple(range(960, 960 * 101, 960))
_SILENCES = {
    "that_is_well": (opus(opus_head(), *_EACH), (DONE,)),
    "255_channels": (opus(opus_head(channels=255, family=255, more=b"\xff\0" + bytes(range(255))), *_EACH), ANY),
    "no_channels": (opus(opus_head(channels=0), *_EACH), ANY),
    "mapping_beyond_its_channels": (opus(opus_head(channels=2, family=1, more=b"\1\1\xfe\xfd"), *_EACH), ANY),
    "that_skips_everything": (opus(opus_head(skip=65535), *_EACH), ANY),
    "4_gigahertz": (opus(opus_head(rate=0xFFFFFFFF), *_EACH), ANY),
    "position_that_jumps_by_years": (opus(opus_head(), *_EACH[:50], *(at + 2**50 for at in _EACH[50:])), ANY),
    "positions_all_the_largest": (opus(opus_head(), *[2**63 - 1] * 100), (*ANY, TOO_LONG)),
    "positions_negative": (opus(opus_head(), *[-at for at in _EACH]), ANY),
    "positions_backwards": (opus(opus_head(), *reversed(_EACH)), ANY),
    "packets_of_nothing": (opus(opus_head(), *_EACH, packet=b""), ANY),
    "packets_of_noise": (opus(opus_head(), *_EACH, packet=noise(200)), ANY),
    "head_cut_short": (page(b"OpusHead\1", flags=2) + page(b"OpusTags", number=1), (UNSUPPORTED, NO_AUDIO)),
}
for _name, (_data, _outcomes) in _SILENCES.items():
    case(*_outcomes, name=f"opus_{_name}", seconds=(0, 3700))(lambda _, data=_data: data)


@case(DONE, seconds=(8, 100))
def ogg_10_streams_in_a_chain(w: Workshop) -> bytes:
    return w.sound("ogg") * 10


@case(*ANY, seconds=(0, 100))
def ogg_of_1000_streams_at_once(w: Workshop) -> bytes:
    return b"".join(page(opus_head(), flags=2, serial=n) for n in range(1000)) + w.sound("ogg")


@case(*ANY)
def ogg_packet_without_end(_: Workshop) -> bytes:
    first = page(opus_head(), flags=2)
    endless = bytearray(page(bytes(255 * 254)))
    return first + bytes(endless).replace(b"OggS\0\0", b"OggS\0\1") * 60


@case(*ANY)
def ogg_the_same_page_for_ever(w: Workshop) -> bytes:
    data = w.sound("ogg")
    last = data.rindex(b"OggS")
    return data[:last] + data[last:] * 100


@case(UNSUPPORTED, NO_AUDIO)
def ogg_capture_patterns_only(_: Workshop) -> bytes:
    return b"OggS" * 100_000


@case(*ANY)
def ogg_codebook_of_noise(w: Workshop) -> bytes:
    data = w.sound("ogg")
    at = data.index(b"\x05vorbis") + 7
    return data[:at] + noise(1000) + data[at + 1000 :]


@case(*ANY, seconds=(0, 3700))
def ts_clock_that_jumps(w: Workshop) -> bytes:
    data = bytearray(w.sound("ts"))
    for at in range(0, len(data) - 187, 188):
        start = data.find(b"\0\0\1\xc0", at, at + 188)
        if start > 0 and at > len(data) // 2:
            data[start + 9] = 0x2F  # the highest bits of the time stamp
    return bytes(data)


@case(*ANY)
def ts_of_empty_packets(_: Workshop) -> bytes:
    return (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 20_000


@case(*ANY)
def ts_tables_of_noise(_: Workshop) -> bytes:
    return b"".join(b"\x47\x40\x00" + bytes([0x10 | n % 16]) + b"\0" + noise(183) for n in range(3000))


def _flv(*tags: tuple[int, bytes]) -> bytes:
    body = b"FLV\1\4" + struct.pack(">II", 9, 0)
    for at, data in tags:
        time = (at & 0xFFFFFF).to_bytes(3, "big") + bytes([at >> 24 & 0xFF])
        tag = b"\x08" + len(data).to_bytes(3, "big") + time + bytes(3) + data
        body += tag + struct.pack(">I", len(tag))
    return body


_PCM = b"\x3e" + bytes(1102)


@case(*ANY, TOO_LONG, seconds=(0, 3700))
def flv_times_that_jump_by_weeks(_: Workshop) -> bytes:
    return _flv(*[(n * 25 + (0x70000000 if n > 40 else 0), _PCM) for n in range(80)])


@case(*ANY, seconds=(0, 3700))
def flv_times_that_go_back(_: Workshop) -> bytes:
    return _flv(*[(100_000 - n * 500, _PCM) for n in range(80)])


@case(UNSUPPORTED, NO_AUDIO)
def flv_data_10000_objects_deep(_: Workshop) -> bytes:
    nest = b"\x02\0\nonMetaData" + b"\x03\0\1a" * 10_000
    tag = b"\x12" + len(nest).to_bytes(3, "big") + bytes(7) + nest
    return b"FLV\1\4" + struct.pack(">II", 9, 0) + tag + struct.pack(">I", len(tag))


def _avi_with(w: Workshop, mark: bytes, at: int, value: bytes) -> bytes:
    data = bytearray(w.sound("avi"))
    start = data.index(mark) + at
    data[start : start + len(value)] = value
    return bytes(data)


@case(*ANY, TOO_LONG, seconds=(0, 3700))
def avi_without_rate_or_scale(w: Workshop) -> bytes:
    return _avi_with(w, b"strh", 28, bytes(8))


@case(*ANY, TOO_LONG, seconds=(0, 3700))
def avi_one_sample_a_century(w: Workshop) -> bytes:
    return _avi_with(w, b"strh", 28, struct.pack("<II", 0xFFFFFFFF, 1))


@case(*ANY, seconds=(0, 60))
def avi_index_of_4_gb(w: Workshop) -> bytes:
    return _avi_with(w, b"idx1", 4, b"\xf0\xff\xff\xff")


@case(*ANY, seconds=(0, 60))
def avi_samples_of_no_size(w: Workshop) -> bytes:
    return _avi_with(w, b"strh", 52, bytes(4))


@case(*ANY, seconds=(0, 60))
def avi_subtitles_that_are_a_playlist(w: Workshop) -> bytes:
    text = f"#EXTM3U\n{w.url}\n".encode()
    chunk = b"GAB2\0\2\0\4\0\0\0a\0\0\0" + struct.pack("<HI", 4, len(text)) + text
    at = w.sound("avi").index(b"movi") + 4
    data = w.sound("avi")
    return data[:at] + b"01tx" + struct.pack("<I", len(chunk)) + chunk + bytes(len(chunk) % 2) + data[at:]


@case(*ANY, seconds=(0, 60))
def asf_objects_of_64_bits(w: Workshop) -> bytes:
    data = w.sound("asf")
    return data[:16] + b"\xff" * 8 + data[24:]


@case(*ANY, seconds=(0, 60))
def asf_packets_of_no_size(w: Workshop) -> bytes:
    data = bytearray(w.sound("asf"))
    at = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    data[at + 92 : at + 100] = bytes(8)
    return bytes(data)


@case(*ANY, seconds=(0, 60))
def caf_chunk_of_less_than_nothing(w: Workshop) -> bytes:
    data = w.sound("caf")
    at = data.index(b"data")
    return data[:at] + b"free" + struct.pack(">q", -5) + data[at:]


@case(*ANY, seconds=(0, 60))
def caf_packet_table_of_2_to_the_62(w: Workshop) -> bytes:
    data = w.sound("caf")
    at = data.index(b"data")
    return data[:at] + b"pakt" + struct.pack(">qqqII", 24, 2**62, 2**62, 0, 0) + data[at:]


@case(*ANY)
def caf_rate_of_a_double(w: Workshop) -> bytes:
    data = w.sound("caf")
    at = data.index(b"desc") + 12
    return data[:at] + struct.pack(">d", 1e308) + data[at + 8 :]


@case(*ANY, seconds=(0, 60))
def wv_block_of_4_gb(w: Workshop) -> bytes:
    data = w.sound("wv")
    return data[:4] + b"\xf0\xff\xff\xff" + data[8:]


@case(*ANY, seconds=(0, 60))
def tta_claims_4_billion_samples(w: Workshop) -> bytes:
    data = w.sound("tta")
    return data[:14] + b"\xff\xff\xff\xff" + data[18:]


@case(*ANY)
def ape_tables_of_4_billion_entries(_: Workshop) -> bytes:
    descriptor = b"MAC " + struct.pack("<HHIIIIIII", 3990, 0, 52, 24, 0xFFFFFFF0, 0, 0xFFFFFFFF, 0, 0) + bytes(16)
    return descriptor + struct.pack("<HHIIIHHI", 2000, 0, 73728, 73728, 0xFFFFFFFF, 16, 2, 44100) + bytes(2000)
