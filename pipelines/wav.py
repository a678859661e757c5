"""``audio.wav`` as samples, read by range: 16 kHz, signed 16 bit, one channel or several."""

from __future__ import annotations

import io
from collections.abc import Iterator
from struct import Struct, error
from typing import TYPE_CHECKING, BinaryIO

from pipelines.documents import SAMPLE_RATE
from pipelines.errors import ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = Struct("<4sI")
_FORMAT = Struct("<HHIIHH")
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_MAX_CHANNELS = 64
_PIECE_FRAMES = 1 << 16
"""Read at once of a file with several channels, of which only a part is kept."""
_UNKNOWN = (0, 0xFFFFFFFF)
"""Sizes in the header of a stream whose writer could not go back to fill them in."""


class WavReader:
    """Samples of a WAV stream, without holding more of it than is asked for.

    Args:
        stream: Seekable; stays the caller's to close. Its position is moved by every read.
        channel: Which one to read, from 1; None: all of them as one, their mean.

    Raises:
        pipelines.errors.ToolError: Not a WAV file of the shape the pipeline writes, or it has no such channel.
    """

    def __init__(self, stream: BinaryIO, *, channel: int | None = None) -> None:
        self._stream = stream
        self._offset, size, self.channels = _find_data(stream)
        """Channels in the file."""
        if channel is not None and not 1 <= channel <= self.channels:
            raise _not_ours(f"it has no channel {channel}")
        self._channel = channel
        self.frames: int = size // (2 * self.channels)
        """Samples of each channel in the file."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / SAMPLE_RATE

    def read(self, start: float = 0.0, end: float | None = None) -> NDArray[np.float32]:
        """Samples from ``start`` to ``end`` (seconds, to the nearest sample), clipped to what there is, in [-1, 1)."""
        first = max(0, round(start * SAMPLE_RATE))
        last = self.frames if end is None else round(end * SAMPLE_RATE)
        return self.read_frames(first, last)

    def read_frames(self, first: int, last: int) -> NDArray[np.float32]:
        """Samples number ``first`` up to and without ``last``, clipped to what there is, in [-1, 1)."""
        import numpy as np

        if self.channels == 1:
            mono: NDArray[np.float32] = self._raw(first, last)[0].astype(np.float32) / np.float32(32768)
            return mono
        first, last = min(first, self.frames), min(last, self.frames)
        samples = np.empty(max(0, last - first), np.float32)
        for at in range(first, last, _PIECE_FRAMES):
            piece = self._raw(at, min(last, at + _PIECE_FRAMES))
            one = piece.mean(axis=0, dtype=np.float32) if self._channel is None else piece[self._channel - 1]
            samples[at - first : at - first + len(one)] = one / np.float32(32768)
            if len(one) < min(last, at + _PIECE_FRAMES) - at:
                return samples[: at - first + len(one)]
        return samples

    def _raw(self, first: int, last: int) -> NDArray[np.int16]:
        """Samples of all channels, a row for each, as they are in the file."""
        import numpy as np

        first, last = min(first, self.frames), min(last, self.frames)
        width = 2 * self.channels
        self._stream.seek(self._offset + width * first)
        data = _read_fully(self._stream, width * max(0, last - first))
        return np.frombuffer(data[: len(data) // width * width], dtype="<i2").reshape(-1, self.channels).T

    def blocks_apart(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """The whole file in pieces of that length, the last one shorter: a row for each channel, in [-1, 1)."""
        import numpy as np

        step = max(1, round(seconds * SAMPLE_RATE))
        for first in range(0, self.frames, step):
            yield np.ascontiguousarray(self._raw(first, first + step), np.float32) / np.float32(32768)

    def blocks(self, seconds: float) -> Iterator[NDArray[np.float32]]:
        """The whole file in pieces of that length, the last one shorter."""
        step = max(1, round(seconds * SAMPLE_RATE))
        for first in range(0, self.frames, step):
            yield self.read_frames(first, first + step)


def _find_data(stream: BinaryIO) -> tuple[int, int, int]:
    """Offset and bytes of the samples, and channels, by what is really there rather than by what the header says."""
    total = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = _read_fully(stream, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        raise _not_ours("it is not a WAV file")
    channels, position, long_size = 0, 12, 0
    while position + _CHUNK.size <= total:
        stream.seek(position)
        name, size = _CHUNK.unpack(_read_fully(stream, _CHUNK.size))
        position += _CHUNK.size
        if name == b"ds64":  # the sizes that do not fit into 32 bits
            long_size = int.from_bytes(_read_fully(stream, 16)[8:], "little")
        elif name == b"fmt ":
            channels = _check_format(_read_fully(stream, size))
        elif name == b"data":
            if not channels:
                raise _not_ours("it does not say what its samples are")
            known = (long_size or total) if size in _UNKNOWN else size
            return position, min(known, total - position), channels
        position += size + size % 2
    raise _not_ours("it holds no samples")


def _check_format(body: bytes) -> int:
    """How many channels there are."""
    try:
        kind, channels, rate, _, _, bits = _FORMAT.unpack(body[: _FORMAT.size])
    except error:
        raise _not_ours("its header is broken") from None
    if kind == _EXTENSIBLE:
        kind = int.from_bytes(body[24:26], "little")
    if (kind, rate, bits) != (_PCM, SAMPLE_RATE, 16) or not 1 <= channels <= _MAX_CHANNELS:
        raise _not_ours(f"it has {channels} channels, {rate} Hz, {bits} bits, format {kind}")
    return int(channels)


def _not_ours(why: str) -> ToolError:
    return ToolError(f"The prepared audio cannot be used because {why}; submit the recording again.")


def _read_fully(stream: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes; fewer only at the end. A raw or remote stream may answer in pieces."""
    data = stream.read(size)
    if len(data) == size or not data:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing and (data := stream.read(missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)
