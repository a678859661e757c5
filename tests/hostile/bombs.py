"""Little files that become hours, gigabytes, or a great deal of work."""

import struct
import zlib

from tests.hostile.case import DONE, NO_AUDIO, TOO_LONG, UNSUPPORTED, Workshop, case
from tests.hostile.lying import id3, id3_frame
from tests.hostile.matroska import BLOCKS, cluster, element, film, number, track
from tests.hostile.movies import RATE, SOUND, Movie, box, full, table

ANY = (DONE, UNSUPPORTED, NO_AUDIO)
HOURS = (DONE, TOO_LONG)


@case(*HOURS, seconds=(35_990, 36_010), long=True)
def bomb_flac_of_10_hours_of_silence(_: Workshop) -> bytes:
    """Frames of four seconds, each of which says that all its samples are 0."""
    frames = 36_000 * 8000 // 32_768
    info = struct.pack(">HH", 32_768, 32_768) + bytes(6) + (8000 << 44 | 15 << 36 | frames * 32_768).to_bytes(8, "big")
    return b"fLaC\x80" + (34).to_bytes(3, "big") + info + bytes(16) + b"".join(_flac_frame(n) for n in range(frames))


def _flac_frame(number: int) -> bytes:
    """32768 samples of silence, 16 bits, mono, 8 kHz."""
    head = b"\xff\xf8\xf4\x08" + chr(number).encode()
    head += bytes([_crc(head, 8, 0x07)])
    frame = head + bytes(3)
    return frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
    return value


@case(*HOURS, UNSUPPORTED, seconds=(11_990, 12_010), long=True)
def bomb_amr_of_hours_without_data(_: Workshop) -> bytes:
    return b"#!AMR\n" + b"\x7c" * 600_000


@case(*HOURS, UNSUPPORTED, seconds=(0, 36_010), long=True)
def bomb_mov_the_same_second_100000_times(_: Workshop) -> bytes:
    chunks = 20_000
    return Movie(
        stts=table(b"stts", (chunks * RATE, 1)),
        stsc=table(b"stsc", (1, RATE, 1)),
        stsz=full(b"stsz", struct.pack(">II", 2, chunks * RATE)),
        offsets=table(b"stco", *[(28,)] * chunks),
        media_duration=chunks * RATE,
    ).bytes()


@case(*ANY, TOO_LONG, seconds=(0, 36_010), long=True)
def bomb_mov_edited_to_repeat_for_ever(_: Workshop) -> bytes:
    edits = table(b"elst", *[(2000, 0, 65536)] * 20_000)
    return Movie(edits=box(b"edts", edits)).bytes()


@case(*HOURS, seconds=(0, 40_000), long=True)
def bomb_mkv_of_hourly_gaps(_: Workshop) -> bytes:
    return film(*(cluster(3_590_000 * n, BLOCKS[0]) for n in range(11)))


@case(DONE, seconds=(0, 60))
def bomb_mkv_of_endless_gaps(_: Workshop) -> bytes:
    """Each jump is past all reason, so none becomes silence."""
    return film(*(cluster(3_700_000 * n, BLOCKS[0]) for n in range(300)))


@case(*HOURS, seconds=(0, 40_000), long=True)
def bomb_wav_of_1_hertz(_: Workshop) -> bytes:
    from tests.hostile.lying import chunk, form, riff

    return riff(form(rate=1), chunk(b"data", SOUND[:20_000]))


def _png(width: int, height: int) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    pixels = zlib.compress(bytes(4_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", pixels) + part(b"IEND", b"")


@case(DONE, seconds=(8.9, 9.1))
def bomb_cover_of_a_billion_pixels(w: Workshop) -> bytes:
    return id3(id3_frame(b"APIC", b"\0image/png\0\3\0" + _png(32_000, 32_000))) + w.sound("mp3")


@case(DONE, seconds=(8.9, 9.1))
def bomb_300_covers(w: Workshop) -> bytes:
    return id3(id3_frame(b"APIC", b"\0image/png\0\3\0" + _png(4000, 4000)) * 300) + w.sound("mp3")


@case(DONE, seconds=(1.9, 2.1))
def bomb_film_of_a_billion_pixels(_: Workshop) -> bytes:
    def video(number_: int, codec: bytes, private: bytes) -> bytes:
        shape = element(0xE0, number(0xB0, 32_000), number(0xBA, 32_000))
        about = (number(0xD7, number_), number(0x73C5, number_), number(0x83, 1), element(0x86, codec))
        return element(0xAE, *about, shape, element(0x63A2, private))

    header = struct.pack("<IiiHH4sIiiII", 40, 32_000, 32_000, 1, 32, b"MPNG", 0, 0, 0, 0, 0)
    videos = video(2, b"V_UNCOMPRESSED", b"") + video(3, b"V_MS/VFW/FOURCC", header)
    frame = element(0xA3, b"\x83\0\0\x80" + _png(32_000, 32_000))
    return film(cluster(0, *BLOCKS), element(0x1F43B675, number(0xE7, 0), frame * 20), tracks=track() + videos)


@case(*ANY, seconds=(0, 60))
def bomb_compressed_tag(w: Workshop) -> bytes:
    packed = struct.pack(">I", 0x7FFFFFFF) + zlib.compress(bytes(100_000_000), 9)
    frame = b"APIC" + struct.pack(">I", len(packed)) + b"\0\x80" + packed
    return id3(frame) + w.sound("mp3")


@case(DONE, UNSUPPORTED, seconds=(300, 303))
def bomb_of_complaints(_: Workshop) -> bytes:
    """Each packet fails, and the decoder says so; only then comes the sound."""
    complaints = (cluster(10 * n, b"\xff" * 7) for n in range(20_000))
    return film(*complaints, cluster(300_000, *BLOCKS), tracks=track(channels=4, bits=32))


@case(*ANY, seconds=(0, 60))
def bomb_of_frames_that_fail(_: Workshop) -> bytes:
    return film(*(cluster(10 * n, b"\xff" * 70) for n in range(20_000)), tracks=track(codec=b"A_MPEG/L3", rate=48000))
