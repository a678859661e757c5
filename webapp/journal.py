"""One line of the log for each request that was refused and for each that made jobs, to be found by its X-Request-ID.

No line has anything in it that a client sent but the path and the id of the request: no query, no header, no name of a
file, no sentence that repeats a field.
"""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import structlog
from flask import Flask, g, request
from werkzeug.wrappers import Response

from config import tracing
from store.models import Job
from webapp.access.callers import Caller
from webapp.headers import request_id

log = structlog.get_logger(__name__)

_JOB = "X-Job-ID"
_MOST_IDS = 20
"""Of a large batch only so many ids are named; its jobs say which batch they are of."""
_MOST_LETTERS = 200


def install(app: Flask) -> None:
    """Note refusals; before anything that can refuse is installed, so that its answers are seen as they go out."""
    app.before_request(_begin)
    app.after_request(_look)


def accepted(made: Sequence[Job], *, replayed: bool = False, again: bool = False) -> None:
    """Note jobs that this request made, or asked for again, and begin their traces.

    Args:
        made: Rows of the record.
        replayed: Whether an earlier request with the same key made them.
        again: Whether they are jobs that ended, and are tried again.
    """
    if not made:
        return
    ids = [job.id for job in made[:_MOST_IDS]]
    more: dict[str, Any] = {"replayed": True} if replayed else {}
    if made[0].batch is not None:
        more["batch"] = made[0].batch
    failed = sum(job.status == "failed" for job in made)
    about = _request()
    log.info("jobs accepted", **about, jobs=",".join(ids), count=len(made), failed=failed, **more)
    if not replayed and tracing.enabled():
        _trace([job.id for job in made], about, again=again)


def _trace(made: Sequence[str], about: dict[str, Any], *, again: bool) -> None:
    at = time.time()
    tracing.requested(
        made,
        f"{request.method} {request.url_rule.rule if request.url_rule is not None else 'unknown'}",
        start=at - (about["seconds"] or 0.0),
        end=at,
        headers={name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers},
        again=again,
        attributes={
            "http.request.method": request.method,
            "http.route": request.url_rule.rule if request.url_rule is not None else None,
            "longhand.request_id": about["request_id"],
            "longhand.account": about["account"],
        },
    )


def _begin() -> None:
    g.began = time.monotonic()


def _look(response: Response) -> Response:
    if response.status_code >= 400:
        more = {"job": response.headers[_JOB]} if _JOB in response.headers else {}
        code = g.get("refusal")
        log.info("request refused", **_request(), status=response.status_code, code=code, **more)
    return response


def _request() -> dict[str, Any]:
    who: Caller | None = g.get("caller")
    began = g.get("began")
    return {
        "method": request.method,
        "path": _path(),
        "account": who.account if who is not None and who.account else None,
        "key": who.id if who is not None and who.id else None,
        "request_id": request_id(),
        "seconds": None if began is None else round(time.monotonic() - began, 3),
    }


def _path() -> str:
    """The path in one line, whatever is in it; one that is too long ends before a slash, so that no secret is cut."""
    shown = quote(request.path, safe="/:@!$&()*+,;=~-._")
    if len(shown) <= _MOST_LETTERS:
        return shown
    return f"{shown[:_MOST_LETTERS].rpartition('/')[0]}/…"
