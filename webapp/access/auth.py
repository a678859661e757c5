"""Who asks: the key and what it may, and, where there is none, this machine only."""

import hashlib
import hmac
from urllib.parse import urlsplit

import redis
import structlog
from flask import Flask, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings, is_loopback
from store import keys
from store.jobs import now
from store.keys import SCOPES
from store.models import ApiKey
from webapp.access import cors, limits
from webapp.access.callers import Caller, caller
from webapp.access.limits import Tried
from webapp.errors import RETRY_SECONDS, Problem
from webapp.openapi import Operation, operation_of
from webapp.services import Services, services

__all__ = ["OWNER", "SCOPES", "TICKET", "Caller", "caller", "check_again", "install"]

log = structlog.get_logger(__name__)

OWNER = "admin"
"""The operator's account: of ``API_KEY``, and of whoever needs no key."""
TICKET = "longhand-ticket"
"""Cookie that stands for a key where a browser's player asks for a recording."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEMES = frozenset({"bearer", "token"})
"""``Token`` is how clients of Deepgram's API say it."""
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm", "mutual", "hoba"})
"""Said to a proxy in front of us, not to us."""
GUESSABLE = 24
"""An API_KEY shorter than this may be one that somebody thought of. Those that we make are longer, and random."""
_KEY_HEADERS = ("X-API-Key", "Api-Key")
_NOBODY = Caller("", frozenset())
"""Whoever looks at what is public: owner of nothing, so that a mistake elsewhere shows nothing."""


def install(app: Flask) -> None:
    """Check every request before it is answered."""
    app.before_request(check)


def check() -> None:
    """Let the request through or say why not.

    Raises:
        Problem: 401 without a key; 403 with a wrong one, or one that may not do this; 429 after many wrong ones.
    """
    g.caller = _NOBODY
    s = services()
    public = _is_public()
    key = None if public else _sent_key()
    if key is None and s.settings.api_key is None:
        _check_local(s.settings)
    if public:
        return
    if key is None and s.settings.api_key is None:
        g.caller = _operator(s.settings)
    else:
        g.caller = (_holder(s) if key is None else None) or _owner_of(s, key)
    _check_scope(caller(), _operation())


def check_again(s: Services, who: Caller) -> None:
    """Find out whether the key of a request that takes long is still good.

    Raises:
        Problem: 403, it was revoked or has expired meanwhile.
    """
    if who.id == OWNER:
        return
    wrong = _why_not(keys.get(s.store.database, who.id))
    if wrong is not None:
        raise Problem(403, wrong, code="invalid_key")


def _operation() -> Operation | None:
    return operation_of(current_app.view_functions[request.endpoint]) if request.endpoint else None


def _is_public() -> bool:
    if request.method == "OPTIONS":  # says what an address can do, which the document says to everybody
        return True
    if request.endpoint is None:  # an address or a method there is not: 404 and 405 tell nothing worth hiding
        return True
    operation = _operation()
    return operation is not None and operation.public


def _sent_key() -> str | None:
    """The key a request brings, in whichever of the usual places; None: none."""
    headers = request.headers
    found = {
        _authorization(headers.get("Authorization", "")),
        *(headers.get(name, "").strip() for name in _KEY_HEADERS),
    }
    found -= {""}
    if len(found) > 1:
        raise Problem(403, "Several different API keys came with this request; send one.", code="invalid_key")
    return found.pop() if found else None


def _authorization(text: str) -> str:
    """The key in ``Bearer <key>``, ``Token <key>`` or just ``<key>``; empty if there is none."""
    first, *rest = text.split(None, 1)[:2] or [""]
    if first.casefold() in _SCHEMES:
        return rest[0].strip() if rest else ""
    return "" if rest or first.casefold() in _OTHER_SCHEMES else first


def _operator(settings: Settings) -> Caller:
    secret = settings.webhook_secret
    return Caller(OWNER, frozenset(SCOPES), OWNER, webhook_secret=secret.get_secret_value() if secret else None)


