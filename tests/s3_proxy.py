"""A line to our S3 that does what lines and servers do in bad hours: it is slow, breaks, loses answers, refuses."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Asked:
    """A request that came by."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """What the S3 interface calls it."""
        path, _, query = self.path.partition("?")
        bucket = path.strip("/").count("/") == 0
        kinds = {
            ("POST", "delete"): "DeleteObjects", ("POST", "uploads"): "CreateMultipartUpload",
            ("POST", "uploadId="): "CompleteMultipartUpload", ("DELETE", "uploadId="): "AbortMultipartUpload",
            ("GET", "uploads"): "ListMultipartUploads", ("GET", "list-type="): "ListObjectsV2",
        }  # fmt: skip
        for (method, words), kind in kinds.items():
            if method == self.method and words in query:
                return kind
        copy = "Copy" if "x-amz-copy-source" in self.headers else ""
        if "partNumber=" in query:
            return f"UploadPart{copy}"
        if self.method == "PUT":
            return "CopyObject" if copy else "PutObject"
        return {"GET": "GetObject", "HEAD": "HeadBucket" if bucket else "HeadObject", "DELETE": "DeleteObject"}[
            self.method
        ]


@dataclass
class Fault:
    """What goes wrong with some requests.

    Args:
        name: Of which kind.
        about: What their addresses contain.
        times: With how many of them; -1: with all.
        says: The server's code, and HTTP's, in place of an answer.
        loses: The server does it, and its answer is lost.
        waits: Seconds until the server is asked.
        thinks: Seconds until its answer is passed on.
        cuts: Bytes of the answer's body after which the line breaks.
        claims: The length of the answer's body that is said, whatever it has.
        instead: Done between the request and passing it on.
    """

    name: str
    about: str = ""
    times: int = -1
    says: tuple[str, int] | None = None
    loses: bool = False
    waits: float = 0
    thinks: float = 0
    cuts: int | None = None
    claims: int | None = None
    before: Callable[[], object] = field(default=lambda: None)
    unless: str = ""


class Proxy:
    """Passes requests on to a server, to the letter: their signatures stay good."""

    def __init__(self, port: int) -> None:
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, b"")
                asked.body = self.rfile.read(length)
                fault = proxy._fault(asked)
                time.sleep(fault.waits)
                fault.before()
                if fault.says:
                    return self._refuse(*fault.says)
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    line.putheader(name, value)
                line.endheaders(asked.body)
                answer = line.getresponse()
                body = answer.read()
                line.close()
                time.sleep(fault.thinks)
                if fault.loses:
                    self.close_connection = True
                    return None
                self._answer(answer, body, fault)

            def _refuse(self, code: str, status: int) -> None:
                body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _answer(self, answer: http.client.HTTPResponse, body: bytes, fault: Fault) -> None:
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
                self.send_header("Content-Length", str(fault.claims or length or 0))
                self.end_headers()
                self.wfile.write(body if fault.cuts is None else body[: fault.cuts])
                self.close_connection = fault.cuts is not None or fault.claims is not None

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # clients go, which is what some tests have them do

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def names(self) -> list[str]:
        """What was asked, in order."""
        return [one.name for one in self.asked]

    def wrong(self, *faults: Fault) -> None:
        """From now on this goes wrong, and nothing else; what was asked before is forgotten."""
        self.faults = list(faults)
        self.asked.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _fault(self, asked: Asked) -> Fault:
        with self._lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.times and fault.name == asked.name and fault.about in asked.path:
                    if fault.unless and fault.unless in asked.headers:
                        continue
                    fault.times -= 1
                    return fault
        return Fault("")
