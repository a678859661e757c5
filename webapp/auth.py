"""Who asks: the key and what it may, and, where there is none, this machine only."""

import hmac
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from config.settings import Settings, is_loopback
from webapp.errors import Problem
from webapp.openapi import Operation, operation_of
from webapp.services import services

OWNER = "admin"
"""Owner of the jobs made with ``API_KEY``, or without any key."""
SCOPES = ("read", "transcribe", "admin")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    id: str
    """Owner of what it makes."""
    scopes: frozenset[str]

    @property
    def admin(self) -> bool:
        """Whether it administrates."""
        return "admin" in self.scopes

    @property
    def sees(self) -> str | None:
        """Whose jobs it sees; None: everybody's."""
        return None if self.admin else self.id


_OPERATOR = Caller(OWNER, frozenset(SCOPES))


def caller() -> Caller:
    """Who makes this request."""
    return cast(Caller, g.caller)


def install(app: Flask) -> None:
    """Check every request before it is answered."""
    app.before_request(check)


def check() -> None:
    """Let the request through or say why not.

    Raises:
        Problem: 401 without a key, 403 with a wrong one.
    """
    g.caller = _OPERATOR
    settings = services().settings
    if settings.api_key is None:
        _check_local(settings)
    elif not _is_public():
        _check_key(settings.api_key.get_secret_value())


def _operation() -> Operation | None:
    return operation_of(current_app.view_functions[request.endpoint]) if request.endpoint else None


def _is_public() -> bool:
    if request.endpoint is None:  # an address or a method there is not: 404 and 405 tell nothing worth hiding
        return True
    operation = _operation()
    return operation is not None and operation.public


def _check_key(expected: str) -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    challenge = {"WWW-Authenticate": "Bearer"}
    if scheme.casefold() != "bearer" or not key.strip():
        detail = "Send the API key in the header 'Authorization: Bearer <key>'."
        raise Problem(401, detail, code="missing_key", headers=challenge)
    # A header comes as Latin-1, whatever its bytes are.
    if not hmac.compare_digest(key.strip().encode("latin-1"), expected.encode()):
        raise Problem(403, "This API key is not known here; check it, or ask the operator for one.", code="invalid_key")


def _check_local(settings: Settings) -> None:
    """Without a key the network stays out, and so do the web pages that a browser on this machine has open.

    A page elsewhere can point its own name at 127.0.0.1 and then read what is there, or send a form blindly.
    """
    public = urlsplit(settings.public_url or "").hostname
    if not (is_loopback(_host(request.host)) or _host(request.host) in {public, settings.bind_host}):
        detail = "Without an API key only this machine is served; set API_KEY, or use the address 127.0.0.1."
        raise Problem(403, detail, code="invalid_key")
    origin = request.headers.get("Origin")
    if request.method not in _SAFE and origin is not None and urlsplit(origin).netloc not in {request.host, public}:
        detail = "Without an API key requests from other web pages are refused; set API_KEY."
        raise Problem(403, detail, code="invalid_key")


def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""
