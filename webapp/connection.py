"""What can be seen of the connection that a request came by."""

import select
import socket
from collections.abc import Mapping
from typing import Any


class Connection:
    """The socket of a request; where there is none to be seen, the client counts as there.

    Args:
        environ: Of the request.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket: Any = environ.get("gunicorn.socket")

    def gone(self) -> bool:
        """Whether the client has closed it. What the client has sent ahead stays there."""
        if self._socket is None:
            return False
        try:
            before = self._socket.gettimeout()
            self._socket.settimeout(0.0)
            try:
                return not self._socket.recv(1, socket.MSG_PEEK)
            finally:
                self._socket.settimeout(before)
        except (BlockingIOError, InterruptedError, ValueError):  # nothing to read; ValueError: TLS cannot peek
            return False
        except OSError:
            return True

    def takes(self, seconds: float) -> bool:
        """Whether the client takes more data within that time: one that has stopped reading would hold up a thread."""
        if self._socket is None:
            return True
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLOUT)
        except (OSError, ValueError):
            return False
        return bool(poll.poll(seconds * 1000))
