"""Who opens a file, and who connects to a port: `with Watched(folder) as watched: …; assert not watched.touched()`."""

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path
from typing import Self

from tests import media_samples

_OPENED = 0x20
_EVENT = struct.Struct("iIII")


class Watched:
    """A file of the server's, with a tone of its own, and a listening socket on loopback."""

    def __init__(self, folder: Path) -> None:
        self.file = media_samples.tone(folder / "canary.wav", hertz=3217)

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._events >= 0, os.strerror(ctypes.get_errno())
        assert libc.inotify_add_watch(self._events, os.fsencode(self.file), _OPENED) >= 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0)
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._events)
        self._socket.close()

    def touched(self) -> list[str]:
        """What has happened since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            found += ["the file was opened"] * (len(os.read(self._events, 1 << 16)) // _EVENT.size)
        with contextlib.suppress(BlockingIOError):
            self._socket.accept()[0].close()
            found.append("somebody connected")
        return found
