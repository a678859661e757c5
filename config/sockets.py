"""A client's connection that is given up when nothing goes through it any more."""

import contextlib
import errno
import fcntl
import math
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0
LEAST_RATE = 1000
"""Bytes per second. What comes or goes more slowly than this for a minute of waiting keeps a thread for nothing."""


_SILENT_SECONDS = 1.0
"""How often whoever wants to know is told that nothing comes."""


class Stalled(TimeoutError):
    """A request's body comes too slowly, or not at all any more."""


class PatientSocket(socket.socket):
    """A blocking socket that waits for its client, but not for ever.

    The socket's own timeouts will not do: in ``recv`` they begin anew with each byte, in ``sendall`` they bound the
    whole, however well it goes on. They still hold where somebody sets them.

    Args:
        number: File descriptor of the connection; it belongs to this object from now on.
        patience: Seconds of waiting after which it is looked at what came or went in them.
        least_rate: Bytes per second that must have.
    """

    def __init__(self, number: int, *, patience: float = PATIENCE_SECONDS, least_rate: float = LEAST_RATE) -> None:
        super().__init__(fileno=number)
        self._patience = patience
        self._least = least_rate * patience
        self._waited = 0.0
        self._received = 0
        self.silence = 0.0
        """Seconds that were spent waiting for the body of this request."""
        self._head_until: float | None = None
        self.while_silent: Callable[[], None] | None = None
        """Called every second in which ``recv`` waits for the first byte; what it raises, ``recv`` does."""

    def begin_head(self, seconds: float) -> None:
        """From now on the head of a request is read, which must be there within some seconds."""
        self._head_until = time.monotonic() + seconds

    def begin_body(self) -> None:
        """From now on the body of a request is read."""
        self._head_until = None
        self._waited, self._received = 0.0, 0
        self.silence = 0.0
        self.while_silent = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has come, or comes next.

        Raises:
            Stalled: Less than the least rate came while waiting.
            TimeoutError: Nothing came within the timeout that somebody set.
            ConnectionResetError: The head of the request took too long.
        """
        if self.gettimeout() != 0:
            self._await_input()
        data = super().recv(size, flags)
        self._received += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything.

        Raises:
            ConnectionResetError: The client takes nothing.
        """
        if self.gettimeout() == 0:
            super().sendall(data, flags)
            return
        rest = memoryview(data).cast("B")
        while rest:
            self._await_room()
            with contextlib.suppress(BlockingIOError):
                rest = rest[super().send(rest, flags | socket.MSG_DONTWAIT) :]

    def _await_input(self) -> None:
        own = self.gettimeout()
        while True:
            left = self._patience - self._waited
            if self._head_until is not None:
                left = min(left, self._head_until - time.monotonic())
            seconds = left if own is None else min(left, own)
            began = time.monotonic()
            comes = self._comes_within(seconds)
            took = time.monotonic() - began
            self._waited += took
            self.silence += took
            if comes:
                return
            if self._head_until is not None and time.monotonic() >= self._head_until:
                raise ConnectionResetError(errno.ECONNRESET, "the head of a request took too long")
            if self._waited < self._patience:
                if own is not None:
                    raise TimeoutError("timed out")
                continue
            enough = self._received >= self._least
            self._waited, self._received = 0.0, 0
            if not enough:
                raise Stalled("the body comes too slowly")

    def _comes_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.while_silent is not None and end - time.monotonic() > _SILENT_SECONDS:
            if self._poll(select.POLLIN, _SILENT_SECONDS):
                return True
            self.while_silent()
        return self._poll(select.POLLIN, end - time.monotonic())

    def _await_room(self) -> None:
        """Wait until something can be sent. There is room only when much has gone, so what has gone is counted."""
        queued = self._queued()
        while not self._poll(select.POLLOUT, self._patience):
            before, queued = queued, self._queued()
            if before - queued < self._least:
                # What the system still holds for this client goes at once when the connection is closed.
                self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing")

    def _queued(self) -> int:
        """Bytes that were sent and have not arrived; 0 where the system does not tell."""
        with contextlib.suppress(OSError, AttributeError):
            return int(struct.unpack("i", fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
        return 0

    def _poll(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), event)
        return bool(poll.poll(max(0, math.ceil(seconds * 1000))))
