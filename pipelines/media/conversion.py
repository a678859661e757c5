"""From whatever was uploaded to the one format of the pipeline, in one run of ffmpeg.

What the file is (container, codec, channels) is read from what ffmpeg says during that same run. A library in this
process (PyAV) would tell it more conveniently, but it parses the hostile file in here, where a crash takes the worker
with it; a second process would double the time a short clip takes. Nothing a header says is believed where it
matters: the duration is counted in samples written.
"""

import contextlib
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from pipelines.documents import SAMPLE_RATE, Media
from pipelines.errors import InputError, UnsupportedMedia
from pipelines.media import ffmpeg, process, verdict
from pipelines.media.report import Report
from pipelines.media.types import container_name
from pipelines.stage import Limits, Progress

HOPELESS_PACKETS = 5000
"""If so many fail (a minute and a half of most codecs) before the first sample, no more are tried: each brings two
lines of complaint, so a megabyte of nothing is work for half a minute."""

_ARCHIVES = (
    *(b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"),
    *(b"MSCF", b"!<arch>\n"),
)
"""ZIP, RAR, 7-Zip, gzip, bzip2, XZ, Zstandard, cabinet, ar. An MP3 stored in one is found by ffmpeg, which then hears
several as one, and their frame."""
_TAR, _TAR_AT = b"ustar", 257

_HEAD_BYTES = 512
_NAMING_BYTES = 64
"""Of the head, what tells containers apart."""
_PLACEHOLDER = 0x7FF00000
"""A RIFF size from here on was written by a program that did not know the length beforehand."""

log = logging.getLogger(__name__)


class _NeedsMix(Exception):
    """The rest of this run is of no use: it drops channels, or makes one of those that are wanted apart."""


class _Hopeless(Exception):
    """The rest of this run is of no use: nothing can be decoded."""


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


def normalise(source: Path, target: Path, *, limits: Limits, progress: Progress, split: bool = False) -> Media:
    """Write the first audio track of ``source`` to ``target``: WAV, 16 kHz, mono, signed 16 bit, 44-byte header.

    What cannot be decoded of a damaged file is left out, as silence where the container says how long it was, and
    ``Media.warnings`` says so (codes ``damaged``, ``truncated``). If this raises, there is no target.

    Args:
        source: Any media file ffmpeg reads, whatever its name.
        target: Where to write; an older file is replaced.
        limits: Longest audio and longest run.
        progress: Called with seconds done and expected; where only the size is known, with bytes read and to read.
        split: Keep the channels apart, as many as the source has; the header may then be longer.

    Raises:
        UnsupportedMedia: Empty, not media, or nothing in it can be decoded.
        NoAudio: Media without an audio track, or with one that holds no sound at all.
        TooLong: More audio than ``limits.max_audio_seconds``, or than fits into a file with so many channels.
        OptionsError: More channels than can be kept apart.
        InputError: Code ``timeout``: not done after ``limits.ffmpeg_seconds``.
        TransientError: Code ``storage_full`` or ``interrupted``.
        ToolError: ffmpeg is missing or does not understand us.
        Cancelled: From ``progress``.
    """
    try:
        opened = _look(source)
        report, status, channels = _convert(opened, target, limits=limits, progress=progress, split=split)
        duration = verdict.samples_or_error(report, status, target, limits, channels) / SAMPLE_RATE
        progress(duration, duration)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Media(
        format=container_name(report.demuxer or "", opened.head[:_NAMING_BYTES]),
        codec=report.codec,
        duration=duration,
        sample_rate=report.sample_rate,
        channels=report.channels,
        warnings=verdict.warnings(report, duration=duration, riff_excess=opened.riff_excess),
    )


def _look(source: Path) -> _Source:
    with source.open("rb") as stream:  # a file we cannot open is our failure, not the user's
        head = stream.read(_HEAD_BYTES)
    if not head:
        raise UnsupportedMedia("The file is empty: check that the recording was saved, and upload it again.")
    if head.startswith(_ARCHIVES) or head.startswith(_TAR, _TAR_AT):
        raise UnsupportedMedia("This is an archive, not audio or video: unpack it and send the recordings inside.")
    return _Source(source, source.stat().st_size, head)


def _convert(
    source: _Source, target: Path, *, limits: Limits, progress: Progress, split: bool
) -> tuple[Report, int, int]:
    """Run ffmpeg, and once more where the first run showed that the file needs other arguments.

    Returns:
        What ffmpeg said, how it ended, and the channels that were asked for.
    """
    run = functools.partial(_run, source, target, limits=limits, progress=progress, split=split)
    whole = source.riff_excess > verdict.RIFF_SLACK_BYTES
    report, status = run(whole=whole)
    if whole and report.misused:  # not a WAV file after all, whose option this is
        whole = False
        report, status = run()
    channels = report.channels if split else 1
    if channels > verdict.MAX_SPLIT:
        raise verdict.too_many(channels)
    if channels > 1:
        return (*run(whole=whole, channels=channels), channels)
    if report.no_mix and report.channels <= verdict.MAX_CHANNELS:
        report, status = run(whole=whole, mix=ffmpeg.equal_mix(report.channels))
    return report, status, 1


def _run(
    source: _Source,
    target: Path,
    *,
    limits: Limits,
    progress: Progress,
    split: bool,
    whole: bool = False,
    mix: str | None = None,
    channels: int = 1,
) -> tuple[Report, int]:
    report = Report()
    if target.is_file():  # of an earlier run; this one may end before it opens its own
        target.unlink()
    # A second more than allowed, so that what is longer can be told from what just fits.
    seconds = verdict.longest(limits, channels) + 1
    command = ffmpeg.command(source.path, target, seconds=seconds, mix=mix, whole=whole, channels=channels)
    size = int((seconds + 1) * SAMPLE_RATE * verdict.SAMPLE_BYTES) * channels + verdict.LONG_HEADER_BYTES
    first = mix is None and channels == 1

    def tick(pid: int) -> None:
        if first and (report.no_mix or (split and report.channels > 1)):
            raise _NeedsMix
        if report.undecoded > HOPELESS_PACKETS and not report.done and not verdict.samples_in(target):
            raise _Hopeless
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
    except _Hopeless:
        target.unlink(missing_ok=True)
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
