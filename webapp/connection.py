"""Who a stream is sent to, and how."""

import select
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Response

_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class Receiver:
    """Tells whether the client is still there and takes what it is sent.

    Args:
        environ: Of the request. Where the server does not say which socket it is, the client counts as there.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self._socket = environ.get("gunicorn.socket")

    def gone(self) -> bool:
        """Whether it has hung up."""
        return bool(self._poll(0, 0) & _GONE)

    def takes(self, seconds: float) -> bool:
        """Whether there is room to send to it within some seconds; if not, sending could block for ever."""
        if self._socket is None:
            return True
        found = self._poll(seconds, select.POLLOUT)
        return bool(found & select.POLLOUT) and not found & _GONE

    def taking(self, texts: Iterable[str], *, seconds: float) -> Iterator[str]:
        """The texts, for as long as it takes each within some seconds."""
        for text in texts:
            if not self.takes(seconds):
                return
            yield text

    def _poll(self, seconds: float, events: int) -> int:
        if self._socket is None:
            return 0
        number = self._socket.fileno()
        if number < 0:
            return select.POLLNVAL
        poll = select.poll()
        poll.register(number, events | _GONE)
        return next((found for _, found in poll.poll(round(seconds * 1000))), 0)


def event_stream(events: Iterable[str]) -> Response:
    """An answer of Server-Sent Events that nobody on the way keeps back or stores."""
    answer = Response(events, content_type="text/event-stream")
    answer.headers["Cache-Control"] = "private, no-cache, no-transform"
    answer.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back
    return answer
