"""Streams from storage elsewhere: a line that breaks is no outage, and an outage is told as one."""

import contextlib
import io
from collections.abc import Iterator

import pytest

from store.file_errors import StorageAway
from store.outgoing import Reading


class Breaking(io.BytesIO):
    """A stream whose line breaks some times, without anything being read."""

    def __init__(self, content: bytes, *, times: int) -> None:
        super().__init__(content)
        self._times = times

    def read(self, size: int | None = -1, /) -> bytes:
        if self._times:
            self._times -= 1
            raise ConnectionError("the line broke")
        return super().read(size)


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise StorageAway from error


def test_a_broken_line_is_tried_again_once() -> None:
    with Reading(Breaking(b"0123456789", times=1), noticing) as stream:
        assert stream.read(4) == b"0123"
        assert stream.seek(2) == stream.tell() == 2
        assert stream.read() == b"23456789" and stream.read() == b""
    with Reading(Breaking(b"0123456789", times=2), noticing) as stream, pytest.raises(StorageAway):
        stream.read(4)


def test_it_is_as_good_as_a_file() -> None:
    with Reading(io.BytesIO(b"one\ntwo\n"), noticing) as stream:
        room = bytearray(4)
        assert stream.readable() and stream.seekable() and not stream.writable()
        assert stream.readinto(room) == 4 and room == b"one\n"
        assert list(io.TextIOWrapper(stream)) == ["two\n"]
