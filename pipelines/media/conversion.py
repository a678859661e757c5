"""From whatever was uploaded to the one format of the pipeline, in one run of ffmpeg.

What the file is (container, codec, channels) is read from what ffmpeg says during that same run. A library in this
process (PyAV) would tell it more conveniently, but it parses the hostile file in here, where a crash takes the worker
with it; a second process would double the time a short clip takes. Nothing a header says is believed where it
matters: the duration is counted in samples written.
"""

import contextlib
import functools
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from pipelines.documents import SAMPLE_RATE, Media, Warn
from pipelines.errors import InputError, NoAudio, ToolError, TooLong, TransientError, UnsupportedMedia
from pipelines.media import ffmpeg, process
from pipelines.media.report import Report
from pipelines.media.types import container_name
from pipelines.stage import Limits, Progress

MAX_WAV_SECONDS = 37 * 3600
"""As much as the 32-bit sizes of a WAV header can say; a higher limit of the operator is lowered to it."""

_ARCHIVES = (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b")
"""ZIP, RAR, 7-Zip, gzip. An MP3 stored in one is found by ffmpeg, which then hears several as one, and their frame."""

_HEADER_BYTES = 44
_SAMPLE_BYTES = 2
_HEAD_BYTES = 64
_PLACEHOLDER = 0x7FF00000
"""A RIFF size from here on was written by a program that did not know the length beforehand."""
_RIFF_SLACK_BYTES = 1 << 16
"""How far a WAV file's claim may be from its size without meaning anything (padding, tags, a header of its own)."""

log = logging.getLogger(__name__)


class _NeedsMix(Exception):
    """The rest of this run is of no use: it drops channels."""


@dataclass(frozen=True)
class _Source:
    path: Path
    size: int
    head: bytes

    @property
    def riff_excess(self) -> int:
        """Bytes the file has more than its RIFF header claims; 0 where it claims nothing or is no WAV file."""
        claim = int.from_bytes(self.head[4:8], "little")
        if self.head[:4] != b"RIFF" or self.head[8:12] != b"WAVE" or claim == 0 or claim >= _PLACEHOLDER:
            return 0
        return self.size - (claim + 8)


def normalise(source: Path, target: Path, *, limits: Limits, progress: Progress) -> Media:
    """Write the first audio track of ``source`` to ``target``: WAV, 16 kHz, mono, signed 16 bit, 44-byte header.

    What cannot be decoded of a damaged file is left out, as silence where the container says how long it was, and
    ``Media.warnings`` says so (codes ``damaged``, ``truncated``). If this raises, there is no target.

    Args:
        source: Any media file ffmpeg reads, whatever its name.
        target: Where to write; an older file is replaced.
        limits: Longest audio and longest run.
        progress: Called with seconds done and expected; where only the size is known, with bytes read and to read.

    Raises:
        UnsupportedMedia: Empty, not media, or nothing in it can be decoded.
        NoAudio: Media without an audio track, or with one that holds no sound at all.
        TooLong: More audio than ``limits.max_audio_seconds``.
        InputError: Code ``timeout``: not done after ``limits.ffmpeg_seconds``.
        TransientError: Code ``storage_full`` or ``interrupted``.
        ToolError: ffmpeg is missing or does not understand us.
        Cancelled: From ``progress``.
    """
    opened = _look(source)
    try:
        report, status = _convert(opened, target, limits=limits, progress=progress)
        samples = _samples(target)
        _judge(report, status, samples, limits)
        duration = samples / SAMPLE_RATE
        progress(duration, duration)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Media(
        format=container_name(report.demuxer or "", opened.head),
        codec=report.codec,
        duration=duration,
        sample_rate=report.sample_rate,
        channels=report.channels,
        warnings=_warnings(report, opened, duration),
    )


def _look(source: Path) -> _Source:
    with source.open("rb") as stream:  # a file we cannot open is our failure, not the user's
        head = stream.read(_HEAD_BYTES)
    if not head:
        raise UnsupportedMedia("The file is empty: check that the recording was saved, and upload it again.")
    if head.startswith(_ARCHIVES):
        raise UnsupportedMedia("This is an archive, not audio or video: unpack it and send the recordings inside.")
    return _Source(source, source.stat().st_size, head)


def _convert(source: _Source, target: Path, *, limits: Limits, progress: Progress) -> tuple[Report, int]:
    """Run ffmpeg, and once more where the first run showed that the file needs other arguments."""
    run = functools.partial(_run, source, target, limits=limits, progress=progress)
    whole = source.riff_excess > _RIFF_SLACK_BYTES
    report, status = run(whole=whole)
    if whole and report.misused:  # not a WAV file after all, whose option this is
        report, status = run()
    if report.no_mix:
        report, status = run(whole=whole, mix=ffmpeg.equal_mix(report.channels))
    return report, status


def _run(
    source: _Source, target: Path, *, limits: Limits, progress: Progress, whole: bool = False, mix: str | None = None
) -> tuple[Report, int]:
    report = Report()
    # A second more than allowed, so that what is longer can be told from what just fits.
    seconds = _longest(limits) + 1
    command = ffmpeg.command(source.path, target, seconds=seconds, mix=mix, whole=whole)
    size = int((seconds + 1) * SAMPLE_RATE * _SAMPLE_BYTES) + _HEADER_BYTES

    def tick(pid: int) -> None:
        if report.no_mix and mix is None:
            raise _NeedsMix
        if report.claimed and not report.estimated:
            progress(min(report.done, report.claimed), report.claimed)
        else:
            progress(min(_bytes_read(pid, source.path), source.size), source.size)

    try:
        status = process.run(
            command,
            bounds=process.Bounds(seconds=limits.ffmpeg_seconds, file_bytes=size),
            on_output=report.progress_line,
            on_error=report.log_line,
            tick=tick,
        )
    except _NeedsMix:
        return report, 0
    except process.OutOfTime:
        raise _out_of_time(limits) from None
    if report.errors:
        log.info("ffmpeg ended with %d: %s", status, " | ".join(report.errors))
    return report, status


def _out_of_time(limits: Limits) -> InputError:
    minutes = f"{limits.ffmpeg_seconds / 60:.3g}"
    detail = f"Decoding this file took more than the {minutes} minutes allowed: convert it to MP3 or WAV and send that."
    return InputError(detail, code="timeout")


def _bytes_read(pid: int, source: Path) -> int:
    """Where a program stands in a file, by what Linux tells; 0 where it does not."""
    with contextlib.suppress(OSError, ValueError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if descriptor.is_file() and descriptor.samefile(source):
                position = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split(maxsplit=2)[1]
                return int(position)
    return 0


def _samples(target: Path) -> int:
    try:
        return max(0, target.stat().st_size - _HEADER_BYTES) // _SAMPLE_BYTES
    except FileNotFoundError:
        return 0


def _longest(limits: Limits) -> float:
    return min(limits.max_audio_seconds, MAX_WAV_SECONDS)


def _judge(report: Report, status: int, samples: int, limits: Limits) -> None:
    """Raise unless there is audio to go on with; first what is our fault, then what is the file's."""
    _judge_machine(report, status)
    if status < 0 or report.no_memory:
        raise UnsupportedMedia("This file is damaged in a way that stops the decoder: convert it to WAV or MP3 first.")
    if report.no_track:
        raise NoAudio("This file has no audio track: send one with sound.")
    if report.demuxer is None:
        raise UnsupportedMedia(_unreadable(report))
    if not samples:
        if report.no_decoder:
            raise UnsupportedMedia(f"The audio codec of this file ({report.codec}) is not one we can decode.")
        if report.undecoded or status or not report.sample_rate:
            raise UnsupportedMedia("Nothing in this file can be decoded: it is damaged or protected against copying.")
        raise NoAudio("The audio track of this file is empty: send one with sound.")
    if samples > _longest(limits) * SAMPLE_RATE:
        hours = f"{_longest(limits) / 3600:.3g}"
        raise TooLong(f"The recording is longer than the {hours} hours allowed: cut it and send the parts.")


def _judge_machine(report: Report, status: int) -> None:
    if report.disk_full:
        raise TransientError("The server's disk is full: try again later.", code="storage_full")
    if report.misused or status in (126, 127) or (status > 0 and not report.heard):
        raise ToolError("The server's ffmpeg cannot be used: install version 4.2 or newer.")
    if status == 255 or -status in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        raise TransientError("Decoding was stopped from outside: try again.", code="interrupted")


def _unreadable(report: Report) -> str:
    if report.no_index:
        return "This video file is incomplete, so nothing in it can be found: upload it again from the original."
    return "This file is not audio or video that we can read: send a recording such as MP3, WAV, M4A, OGG, WebM or MP4."


def _warnings(report: Report, source: _Source, duration: float) -> list[Warn]:
    breaks_off = report.ended_early or source.riff_excess < -_RIFF_SLACK_BYTES
    if report.damaged and not breaks_off:
        detail = "Parts of the file are damaged and could not be decoded; words may be missing there."
        return [Warn(code="damaged", detail=detail)]
    if breaks_off or _is_short(report, duration):
        detail = f"The file breaks off: only the first {duration:.0f} seconds could be read."
        return [Warn(code="truncated", detail=detail)]
    return []


def _is_short(report: Report, duration: float) -> bool:
    """Whether a file of audio alone holds clearly less than it says; a video may well be longer than its sound."""
    if report.claimed is None or report.estimated or report.has_video:
        return False
    return duration < report.claimed - max(1.0, 0.02 * report.claimed)