def _owner_of(s: Services, key: str | None) -> Caller:
    """Whose key it is."""
    if key is None:
        detail = "Send the API key in the header 'Authorization: Bearer <key>'."
        raise Problem(401, detail, code="missing_key", headers={"WWW-Authenticate": "Bearer"})
    # A header comes as Latin-1, whatever its bytes are.
    first = s.settings.api_key
    sent, wanted = key.encode("latin-1"), first.get_secret_value().encode() if first is not None else b""
    guess = first is not None and max(len(sent), len(wanted)) < GUESSABLE
    tried = limits.count_key(guess=True) if guess else None
    if first is not None and _is_first(sent, wanted, tried):
        return _operator(s.settings)
    record = keys.find(s.store.database, key)
    if record is None and first is None:
        # Clients of other APIs cannot but send a key; here this machine needs none.
        _check_local(s.settings)
        return _operator(s.settings)
    wrong = _why_not(record)
    if record is None or wrong is not None:
        limits.check_tried(tried or limits.count_key(guess=False))
        raise Problem(403, wrong or "", code="invalid_key")
    try:
        keys.touch(s.store.database, record)
    except SQLAlchemyError as error:  # it is a note for people; the request does not depend on it
        log.warning("the use of an API key could not be noted", key=record.id, error=type(error).__name__)
    return _caller_of(s, record)


def _is_first(sent: bytes, first: bytes, tried: Tried | None) -> bool:
    """Whether it is API_KEY, in a time that tells nothing of it but whether it is one that could be guessed."""
    same = hmac.compare_digest(hashlib.sha256(sent).digest(), hashlib.sha256(first).digest())
    if tried is None:
        return same
    if same and tried.compared:
        limits.take_back(tried)
    # A right guess that is not looked at goes the way of the wrong ones, and takes as long.
    return same and tried.compared


def _holder(s: Services) -> Caller | None:
    """Whose ticket a player brought; None: it brought none, or none that is good (any more) for what it asks."""
    operation, ticket = _operation(), request.cookies.get(TICKET)
    if operation is None or not operation.ticket or not ticket or request.method not in ("GET", "HEAD"):
        return None
    try:
        key_id = s.tickets.key_of(ticket, (request.view_args or {}).get("job_id", ""))
    except redis.RedisError as error:
        detail = "It cannot be checked just now who may listen; try again in a few seconds."
        raise Problem(503, detail, code="internal", headers={"Retry-After": str(RETRY_SECONDS)}) from error
    if key_id == OWNER:
        return _operator(s.settings)
    record = keys.get(s.store.database, key_id) if key_id is not None else None
    return _caller_of(s, record) if record is not None and _why_not(record) is None else None


def _caller_of(s: Services, record: ApiKey) -> Caller:
    operators = record.owner == OWNER
    return Caller(
        record.id,
        frozenset(record.scopes),
        record.owner,
        requests_per_minute=record.requests_per_minute,
        audio_seconds_per_day=record.audio_seconds_per_day,
        webhook_secret=_operator(s.settings).webhook_secret if operators else record.webhook_secret,
    )


def _why_not(record: ApiKey | None) -> str | None:
    """Why a key does not open, in a sentence; None: it does."""
    if record is None:
        return "This API key is not known here; check it, or ask the operator for one."
    if record.revoked_at is not None:
        return "This API key was revoked; ask the operator for another."
    if record.expires_at is not None and record.expires_at <= now():
        return "This API key has expired; ask the operator for another."
    return None


def _check_scope(found: Caller, operation: Operation | None) -> None:
    needed = operation.scope if operation is not None else None
    needed = needed or ("read" if request.method in _SAFE else "transcribe")
    if not found.admin and needed not in found.scopes:
        detail = f"This API key may not do this: it lacks the scope '{needed}'; use a key that has it."
        raise Problem(403, detail, code="invalid_key")


def _check_local(settings: Settings) -> None:
    """Without a key the network stays out, and so do the web pages that a browser on this machine has open.

    A page elsewhere can point its own name at 127.0.0.1 and then read what is there, or send a form blindly.
    """
    public = urlsplit(settings.public_url or "")
    if not (is_loopback(_host(request.host)) or _host(request.host) in {public.hostname, settings.bind_host}):
        detail = "Without an API key only this machine is served; set API_KEY, or use the address 127.0.0.1."
        raise Problem(403, detail, code="invalid_key")
    origin = request.headers.get("Origin")
    if request.method in _SAFE or origin is None or cors.is_named(settings, origin):
        return
    # "null", which pages without an address of their own send, names nothing.
    ours = {request.host, public.hostname, public.netloc} - {"", None}
    if origin.partition("://")[2] not in ours:
        detail = "Without an API key requests from other web pages are refused; set API_KEY."
        raise Problem(403, detail, code="invalid_key")


def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""
