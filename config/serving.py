"""gunicorn's threads, for requests only: whoever has not sent the whole head of one does not get a thread.

gunicorn 27 waits for the first byte of a request without a thread and then reads its head in one, for as long as the
client likes. Here heads are collected by the worker's main thread, from all connections at once. It also says goodbye
there: gunicorn does so by waiting up to two seconds for one client, and all others wait with it.
"""

import contextlib
import errno
import json
import re
import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from config.sockets import LEAST_RATE, PATIENCE_SECONDS, PatientSocket

HEAD_SECONDS = 10.0
HEAD_BYTES = 64 * 1024
_GOODBYE_SECONDS = 2.0
_GOODBYE_BYTES = 32 << 20
"""What is taken and thrown away meanwhile from a client that does not stop sending."""
_BLOCK = 16 * 1024
# The end of a head, or a line that ends as none may: that is refused at once.
_END = re.compile(rb"\r\n\r\n|(?:^|[^\r])\n")
_TOO_LARGE = "The head of the request is too large; send fewer or shorter headers."
_ODD = "The request is not HTTP as it has to be; send it with another client, or look at what a proxy makes of it."
_BROKEN = "Something went wrong on the server; tell its operator."


def refusal(status: int, reason: str, detail: str) -> bytes:
    """An answer to what never reaches the application, in the form and with the headers of all others."""
    code = "internal" if status >= 500 else "too_large" if status in (414, 431) else "invalid_option"
    problem = {"type": "about:blank", "title": reason, "status": status, "detail": detail, "code": code}
    body = json.dumps(problem).encode() + b"\n"
    lines = (
        *(f"HTTP/1.1 {status} {reason}", "Connection: close", "Content-Type: application/problem+json"),
        *(f"Content-Length: {len(body)}", "X-Content-Type-Options: nosniff", "Cache-Control: private, no-store"),
        *("Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox", "", ""),
    )
    return "\r\n".join(lines).encode() + body


def _write_error(sock: Any, status: int, reason: str, _: str) -> None:
    detail = _BROKEN if status >= 500 else _TOO_LARGE if status in (414, 431) else _ODD
    util.write_nonblock(sock, refusal(status, reason, detail))


# gunicorn's own is a page of HTML that repeats what could not be read, which may be a key.
util.write_error = _write_error


class Connection(TConn):  # type: ignore[misc]
    """A connection and as much of its next request's head as has come."""

    def __init__(self, worker: "Worker", sock: PatientSocket, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, sock, client, server)
        self.worker = worker
        self.head = bytearray()
        self.ignored = 0

    def close(self, graceful: bool = False) -> None:
        """Close it, after what was sent has arrived if ``graceful``."""
        if graceful:
            self.worker.say_goodbye(self)
        else:
            super().close()


class Worker(ThreadWorker):  # type: ignore[misc]
    """``gthread`` with bounds on what a client may keep waiting."""

    head_seconds = HEAD_SECONDS
    """The whole head of a request must be there within this time after its first byte, or after connecting."""
    patience = PATIENCE_SECONDS
    least_rate: float = LEAST_RATE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaving_conns: deque[Connection] = deque()

    def accept(self, listener: Any) -> None:
        """Take a connection."""
        if self.cfg.is_ssl or self.cfg.http2_cleartext in ("prior-knowledge", "both"):
            super().accept(listener)  # heads that only gunicorn can read
            return
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        sock = PatientSocket(accepted.detach(), patience=self.patience, least_rate=self.least_rate)
        self.enqueue_req(Connection(self, sock, client, listener.getsockname()))

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection that has something to say to a thread, as soon as it has said it."""
        if not isinstance(conn, Connection):
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        if conn.parser is not None:  # what came together with the request before
            conn.head += conn.parser.unreader.take_buffered()
        if _is_whole(conn.head, len(conn.head)):
            self._take(conn)
            return
        conn.timeout = time.monotonic() + self.head_seconds
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._hear, conn))
        if not conn.head:
            self._hear(conn)  # mostly it is there already

    def handle(self, conn: Any) -> Any:
        """Answer a request (in a thread)."""
        if isinstance(conn, Connection):
            conn.sock.begin_head(self.head_seconds)  # should the parser want more than was collected
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The same, from where its body begins."""
        if isinstance(conn, Connection):
            conn.sock.begin_body()
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """Close what has had its time, and what is in the way of new connections."""
        super().murder_pending()
        now = time.monotonic()
        while self.leaving_conns and self.leaving_conns[0].timeout <= now:
            self._drop(self.leaving_conns[0], self.leaving_conns)
        while self.nr_conns >= self.worker_connections and self.alive:
            waiting = self.leaving_conns or self.pending_conns or self.keepalived_conns
            if not waiting:
                return
            self._drop(waiting[0], waiting)

    def say_goodbye(self, conn: Connection) -> None:
        """Close a connection once the client has, or soon: closed while it still sends, it might not see the answer."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            conn.close()
            return
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._ignore, conn))
        conn.timeout = time.monotonic() + _GOODBYE_SECONDS
        self.leaving_conns.append(conn)
        self.nr_conns += 1

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _hear(self, conn: Connection, _: Any = None) -> None:
        """Take what has come of a head."""
        data = _read(conn)
        if data is None:
            return
        conn.head += data
        if not data:
            self._drop(conn, self.pending_conns)
        elif (whole := _is_whole(conn.head, len(data))) or len(conn.head) > HEAD_BYTES:
            self.poller.unregister(conn.sock)
            self.pending_conns.remove(conn)
            if whole:
                self._take(conn)
            else:
                self._refuse(conn)

    def _take(self, conn: Connection) -> None:
        """Give a connection whose request has a head to a thread."""
        conn.init()
        conn.parser.unreader.unread(bytes(conn.head))
        conn.head.clear()
        super().enqueue_req(conn)

    def _refuse(self, conn: Connection) -> None:
        with contextlib.suppress(OSError):
            conn.sock.send(refusal(431, "Request Header Fields Too Large", _TOO_LARGE))
        self.nr_conns -= 1
        self.say_goodbye(conn)

    def _ignore(self, conn: Connection, _: Any = None) -> None:
        data = _read(conn)
        conn.ignored += len(data or b"")
        if data == b"" or conn.ignored > _GOODBYE_BYTES:
            self._drop(conn, self.leaving_conns)

    def _drop(self, conn: Any, queue: "deque[Any]") -> None:
        queue.remove(conn)
        try:
            self.poller.unregister(conn.sock)
        except (OSError, KeyError, ValueError):
            self.log.debug("A connection was not listened to any more.")
        self.nr_conns -= 1
        conn.close()


def _is_whole(head: bytearray, new: int) -> bool:
    """Whether a head has come to its end with its last bytes."""
    # One empty line may come before a request; it ends nothing.
    begin = 2 if head.startswith(b"\r\n") else 0
    return _END.search(head, max(begin, len(head) - new - 3)) is not None


def _read(conn: Connection) -> bytes | None:
    """What has come; None: nothing yet; empty: it is over."""
    try:
        return bytes(conn.sock.recv(_BLOCK))
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
