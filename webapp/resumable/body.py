"""The body of a request, block by block, for those who keep what arrived even when the rest does not."""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from flask import Request
from werkzeug.wsgi import get_input_stream

from config.sockets import PatientSocket

PAUSE_SECONDS = 1.0
"""A client that sends nothing for this long is noticed."""
SILENCE_SECONDS = 60.0
"""A client that sends nothing for this long has gone, unless it is back before (``pause``)."""
_BLOCK = 1 << 17


class Incoming:
    """A body that arrives.

    Args:
        request: Nobody has touched its body.
    """

    def __init__(self, request: Request) -> None:
        self.length = request.content_length
        """Bytes it will have; None: it comes in chunks, or there is none."""
        self.received = 0
        self.whole = False
        """Whether it came to its end."""
        self._stream = get_input_stream(request.environ)
        self._socket: Any = request.environ.get("gunicorn.socket")
        # The server's reader of chunks loses its place when it is interrupted, the other one goes on where it was.
        self._patience = SILENCE_SECONDS if self.length is None else PAUSE_SECONDS

    def blocks(self, pause: Callable[[], None] = lambda: None) -> Generator[bytes, None, None]:
        """What arrives, in order. Ends with the body, or when it breaks off.

        Args:
            pause: Called every second in which the client sends nothing; what it raises ends the body as well, be it
                at once or as if it had broken off.
        """
        listening = self.length is None and isinstance(self._socket, PatientSocket)
        if self._socket is not None:
            self._socket.settimeout(self._patience)
        if listening:
            self._socket.while_silent = pause
        try:
            yield from self._blocks(pause)
        finally:
            if listening:
                self._socket.while_silent = None
            if self._socket is not None:
                self._socket.settimeout(None)

    def _blocks(self, pause: Callable[[], None]) -> Iterator[bytes]:
        heard = time.monotonic()
        while True:
            try:
                block = bytes(self._stream.read(_BLOCK))
            except TimeoutError:
                if self.length is None or time.monotonic() - heard > SILENCE_SECONDS:
                    yield from self._rest()
                    return
                yield from self._buffered()
                pause()
                continue
            except Exception:  # the server's own classes for a body cut short or wrongly framed, and those of ``pause``
                yield from self._rest()
                return
            if not block:
                self.whole = self.length is None or self.received == self.length
                return
            heard = time.monotonic()
            self.received += len(block)
            yield block

    def _buffered(self) -> Iterator[bytes]:
        """During a pause: what the server holds back because it is less than was asked for; it gives 1 kB at least."""
        size = _BLOCK
        self._socket.settimeout(0.001)
        try:
            while size >= 1024:
                try:
                    block = bytes(self._stream.read(size))
                except TimeoutError:
                    size //= 2
                    continue
                if not block:
                    return
                self.received += len(block)
                yield block
        finally:
            self._socket.settimeout(self._patience)

    def _rest(self) -> Iterator[bytes]:
        """What the server had read before the connection broke, but not handed out."""
        if self._socket is not None:
            self._socket.settimeout(0.1)
        with contextlib.suppress(Exception):
            block = bytes(self._stream.read(_BLOCK))
            self.received += len(block)
            if block:
                yield block
