"""A server that gives the answers a test wrote down: for what a healthy API never says."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = tuple[int, dict[str, str], bytes]
_KEPT = 1 << 16


@dataclass
class ScriptedServer:
    """Answers in the order they were written down; the last one for ever."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], int]] = field(default_factory=list)
    """Method, path, headers (names in lower case), length of the body."""
    bodies: list[bytes] = field(default_factory=list)
    """What was sent with each, as far as a form goes."""
    url: str = ""

    def says(self, status: int, content: Any, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    script = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            left = length = int(self.headers.get("Content-Length") or 0)
            kept = b""
            while left:
                block = self.rfile.read(min(left, 1 << 20))
                left -= len(block)
                kept = (kept + block)[:_KEPT]
            script.bodies.append(kept)
            named = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append((self.command, self.path, named, length))
            status, headers, body = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        script.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield script
        http.shutdown()
        thread.join()
