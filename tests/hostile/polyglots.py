"""Files that are two things at once."""

from tests.hostile.case import DONE, NO_AUDIO, UNSUPPORTED, Workshop, case, noise
from tests.hostile.lying import chunk, form, id3, id3_frame, riff, sine
from tests.hostile.movies import Movie, box
from tests.hostile.strange import zipped

ANY = (DONE, UNSUPPORTED, NO_AUDIO)
SECONDS = (0, 30)


@case(*ANY, seconds=SECONDS)
def both_pdf_and_mp3(w: Workshop) -> bytes:
    return b"%PDF-1.7\n1 0 obj<</Length 99999>>stream\n" + w.sound("mp3") + b"\nendstream endobj\n%%EOF\n"


@case(DONE, seconds=(8.9, 9.1))
def both_mp3_and_pdf_in_its_tag(w: Workshop) -> bytes:
    return id3(id3_frame(b"PRIV", b"x\0%PDF-1.7\n1 0 obj<<>>endobj\n%%EOF")) + w.sound("mp3")


@case(UNSUPPORTED)
def both_zip_and_wav(w: Workshop) -> bytes:
    return zipped(w.sound("wav"))


@case(DONE, seconds=(8.9, 9.2))
def both_wav_and_zip_behind_it(w: Workshop) -> bytes:
    return w.sound("wav") + zipped(noise(5000))


@case(DONE, seconds=(8.9, 9.2))
def both_mp3_and_zip_behind_it(w: Workshop) -> bytes:
    return w.sound("mp3") + zipped(b"x" * 5000)


@case(*ANY, seconds=SECONDS)
def both_html_and_ogg(w: Workshop) -> bytes:
    return b"<!doctype html><script>alert(1)</script><!--" + w.sound("ogg") + b"-->"


@case(*ANY, seconds=SECONDS)
def both_gif_and_mp3(w: Workshop) -> bytes:
    return w.made("gif", "-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1") + w.sound("mp3")


@case(*ANY, seconds=SECONDS)
def both_jpeg_and_wav(w: Workshop) -> bytes:
    return w.made("jpg", "-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1") + w.sound("wav")


@case(*ANY, seconds=SECONDS)
def both_png_and_flac(w: Workshop) -> bytes:
    return w.made("png", "-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1") + w.sound("flac")


@case(*ANY, seconds=SECONDS)
def both_program_and_flac(w: Workshop) -> bytes:
    return b"\x7fELF\2\1\1" + bytes(57) + w.sound("flac")


@case(*ANY, seconds=SECONDS)
def both_shell_script_and_mp3(w: Workshop) -> bytes:
    return b"#!/bin/sh\necho taken\nexit\n" + w.sound("mp3")


@case(DONE, seconds=(1.9, 2.1))
def both_film_and_page(_: Workshop) -> bytes:
    return Movie(front=box(b"free", b"<html><script>alert(1)</script></html>")).bytes()


@case(DONE, seconds=(1.9, 2.1))
def both_wav_and_playlist(w: Workshop) -> bytes:
    note = chunk(b"LIST", b"INFOICMT" + len(w.url).to_bytes(4, "little") + f"#EXTM3U\n{w.url}\n".encode())
    return riff(note, form(), chunk(b"data", sine(2)))


@case(*ANY, seconds=SECONDS)
def both_playlist_and_mp3(w: Workshop) -> bytes:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{w.canary}\n".encode() + w.sound("mp3")


@case(*ANY, seconds=SECONDS)
def both_concat_script_and_wav(w: Workshop) -> bytes:
    return f"ffconcat version 1.0\nfile {w.canary}\n".encode() + w.sound("wav")


@case(*ANY, seconds=SECONDS)
def both_wav_and_mp3_with_one_header(w: Workshop) -> bytes:
    return riff(form(tag=0x55, align=1, bits=0), chunk(b"data", w.sound("mp3")))


@case(*ANY, seconds=(0, 60))
def both_webm_and_mp4(w: Workshop) -> bytes:
    return w.sound("webm") + w.sound("mp4")


@case(DONE, seconds=(8, 60))
def both_mp3_and_wav_and_flac(w: Workshop) -> bytes:
    return w.sound("mp3") + w.sound("wav") + w.sound("flac")
