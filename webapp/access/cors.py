"""Web pages of other origins: those that the operator names may use the API from a browser, with a key of their own.

Never with what the browser keeps for this address (cookies): only what a page sends itself counts.
"""

import re

from flask import Flask, current_app, request
from werkzeug.wrappers import Response

from config.origins import ANY
from config.settings import Settings
from webapp.responses import empty

_METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
_SHOWN = ", ".join(
    (
        *("Location", "Content-Disposition", "Content-Length", "Content-Range", "Accept-Ranges", "ETag"),
        *("Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "WWW-Authenticate"),
        *("X-Request-ID", "X-Job-ID", "Idempotency-Replayed"),
        *("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires"),
        *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    )
)
"""Headers of answers that a page may read."""
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_MAX_NAMES = 2000
_SETTING = "CORS_ORIGINS"
_MAX_AGE = "7200"
"""Seconds that a browser may remember the answer to its question; none remembers it longer than two hours."""


def install(app: Flask, settings: Settings) -> None:
    """Let the pages in that are named; without any, nothing is said of other origins."""
    if settings.cors_origins:
        app.before_request(_preflight)
        app.after_request(_complete)
        app.config[_SETTING] = frozenset(settings.cors_origins)


def is_named(settings: Settings, origin: str) -> bool:
    """Whether the operator named this very origin; that any is let in is not enough where there is no key."""
    return origin in settings.cors_origins and origin != ANY


def _preflight() -> Response | None:
    """Answer a browser that asks whether a page may send what it is about to send; it brings no key."""
    asked = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or asked is None or _allowed() is None:
        return None
    answer = empty()
    answer.headers["Access-Control-Allow-Methods"] = _METHODS
    names = request.headers.get("Access-Control-Request-Headers", "").strip()
    if len(names) <= _MAX_NAMES and _NAMES.fullmatch(names):
        # One by one: * would not cover Authorization.
        answer.headers["Access-Control-Allow-Headers"] = names
    answer.headers["Access-Control-Max-Age"] = _MAX_AGE
    answer.vary.update(("Access-Control-Request-Method", "Access-Control-Request-Headers"))
    return answer


def _complete(response: Response) -> Response:
    allowed = _allowed()
    if allowed is not None:
        response.headers["Access-Control-Allow-Origin"] = allowed
        response.headers["Access-Control-Expose-Headers"] = _SHOWN
    if allowed != ANY:  # also where nothing is allowed, or a cache would give that to a page that may
        response.vary.add("Origin")
    return response


def _allowed() -> str | None:
    """What to answer the page that asks; None: it may not, or it is no page."""
    origins: frozenset[str] = current_app.config[_SETTING]
    if ANY in origins:
        return ANY
    origin = request.headers.get("Origin")
    return origin if origin in origins else None
