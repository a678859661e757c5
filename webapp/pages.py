"""The page for people: its files, and what its player needs instead of a key."""

from functools import lru_cache
from importlib import resources
from pathlib import PurePosixPath

import redis
from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from store.tickets import TICKET_SECONDS
from webapp.access.auth import TICKET, caller
from webapp.errors import RETRY_SECONDS, Problem
from webapp.lookup import find_job
from webapp.openapi import Answer, Header, Operation, documented
from webapp.responses import empty
from webapp.services import services

routes = Blueprint("pages", __name__)

# Nothing on the page may make markup or code out of text, not even by mistake: a transcript is a stranger's text.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HTML = {"text/html": {"type": "string"}}


@routes.get("/")
@documented(
    Operation(
        summary="The page for people",
        description="Send recordings, watch them, read and listen, download.",
        answers={200: Answer("The page.", media=_HTML), 304: Answer("The copy at hand is still right.")},
        public=True,
        tag="pages",
    )
)
def page() -> AnyResponse:
    """The page; what it shows, its script asks the API for."""
    answer = _file("index.html", "text/html")
    answer.headers["Content-Security-Policy"] = _POLICY
    return answer


@routes.get("/page/<name>")
@documented(
    Operation(
        summary="A style sheet, script or picture of the page",
        answers={
            200: Answer("The file.", media={kind: {"type": "string"} for kind in _KINDS.values()}),
            304: Answer("The copy at hand is still right."),
        },
        problems=(404,),
        public=True,
        tag="pages",
    )
)
def asset(name: str) -> AnyResponse:
    """A file the page needs."""
    kind = _KINDS.get(PurePosixPath(name).suffix)
    if kind is None or name not in _names():
        raise Problem(404, "The page has no such file; see /.")
    return _file(name, kind)


@routes.post("/v1/jobs/<job_id>/audio/ticket")
@documented(
    Operation(
        summary="Let a browser's player listen to the recording",
        description="Players cannot send the key. The cookie of the answer opens the recording of this job, for "
        "reading, for twelve hours, as long as the key is good; the browser sends it to no other address.",
        answers={204: Answer("The cookie is set.", headers={"Set-Cookie": Header("The ticket, hidden from scripts.")})},
        problems=(404, 503),
        scope="read",
        tag="results",
    )
)
def ticket(job_id: str) -> AnyResponse:
    """Set a cookie that opens one recording."""
    s = services()
    job = find_job(s, job_id)
    try:
        issued = s.tickets.issue(job.id, caller().id)
    except redis.RedisError as error:
        detail = "The player cannot be let in just now; try again in a few seconds, or download the recording."
        raise Problem(503, detail, code="internal", headers={"Retry-After": str(RETRY_SECONDS)}) from error
    answer = empty()
    # Without a path browsers take that of this address up to its last slash: the recording's, whatever a proxy adds.
    secure = request.is_secure or (s.settings.public_url or "").lower().startswith("https:")
    answer.set_cookie(
        TICKET, issued, max_age=TICKET_SECONDS, path=None, secure=secure, httponly=True, samesite="Strict"
    )
    return answer


def _file(name: str, kind: str) -> AnyResponse:
    answer = Response(_bytes(name), content_type=f"{kind}; charset=utf-8")
    # Always asked for again: the scripts of two versions do not fit together.
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    return answer.make_conditional(request)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(file.name for file in resources.files("webapp").joinpath("static", "page").iterdir())


@lru_cache(maxsize=64)
def _bytes(name: str) -> bytes:
    return resources.files("webapp").joinpath("static", "page", name).read_bytes()
