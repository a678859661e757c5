"""A model hub on this machine: as much of its interface as its own client library asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers for ``models``; those in ``gated`` only to whoever shows a token."""

    protocol_version = "HTTP/1.1"
    models: Mapping[str, Mapping[str, bytes]]
    gated: Mapping[str, str]
    asked: list[str]

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.asked.append(f"{self.command} {path}")
        parts = path.split("/")
        repository = "/".join(parts[2:4]) if parts[0] == "api" else "/".join(parts[:2])
        files = self.models.get(repository)
        if files is None:
            self._answer(404, b"{}", X_Error_Code="RepoNotFound")
        elif self.headers.get("Authorization") != self.gated.get(repository, self.headers.get("Authorization")):
            self._answer(403, b"{}", X_Error_Code="GatedRepo")
        elif parts[0] != "api":
            data = files["/".join(parts[4:])]
            self._answer(200, data, ETag=f'"{_oid(data)}"', X_Repo_Commit=COMMIT)
        elif "tree" in parts:
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": _oid(data)} for name, data in files.items()
            ]
            self._answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        else:
            siblings = [{"rfilename": name} for name in files]
            body = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0, "private": False}
            self._answer(200, json.dumps(body).encode(), Content_Type="application/json")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def model_hub(
    models: Mapping[str, Mapping[str, bytes]], gated: Mapping[str, str] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Address of a model hub, and what it was asked.

    Args:
        models: Files by path of each repository.
        gated: The header that must be shown for some of them.
    """
    handler = type("Asked", (Hub,), {"models": models, "gated": gated or {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
