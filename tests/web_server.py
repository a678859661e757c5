"""A server on the web as fetching meets them: honest, slow, lying, broken. Real sockets, a port of its own."""

import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

Answer = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request; an answer writes what it likes."""

    protocol_version = "HTTP/1.1"
    server: "WebServer"

    def do_GET(self) -> None:
        self.server.visits.append(self)
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.give(b"no", status=404)
        else:
            answer(self)

    def give(self, body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> None:
        """An answer; a ``length`` of the body's that is not true breaks the connection off."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != -1:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        if length is not None:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class WebServer(socketserver.ThreadingTCPServer):
    """``answers`` by path; ``with WebServer() as server: server.url("/x")``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.answers: dict[str, Answer] = {}
        self.visits: list[Visit] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_address[1]}{path}"

    def handle_error(self, *_: Any) -> None:
        """Clients that leave are what is tested."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def rest(visit: Visit) -> int:
    """The first byte that a request asks for."""
    asked = visit.headers.get("Range", "")
    return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
