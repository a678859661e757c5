"""What a run of ffmpeg came to: sound to go on with, and if not, whose fault that is and what the user is told.

A file can make ffmpeg print whatever it likes (see ``report``). So where its words and a fact disagree, the fact
counts: what was written, how the program ended, and whether it works with a sound of our own.
"""

import signal
import tempfile
import wave
from pathlib import Path

from pipelines.documents import SAMPLE_RATE, Warn
from pipelines.errors import InputError, NoAudio, OptionsError, ToolError, TooLong, TransientError, UnsupportedMedia
from pipelines.media import ffmpeg, process
from pipelines.media.report import Report
from pipelines.stage import Limits

MAX_WAV_SECONDS = 37 * 3600
"""As much as the 32-bit sizes of a WAV header can say; a higher limit of the operator is lowered to it."""
MAX_CHANNELS = 64
"""As many as ffmpeg mixes."""
MAX_SPLIT = 16
"""Channels that may be kept apart: as many as a large recorder has, and a bound to the work one file can make."""
HEADER_BYTES = 44
LONG_HEADER_BYTES = 68
"""Of a file with more than two channels."""
SAMPLE_BYTES = 2
RIFF_SLACK_BYTES = 1 << 16
"""How far a WAV file's claim may be from its size without meaning anything (padding, tags, a header of its own)."""


def longest(limits: Limits, channels: int = 1) -> float:
    """Seconds of audio that are allowed."""
    return min(limits.max_audio_seconds, MAX_WAV_SECONDS / channels)


def samples_in(target: Path, channels: int = 1) -> int:
    """How many samples of each channel were written so far."""
    try:
        return max(0, target.stat().st_size - _header_bytes(target)) // (SAMPLE_BYTES * channels)
    except FileNotFoundError:
        return 0


def _header_bytes(target: Path) -> int:
    """What stands before the samples; the long form also says which loudspeaker each channel is for."""
    with target.open("rb") as stream:
        head = stream.read(LONG_HEADER_BYTES)
    return LONG_HEADER_BYTES if head[-8:-4] == b"data" and head[36:40] != b"data" else HEADER_BYTES


def _finished(target: Path) -> bool:
    """Whether the header was written anew at the end, so that it says how much there is."""
    try:
        size = _header_bytes(target)
        with target.open("rb") as stream:
            head = stream.read(size)
        return int.from_bytes(head[-4:], "little") == target.stat().st_size - size
    except OSError:
        return False


def samples_or_error(report: Report, status: int, target: Path, limits: Limits, channels: int = 1) -> int:
    """How many samples of each channel there are to go on with.

    Raises:
        pipelines.errors.LonghandError: None; first what is our fault, then what is the file's.
    """
    finished, samples = _finished(target), samples_in(target, channels)
    _judge_machine(report, status, target, finished=finished)
    if status < 0 or (report.no_memory and not (finished and samples)):
        raise UnsupportedMedia("This file is damaged in a way that stops the decoder: convert it to WAV or MP3 first.")
    if channels == 1 and report.no_mix and report.channels > MAX_CHANNELS:
        many = f"This file has {report.channels} channels, and at most {MAX_CHANNELS} can be mixed: send it with fewer."
        raise UnsupportedMedia(many)
    if not (finished and samples):
        raise _without_sound(report, status)
    if samples > longest(limits, channels) * SAMPLE_RATE:
        raise _too_long(limits, channels)
    return samples


def too_many(channels: int) -> OptionsError:
    """That so many channels cannot be kept apart."""
    return OptionsError(
        f"The recording has {channels} channels, and at most {MAX_SPLIT} can be transcribed apart: send it with fewer, "
        "or without channels=split."
    )


def _too_long(limits: Limits, channels: int) -> TooLong:
    hours = f"{longest(limits, channels) / 3600:.3g}"
    if longest(limits, channels) < longest(limits):
        detail = f"A recording whose {channels} channels are transcribed apart may be {hours} hours long"
        return TooLong(f"{detail}: cut it and send the parts.")
    return TooLong(f"The recording is longer than the {hours} hours allowed: cut it and send the parts.")


def _without_sound(report: Report, status: int) -> InputError:
    """Why nothing came out."""
    if report.no_track:
        return NoAudio("This file has no audio track: send one with sound.")
    if report.demuxer is None:
        return UnsupportedMedia(_unreadable(report))
    if report.no_decoder or report.codec in report.not_allowed:
        return UnsupportedMedia(f"The audio codec of this file ({report.codec}) is not one we can decode.")
    if report.undecoded or status or not report.sample_rate:
        return UnsupportedMedia("Nothing in this file can be decoded: it is damaged or protected against copying.")
    return NoAudio("The audio track of this file is empty: send one with sound.")


def _judge_machine(report: Report, status: int, target: Path, *, finished: bool) -> None:
    """Raise if it was not the file. Its words may look like ffmpeg's own, so each of those is checked by a fact."""
    if report.disk_full and report.demuxer is not None and (status or not finished):
        raise TransientError("The server's disk is full: try again later.", code="storage_full")
    if status > 0 and (report.misused or status in (126, 127) or not report.heard) and not _tool_works(target.parent):
        raise ToolError("The server's ffmpeg cannot be used: install version 4.2 or newer.")
    killed = -status in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    if killed or (status == 255 and report.stopped):  # 255 alone is also how ffmpeg ends if a file makes no sense
        raise TransientError("Decoding was stopped from outside: try again.", code="interrupted")


def _tool_works(place: Path) -> bool:
    """Whether ffmpeg understands us, by a sound of our own; asked only if it may be at fault."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        with wave.open(str(source), "wb") as sound:
            sound.setparams((1, SAMPLE_BYTES, SAMPLE_RATE, 0, "NONE", ""))
            sound.writeframes(bytes(SAMPLE_RATE))
        status = process.run(
            ffmpeg.command(source, target, seconds=10),
            bounds=process.Bounds(seconds=60, file_bytes=1 << 20),
            on_output=_unheard,
            on_error=_unheard,
            tick=_unheard,
        )
        return status == 0 and _finished(target) and samples_in(target) > 0


def _unheard(_: object) -> None:
    """For output that nobody needs."""


def _unreadable(report: Report) -> str:
    if report.no_index:
        return "This video file is incomplete, so nothing in it can be found: upload it again from the original."
    return "This file is not audio or video that we can read: send a recording such as MP3, WAV, M4A, OGG, WebM or MP4."


def warnings(report: Report, *, duration: float, riff_excess: int) -> list[Warn]:
    """What the user should know of a recording that can be used.

    Args:
        report: Of the run.
        duration: Seconds that were written.
        riff_excess: Bytes the file has more than its RIFF header claims; negative: fewer.
    """
    breaks_off = report.ended_early or riff_excess < -RIFF_SLACK_BYTES
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
