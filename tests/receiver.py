"""A real web server that takes webhooks and answers as it was told to."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with this status."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return give


def endless(code: int) -> Answer:
    """An answer whose body never ends."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.end_headers()
        while True:
            handler.wfile.write(b"\x00\x1b[31mgo away " * 4096)

    return give


def drip(head: bytes, every: float) -> Answer:
    """An answer a byte at a time."""

    def give(handler: BaseHTTPRequestHandler) -> None:
        for byte in head:
            handler.wfile.write(bytes([byte]))
            time.sleep(every)

    return give


@dataclass
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    url: str
    answers: list[Answer] = field(default_factory=list)
    """Given one after the other; then 204."""
    got: list[Received] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, count: int, seconds: float = 30) -> list[Received]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= count, seconds), f"{len(self.got)} of {count} came"
            return list(self.got)

    def verified(self, secret: str, number: int = -1) -> Any:
        """The body of a webhook whose signature is right."""
        one = self.got[number]
        return Webhook(secret).verify(one.body, dict(one.headers))


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port that was free."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.news:
                receiver.got.append(Received(self.path, dict(self.headers), body))
                answer = receiver.answers.pop(0) if receiver.answers else status(204)
                receiver.news.notify_all()
            self.close_connection = True
            try:
                answer(self)
            except OSError:  # the sender has gone
                return

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
