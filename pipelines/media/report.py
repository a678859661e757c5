"""What ffmpeg says while it works, understood line by line.

With ``-loglevel level+info`` every line carries its level: a title that says "No space left on device" stands on an
info line. But a text with a line end, inside a complaint about it, can begin a line of its own and look like any
other. So what is said here is only where to look: who judges by it checks it against what was written (see
``conversion``). The wording is the same from ffmpeg 4 to 9.
"""

import re
from collections import deque

_LINE = re.compile(r"(?:\[[^\]]* @ [^\]]*\] )*\[(info|warning|error|fatal|panic)\] (.*)", re.DOTALL)
_INPUT = re.compile(r"Input #0, (.+), from '")
_CLAIM = re.compile(r" *Duration: (\d+):(\d\d):(\d\d\.\d+)")
_AUDIO = re.compile(r" *Stream #0:\d+\S*: Audio: (\w+)")
_SHAPE = re.compile(r", (\d{1,7}) Hz, ([^,]+)")
_UNNAMED = re.compile(r"\d+ channels")
_VIDEO = re.compile(r" *Stream #0:\d+\S*: Video: ")
_REPEATED = re.compile(r" *Last message repeated (\d+) times")
_UNDECODED = re.compile(
    r"Error (while decoding stream|submitting packet to decoder|during demuxing)|Decoding error"
    r"|Invalid packet"
)
_BROKEN = re.compile(
    r"CRC mismatch|exceeds (max length|containing master element)|Failed to compensate for timestamp delta"
)
_NOT_ALLOWED = re.compile(r"Codec \(([\w.]+)\) not on whitelist")
"""A picture's decoder, which we did not ask for: no error of the file, and a line of 3000 letters."""
_ENDED_EARLY = re.compile(r"File ended prematurely|partial file")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_MISUSED = re.compile(r"Unrecognized option|Option not found|Error splitting the argument list|No such filter")
_KEPT = 120
_CHANNELS = {
    "mono": 1, "stereo": 2, "downmix": 2, "binaural": 2, "quad": 4, "hexagonal": 6, "octagonal": 8, "cube": 8,
    "hexadecagonal": 16,
}  # fmt: skip

NEGLIGIBLE_PACKETS = 2
"""So many may fail, a twentieth of a second, without a word to the user: a tag inside an MP3 looks like one."""
LONG_PACKETS = frozenset({"alac", "ape", "flac", "tak", "tta", "wavpack"})
"""Codecs with a tenth of a second or more in each packet."""


class Report:
    """What was learnt so far. Feed it the lines of standard error and of ``-progress``."""

    def __init__(self) -> None:
        self.heard = False
        """Whether ffmpeg itself said anything, rather than what starts it."""
        self.demuxer: str | None = None
        """ffmpeg's names of the container; None: the file could not be opened."""
        self.codec = "unknown"
        self.sample_rate = 0
        self.channels = 0
        self.has_video = False
        """A picture that moves; a cover does not count."""
        self.claimed: float | None = None
        """Seconds, by the container's own word."""
        self.estimated = False
        """Whether ``claimed`` is only ffmpeg's guess from the size."""
        self.done = 0.0
        """Seconds of audio made so far."""
        self.no_track = False
        self.no_decoder = False
        self.not_allowed: set[str] = set()
        """Decoders that ffmpeg wanted to open and may not; nearly always those of pictures."""
        self.no_mix = False
        """Nobody says what these channels are. ffmpeg gives up, or takes them for a cinema's and drops the bass one."""
        self.no_index = False
        """An MP4 without its index, which stands at the end: the recording or the upload broke off."""
        self.no_memory = False
        self.disk_full = False
        self.misused = False
        """This ffmpeg does not understand our command."""
        self.stopped = False
        """ffmpeg was asked to end by a signal, and says so; its exit status alone may mean another thing."""
        self.ended_early = False
        self.undecoded = 0
        """Packets that failed."""
        self.broken = False
        """The container itself is damaged, which hides how much is lost."""
        self.errors: deque[str] = deque(maxlen=20)
        """The last lines of level error and worse, for the log."""
        self._repeats_undecoded = False

    @property
    def damaged(self) -> bool:
        """Whether more failed than happens with files that are well."""
        return (
            self.broken or self.no_memory or self.undecoded > (1 if self.codec in LONG_PACKETS else NEGLIGIBLE_PACKETS)
        )

    def progress_line(self, line: str) -> None:
        """Take a line of ``-progress``."""
        name, _, value = line.partition("=")
        if name == "out_time_us" and value.strip().isdigit():
            self.done = int(value) / 1e6

    def log_line(self, line: str) -> None:
        """Take a line of standard error."""
        if repeated := _REPEATED.match(line):
            self.undecoded += int(repeated[1]) if self._repeats_undecoded else 0
            return
        match = _LINE.match(line)
        self.heard |= match is not None
        # Options are read before the log level is set, so a complaint about them has no level.
        level, text = (match[1], match[2]) if match else ("error", line) if self.demuxer is None else ("info", line)
        if level == "info":
            self._info(text)
        elif level == "warning":
            self.estimated |= text.startswith("Estimating duration from bitrate")
        else:
            self._error(text)

    def _info(self, text: str) -> None:
        self.stopped |= text.startswith("Exiting normally, received signal")
        if self.demuxer is None:
            if match := _INPUT.match(text):
                self.demuxer = match[1]
        elif match := _CLAIM.match(text):
            hours, minutes, seconds = match.groups()
            self.claimed = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        elif (match := _AUDIO.match(text)) and self.codec == "unknown":
            self.codec = match[1]
            if shape := _SHAPE.search(text):
                self.sample_rate, self.channels = int(shape[1]), channel_count(shape[2].strip())
                self.no_mix = self.channels > 2 and bool(_UNNAMED.fullmatch(shape[2].strip()))
        elif _VIDEO.match(text):
            self.has_video |= "(attached pic)" not in text

    def _error(self, text: str) -> None:
        if refused := _NOT_ALLOWED.match(text):
            self.not_allowed.add(refused[1])
            return
        self.errors.append("".join(c if c.isprintable() else "?" for c in text[:_KEPT]))
        self._repeats_undecoded = bool(_UNDECODED.search(text))
        self.undecoded += self._repeats_undecoded
        self.broken |= bool(_BROKEN.search(text))
        self.ended_early |= bool(_ENDED_EARLY.search(text))
        self.disk_full |= bool(_DISK_FULL.search(text))
        self.misused |= bool(_MISUSED.search(text))
        self.no_track |= "matches no streams" in text
        self.no_decoder |= "no decoder found" in text or ("Decoder (codec " in text and "not found" in text)
        self.no_index |= "moov atom not found" in text
        self.no_memory |= "Cannot allocate memory" in text


def channel_count(layout: str) -> int:
    """Channels of a layout as ffmpeg names it (``5.1(side)``, ``6 channels``, ``ambisonic 1``); 0 if unknown."""
    name = layout.split("(")[0].strip()
    if name in _CHANNELS:
        return _CHANNELS[name]
    if re.fullmatch(r"\d+(\.\d+)+", name):
        return sum(int(part) for part in name.split("."))
    if match := re.fullmatch(r"(\d+) channels", name):
        return int(match[1])
    if match := re.match(r"ambisonic (\d)", name):
        return (int(match[1]) + 1) ** 2
    return 0
