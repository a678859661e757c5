"""What is no recording at all: texts, pictures, documents, archives, programs, notes of music, noise and nothing."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile

from tests.hostile.case import DONE, NO_AUDIO, UNSUPPORTED, Workshop, case, noise

ANY = (DONE, UNSUPPORTED, NO_AUDIO)

_TEXTS = {
    "text": "The quick brown fox jumps over the lazy dog.\n" * 500,
    "text_of_another_script": "كان يا ما كان في قديم الزمان\n" * 300,
    "one_byte": "x",
    "line_ends_only": "\r\n" * 3000,
    "html": "<!doctype html><title>404 Not Found</title><p>Not found.",
    "json": json.dumps({"error": "not found"}),
    "json_100000_deep": "[" * 100_000,
    "csv": "time,level\n" + "1.5,2\n" * 3000,
    "shell_script": "#!/bin/sh\ntouch /tmp/taken\n",
    "base64_of_a_recording": "UklGRiQAAABXQVZFZm10IBAAAAABAAEA" * 200,
    "srt": "1\n00:00:01,000 --> 00:00:02,000\nhello\n",
    "vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n",
    "ass": "[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,hi\n",
    "microdvd": "{1}{1}25.000\n{25}{50}hello\n" * 20,
    "lyrics": "[ti:x]\n[00:01.00]hello\n" * 20,
    "rtf": r"{\rtf1\ansi hello\par}" * 50,
    "mail": "From: a@example.org\nContent-Type: audio/mpeg\n\nhello\n",
    "xml_of_a_million_attributes": "<?xml version='1.0'?><a " + " ".join(f"b{n}='c'" for n in range(50_000)) + "/>",
}
for _name, _text in _TEXTS.items():
    case(UNSUPPORTED, name=f"strange_{_name}")(lambda _, text=_text: text.encode())

_PICTURES = ("png", "jpg", "gif", "bmp", "tiff", "webp", "apng")
for _suffix in _PICTURES:

    @case(UNSUPPORTED, NO_AUDIO, name=f"strange_picture_{_suffix}")
    def _picture(w: Workshop, suffix: str = _suffix) -> bytes:
        return w.made(suffix, "-f", "lavfi", "-i", "testsrc=s=64x64", "-frames:v", "1")


@case(NO_AUDIO)
def video_alone(w: Workshop) -> bytes:
    return w.made("mp4", "-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=1", "-c:v", "mpeg4")


def _subtitles(w: Workshop, suffix: str, codec: str) -> bytes:
    text = w.folder / "made.srt"
    text.write_text(_TEXTS["srt"])
    return w.made(suffix, "-i", str(text), "-c:s", codec)


@case(NO_AUDIO)
def subtitles_alone_in_mkv(w: Workshop) -> bytes:
    return _subtitles(w, "mkv", "srt")


@case(NO_AUDIO)
def subtitles_alone_in_mp4(w: Workshop) -> bytes:
    return _subtitles(w, "mp4", "mov_text")


@case(UNSUPPORTED)
def animated_flash(_: Workshop) -> bytes:
    return b"FWS\x06" + (2000).to_bytes(4, "little") + noise(1992)


_DOCUMENTS = {
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n" * 20,
    "old_office_document": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + noise(20_000),
    "elf_program": b"\x7fELF\x02\x01\x01" + bytes(9) + noise(20_000),
    "windows_program": b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + noise(20_000),
    "java_class": b"\xca\xfe\xba\xbe\0\0\0\x34" + noise(5000),
    "pickle": b"\x80\x04\x95" + noise(500),
    "zeros": bytes(2_000_000),
    "ones": b"\xff" * 500_000,
    "noise": noise(300_000),
    "midi": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\x0c\0\x90\x3c\x40\x60\x80\x3c\x40\0\xff\x2f\0",
    "tracker_mod": b"song".ljust(20, b"\0") + bytes(930) + b"\1\x7f" + bytes(128) + b"M.K." + bytes(3000),
    "tracker_xm": b"Extended Module: song".ljust(37, b" ") + b"\x1a" + bytes(600),
    "tracker_it": b"IMPMsong" + bytes(500),
    "tracker_s3m": b"song".ljust(28, b"\0") + b"\x1a\x10" + bytes(14) + b"SCRM" + bytes(500),
    "console_music": b"NESM\x1a\1\1\1" + bytes(500),
    "mpeg_sync_that_is_no_film": b"\0\0\1\xba" * 20_000,
}
for _name, _data in _DOCUMENTS.items():
    case(UNSUPPORTED, name=f"strange_{_name}")(lambda _, data=_data: data)


@case(UNSUPPORTED)
def strange_database(w: Workshop) -> bytes:
    path = w.folder / "made.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("create table a (b)")
    connection.close()
    return path.read_bytes()


def zipped(data: bytes, *, packed: bool = False, name: str = "talk.mp3") -> bytes:
    out = io.BytesIO()
    entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(entry, data)
    return out.getvalue()


@case(UNSUPPORTED)
def archive_zip_of_a_recording(w: Workshop) -> bytes:
    return zipped(w.sound("mp3"))


@case(UNSUPPORTED)
def archive_zip_that_climbs_out(w: Workshop) -> bytes:
    return zipped(w.sound("wav"), name="../../../../taken.wav")


@case(UNSUPPORTED)
def archive_zip_bomb(_: Workshop) -> bytes:
    inner = zipped(bytes(10_000_000), packed=True)
    return zipped(zipped(inner * 10, packed=True), packed=True)


@case(UNSUPPORTED)
def archive_zip_of_nothing(_: Workshop) -> bytes:
    return b"PK\5\6" + bytes(18)


@case(UNSUPPORTED)
def archive_tar_of_a_recording(w: Workshop) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("one.mp3", "two.mp3"):
            entry = tarfile.TarInfo(name)
            entry.size = len(w.sound("mp3"))
            archive.addfile(entry, io.BytesIO(w.sound("mp3")))
    return out.getvalue()


_PACKED = {
    "gzip": gzip.compress(bytes(1_000_000), mtime=0),
    "bzip2": bz2.compress(bytes(1_000_000)),
    "xz": lzma.compress(bytes(1_000_000)),
    "zstandard": b"\x28\xb5\x2f\xfd" + noise(1000),
    "7z": b"7z\xbc\xaf\x27\x1c\0\4" + noise(1000),
    "rar": b"Rar!\x1a\7\1\0" + noise(1000),
    "cabinet": b"MSCF\0\0\0\0" + noise(1000),
    "disk_image": bytes(32769) + b"CD001\1" + bytes(20_000),
}
for _name, _data in _PACKED.items():
    case(UNSUPPORTED, name=f"archive_{_name}")(lambda _, data=_data: data)


@case(UNSUPPORTED)
def archive_gzip_of_a_recording(w: Workshop) -> bytes:
    return gzip.compress(w.sound("wav"), mtime=0)


@case(*ANY)
def wav_of_half_a_sample(_: Workshop) -> bytes:
    from tests.hostile.lying import chunk, form, riff

    return riff(form(), chunk(b"data", b"\1"))
