"""What every answer carries, and an ear for the rest of a request that was refused."""

import re
import time
import uuid
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, g, request
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
_DRAIN_SECONDS = 5.0
_DRAIN_BYTES = 32 << 20
_BLOCK = 1 << 18
_CLOSE = "longhand.close"
"""Set in the environment of a request whose connection is of no more use."""


def install(app: Flask) -> None:
    """Number the requests and complete the answers."""
    app.wsgi_app = _closing(app.wsgi_app)  # type: ignore[method-assign, assignment]  # as Flask wants it
    app.before_request(_begin)
    app.after_request(_complete)
    app.teardown_request(lambda _: structlog.contextvars.unbind_contextvars("request_id"))


def request_id() -> str:
    """The id of this request, the client's own if it sent a sane one."""
    if "request_id" not in g:
        sent = request.headers.get("X-Request-ID", "")
        g.request_id = sent if _SANE_ID.fullmatch(sent) else uuid.uuid4().hex
    return str(g.request_id)


def _begin() -> None:
    structlog.contextvars.bind_contextvars(request_id=request_id())


def _complete(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-ID"] = request_id()
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    # Pages elsewhere embed nothing of ours. Those of CORS_ORIGINS ask by CORS, which this does not concern.
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Content-Security-Policy", API_POLICY)
    headers.setdefault("Cache-Control", "private, no-store")
    if response.status_code >= 400 and request.method not in {"GET", "HEAD"}:
        environ = request.environ
        if (request.content_length or 0) > _DRAIN_BYTES:  # perhaps too much to read on to the next request
            environ[_CLOSE] = True
        # Once the answer is on its way: who listens while sending stops now.
        response.call_on_close(lambda: _drain(environ))
    return response


def _closing(app: "WSGIApplication") -> "WSGIApplication":
    """Tell the client when its connection will be closed: gunicorn takes that from no header of ours."""

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            force = getattr(getattr(start_response, "__self__", None), "force_close", None)
            if environ.get(_CLOSE) and force is not None:
                force()
            return start_response(status, headers, *error)

        return app(environ, start)

    return call


def _drain(environ: "WSGIEnvironment") -> None:
    """Read on for a while after a refusal: some clients that are still sending would not see the answer else."""
    if not environ.get("wsgi.input_terminated"):
        return
    socket = environ.get("gunicorn.socket")
    end, bytes_left = time.monotonic() + _DRAIN_SECONDS, _DRAIN_BYTES
    try:
        while (left := end - time.monotonic()) > 0 and bytes_left > 0:
            if socket is not None:
                socket.settimeout(left)
            block = environ["wsgi.input"].read(_BLOCK)
            if not block:
                break
            bytes_left -= len(block)
    except Exception:  # it is gone, or sends nonsense; there is nothing left to tell it
        structlog.get_logger(__name__).debug("the rest of a refused request could not be read", exc_info=True)
    finally:
        if socket is not None:
            socket.settimeout(None)
