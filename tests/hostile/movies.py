"""MP4 and QuickTime files written box by box, whose tables lie, loop or point out of the file."""

import struct
import zlib
from dataclasses import dataclass

from tests.hostile.case import DONE, NO_AUDIO, TOO_LONG, UNSUPPORTED, Workshop, case, sine

RATE = 16000
SOUND = sine(2, RATE)
ANY = (DONE, UNSUPPORTED, NO_AUDIO)


def box(kind: bytes, *inside: bytes, size: int | None = None) -> bytes:
    """A box that may claim another size."""
    body = b"".join(inside)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def full(kind: bytes, *inside: bytes) -> bytes:
    """A box with a version and flags of 0."""
    return box(kind, bytes(4), *inside)


def table(kind: bytes, *rows: tuple[int, ...], count: int | None = None) -> bytes:
    """A table of 32-bit numbers that may claim more rows."""
    claimed = len(rows) if count is None else count
    return full(kind, struct.pack(">I", claimed), *(struct.pack(f">{len(row)}I", *row) for row in rows))


def sample(kind: bytes = b"sowt", *more: bytes, channels: int = 1, rate: int = RATE) -> bytes:
    """What the samples of a track are."""
    shape = struct.pack(">HHHHI", channels, 16, 0, 0, rate << 16)
    return box(kind, bytes(6), struct.pack(">H", 1), bytes(8), shape, *more)


