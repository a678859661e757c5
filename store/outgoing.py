"""A file that is read from storage elsewhere."""

import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from typing_extensions import Buffer

from store.file_errors import StorageAway

_AT_ONCE_SECONDS = 5.0


class Reading(io.BufferedIOBase):
    """A stream whose reader is told that the storage is away, whatever its library says.

    Args:
        stream: The library's.
        noticing: Tells an absent storage from other errors.
    """

    def __init__(self, stream: BinaryIO, noticing: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._noticing = noticing

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file.

        Raises:
            StorageAway: The storage is not there any more.
        """
        began = time.monotonic()
        try:
            return self._fetched(size)
        except StorageAway:
            # A connection that broke off in the middle is none of an outage yet.
            if time.monotonic() - began > _AT_ONCE_SECONDS:
                raise
        return self._fetched(size)

    def _fetched(self, size: int | None) -> bytes:
        with self._noticing():
            return self._stream.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        """The same: what is fetched is fetched at once."""
        return self.read(size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Into memory that is there."""
        room = memoryview(buffer).cast("B")
        found = self.read(len(room))
        room[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Nothing is fetched by it."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._stream.tell()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Let go of it."""
        if not self.closed:
            self._stream.close()
        super().close()