@dataclass
class Movie:
    """A QuickTime film of two seconds of tone; a test changes what it wants to lie about."""

    timescale: int = RATE
    entry: bytes = sample()
    dref: bytes = full(b"dref", struct.pack(">I", 1), box(b"url ", b"\0\0\0\1"))
    stts: bytes = table(b"stts", (len(SOUND) // 2, 1))
    stsc: bytes = table(b"stsc", (1, len(SOUND) // 2, 1))
    stsz: bytes = full(b"stsz", struct.pack(">II", 2, len(SOUND) // 2))
    offsets: bytes | None = None
    edits: bytes = b""
    media_duration: int = len(SOUND) // 2
    front: bytes = b""
    inside: bytes = b""

    def bytes(self) -> bytes:
        """The whole file, the sound before its index."""
        ftyp = box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
        start = len(ftyp) + len(self.front) + 8
        offsets = self.offsets or table(b"stco", (start,))
        return ftyp + self.front + box(b"mdat", SOUND) + self.moov(offsets)

    def moov(self, offsets: bytes) -> bytes:
        """The index."""
        stsd = full(b"stsd", struct.pack(">I", 1), self.entry)
        stbl = box(b"stbl", stsd, self.stts, self.stsc, self.stsz, offsets)
        minf = box(b"minf", full(b"smhd", bytes(4)), box(b"dinf", self.dref), stbl)
        mdhd = full(b"mdhd", struct.pack(">IIIII", 0, 0, self.timescale, self.media_duration, 0))
        mdia = box(b"mdia", mdhd, full(b"hdlr", b"mhlrsoun", bytes(13)), minf)
        tkhd = box(b"tkhd", b"\0\0\0\7", struct.pack(">IIIII", 0, 0, 1, 0, 2000), bytes(60))
        mvhd = full(b"mvhd", struct.pack(">IIII", 0, 0, 1000, 2000), bytes(80))
        return box(b"moov", mvhd, self.inside, box(b"trak", tkhd, self.edits, mdia))


@case(DONE, seconds=(1.99, 2.01))
def mov_that_is_well(_: Workshop) -> bytes:
    """So that what the other films are refused for is the lie, not how they are made."""
    return Movie().bytes()


FEW = 4000
"""Samples, of those films whose every sample is a packet: each costs as much as a whole chunk of another."""
FEW_IN_A_CHUNK = table(b"stsc", (1, FEW, 1))
FEW_SIZES = full(b"stsz", struct.pack(">II", 2, FEW))

_LIES = {
    "stts_of_4_billion_rows": Movie(stts=table(b"stts", (1, 1), count=0xFFFFFFFF)),
    "stts_of_no_duration": Movie(stts=table(b"stts", (FEW, 0)), stsc=FEW_IN_A_CHUNK, stsz=FEW_SIZES),
    "stts_that_jumps_by_years": Movie(
        stts=table(b"stts", *[(500, 0x7FFFFFFF)] * 8), stsc=FEW_IN_A_CHUNK, stsz=FEW_SIZES
    ),
    "stts_that_goes_back": Movie(
        stts=table(b"stts", *[(500, 0xFFFFFF00)] * 8), stsc=FEW_IN_A_CHUNK, stsz=FEW_SIZES
    ),
    "stsz_of_4_billion_samples": Movie(stsz=full(b"stsz", struct.pack(">II", 2, 0xFFFFFFFF))),
    "samples_of_4_gb": Movie(stsz=full(b"stsz", struct.pack(">II", 0xFFFFFFFF, 10))),
    "stsz_table_that_is_not_there": Movie(stsz=full(b"stsz", struct.pack(">II", 0, 0x3FFFFFFF))),
    "stsc_of_4_billion_rows": Movie(stsc=table(b"stsc", (1, 1, 1), count=0xFFFFFFFF)),
    "stsc_of_no_samples": Movie(stsc=table(b"stsc", (1, 0, 1))),
    "stsc_backwards": Movie(stsc=table(b"stsc", (5, 10, 1), (1, 10, 1), (3, 10, 9))),
    "offsets_beyond_its_end": Movie(offsets=table(b"stco", (0xFFFFFFF0,))),
    "offsets_of_63_bits": Movie(offsets=full(b"co64", struct.pack(">IQ", 1, 2**63 - 1))),
    "offsets_negative": Movie(offsets=full(b"co64", struct.pack(">IQ", 1, 2**64 - 5))),
    "offsets_of_4_billion_chunks": Movie(offsets=table(b"stco", (36,), count=0xFFFFFFFF)),
    "without_timescale": Movie(timescale=0),
    "timescale_of_4_billion": Movie(timescale=0xFFFFFFFF),
    "one_tick_a_second": Movie(timescale=1),
    "lasting_a_century": Movie(media_duration=0xFFFFFFFF),
    "with_no_place_for_its_data": Movie(dref=full(b"dref", struct.pack(">I", 0))),
    "dref_of_4_billion_rows": Movie(dref=table(b"dref", count=0xFFFFFFFF)),
    "samples_of_65535_channels": Movie(entry=sample(channels=0xFFFF)),
    "samples_without_rate": Movie(entry=sample(rate=0)),
    "codec_that_nobody_knows": Movie(entry=sample(b"zzzz")),
    "protected_against_copying": Movie(
        entry=sample(b"enca", box(b"sinf", box(b"frma", b"mp4a"), full(b"schm", b"cenc\0\1\0\0")))
    ),
    "edit_list_of_4_billion_rows": Movie(edits=box(b"edts", table(b"elst", (2000, 0, 65536), count=0xFFFFFFFF))),
    "edit_list_of_a_century": Movie(
        edits=box(b"edts", table(b"elst", (0xFFFFFFFF, 0xFFFFFFFF, 65536), (2000, 0, 65536)))
    ),
    "edit_list_backwards": Movie(
        edits=box(b"edts", table(b"elst", *[(10, at, 65536) for at in range(30_000, 0, -1000)]))
    ),
}  # fmt: skip

for _name, _movie in _LIES.items():
    case(*ANY, TOO_LONG, name=f"mov_{_name}", seconds=(0, 3700))(lambda _, movie=_movie: movie.bytes())


@case(*ANY)
def mov_10000_boxes_deep(_: Workshop) -> bytes:
    nest = b""
    for _n in range(10_000):
        nest = box(b"udta", nest)
    return Movie(inside=nest).bytes()


@case(*ANY)
def mov_200000_empty_boxes(_: Workshop) -> bytes:
    return Movie(front=box(b"free") * 200_000).bytes()


@case(UNSUPPORTED)
def mov_box_of_no_size_before_its_index(_: Workshop) -> bytes:
    return Movie(front=box(b"free", size=0)).bytes()


@case(*ANY)
def mov_box_of_63_bits(_: Workshop) -> bytes:
    return Movie(front=struct.pack(">I", 1) + b"free" + struct.pack(">Q", 2**63 - 1)).bytes()


@case(*ANY)
def mov_500_tracks(_: Workshop) -> bytes:
    moov = Movie().moov(table(b"stco", (36,)))
    track = moov[moov.index(b"trak") - 4 :]
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", SOUND) + box(b"moov", moov[8:], track * 499)


def _compressed(claimed: int, index: bytes) -> bytes:
    ftyp = box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    body = box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", claimed), zlib.compress(index, 9))
    return ftyp + box(b"mdat", SOUND) + box(b"moov", box(b"cmov", *body))


@case(*ANY)
def mov_index_compressed_within_itself(_: Workshop) -> bytes:
    index = Movie().moov(table(b"stco", (28,)))
    for _n in range(200):
        index = box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), box(
            b"cmvd", struct.pack(">I", len(index)), zlib.compress(index))))  # fmt: skip
    return _compressed(len(index), index)


@case(*ANY)
def mov_index_that_unpacks_to_gigabytes(_: Workshop) -> bytes:
    return _compressed(0xFFFFFFF0, bytes(50_000_000))


def _elsewhere(w: Workshop, kind: bytes) -> bytes:
    """A track whose samples are said to lie in the canary, in every way QuickTime has."""
    path = str(w.canary).encode()
    if kind == b"url ":
        reference = full(b"url ", f"file://{w.canary}".encode() + b"\0")
    else:
        name = w.canary.name.encode()[:63]
        record = bytes(4) + struct.pack(">HHH", 0, 2, 0) + bytes([4]) + b"root".ljust(27, b"\0") + bytes(12)
        record += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
        for what, text in ((2, path), (18, path), (19, b"/")):
            record += struct.pack(">HH", what, len(text)) + text + bytes(len(text) % 2)
        reference = full(b"alis", record + b"\xff\xff\0\0")
    dref = full(b"dref", struct.pack(">I", 1), reference)
    return Movie(dref=dref, offsets=table(b"stco", (44,))).bytes()


@case(*ANY)
def mov_whose_sound_is_in_another_file(w: Workshop) -> bytes:
    return _elsewhere(w, b"alis")


@case(*ANY)
def mov_whose_sound_is_at_a_file_address(w: Workshop) -> bytes:
    return _elsewhere(w, b"url ")


@case(UNSUPPORTED, NO_AUDIO)
def mov_that_is_only_a_reference(w: Workshop) -> bytes:
    def reference(text: str) -> bytes:
        return box(b"rmda", full(b"rdrf", b"url ", struct.pack(">I", len(text) + 1), text.encode() + b"\0"))

    films = box(b"rmra", reference(w.url), reference(f"file://{w.canary}"))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", films)


def _fragments(samples: int, flags: int, rows: bytes, base: int = 0) -> bytes:
    """A film in fragments, one of which says how many samples it has."""
    movie = Movie(
        stts=table(b"stts"), stsc=table(b"stsc"), stsz=full(b"stsz", bytes(8)), offsets=table(b"stco"),
        inside=box(b"mvex", full(b"trex", struct.pack(">IIIII", 1, 1, 1, 2, 0))), media_duration=0,
    )  # fmt: skip
    tfhd = box(b"tfhd", b"\0\2\0\0", struct.pack(">I", 1))
    tfdt = box(b"tfdt", b"\1\0\0\0", struct.pack(">Q", base))
    trun = box(b"trun", struct.pack(">II", flags, samples), rows)
    moof = box(b"moof", full(b"mfhd", struct.pack(">I", 1)), box(b"traf", tfhd, tfdt, trun))
    return box(b"ftyp", b"iso5", bytes(4), b"iso5") + movie.moov(movie.offsets or b"") + moof + box(b"mdat", SOUND)


@case(*ANY)
def mp4_fragment_of_4_billion_samples(_: Workshop) -> bytes:
    return _fragments(0xFFFFFFFF, 0x1, struct.pack(">I", 200))


@case(*ANY, TOO_LONG, seconds=(0, 3700))
def mp4_fragment_in_the_far_future(_: Workshop) -> bytes:
    return _fragments(FEW, 0x1, struct.pack(">I", 200), base=2**62)


@case(*ANY)
def mp4_20000_empty_fragments(_: Workshop) -> bytes:
    data = _fragments(16000, 0x1, struct.pack(">I", 200))
    at = data.index(b"moof") - 4
    return data[:at] + box(b"moof", full(b"mfhd", struct.pack(">I", 1))) * 20_000 + data[at:]


@case(UNSUPPORTED, NO_AUDIO)
def heic_of_a_picture_only(_: Workshop) -> bytes:
    iloc = box(b"iloc", b"\0\0\0\0\x44\0\0\xff" + bytes(64))
    meta = full(b"meta", full(b"hdlr", bytes(4), b"pict", bytes(13)), full(b"pitm", b"\0\1"), iloc)
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta + box(b"mdat", bytes(1000))
