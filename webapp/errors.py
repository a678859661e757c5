"""Every error as ``application/problem+json``; the only place that knows which error is which status of HTTP."""

import re
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, json, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as AnyResponse

from config.sockets import Stalled
from pipelines.errors import InputError, LonghandError, OptionsError, TransientError, UnknownModel
from store.file_errors import StorageAway, StorageFull
from tasks.flow import QueueUnavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 10
"""What ``Retry-After`` says where nobody knows better."""

_CODES = {
    400: "invalid_option",
    401: "missing_key",
    403: "invalid_key",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    410: "not_found",
    412: "invalid_option",
    413: "too_large",
    414: "too_large",
    415: "unsupported_media",
    423: "conflict",
    429: "rate_limited",
    431: "too_large",
    503: "queue_full",
    504: "timeout",
}
_TITLES = {460: "Checksum Mismatch"}
"""Of statuses that are no standard's of HTTP itself."""
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OPENAI_STATUSES = {415: 400, 422: 400}
"""There every request that cannot be used is 400, which its clients have a class for."""
_OPENAI_ADDRESS = re.compile(
    "(?P<version>/v1)?/(?P<what>audio|models|chat|completions|embeddings|files|responses|images|videos|moderations"
    "|realtime|assistants|threads|vector_stores|fine_tuning|conversations|evals)(?:/.*)?",
    re.DOTALL,
)
"""Where clients of OpenAI ask, with the address of this server as it should be, and without the ``/v1`` at its end."""
_DETAILS = {
    400: "The request could not be understood; send it as /docs describes.",
    404: "There is nothing at this address; see /docs for the addresses there are.",
    413: "The request is larger than is allowed here; send less.",
    414: "The address is longer than is allowed; send less in it.",
    415: "Send the request in a format that /docs describes.",
}


STALLED = "The request stood still, or came too slowly, for too long; send it again."


class Problem(Exception):
    """An error that a client is told about.

    Args:
        status: Status of HTTP.
        detail: One sentence that says what to do.
        code: Stable code; the usual one of the status when not given.
        headers: Further headers of the answer.
        param: The field or parameter that it is about, if it is about one.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code or _code(status)
        self.headers = dict(headers or {})
        self.param = param


def bad_option(detail: str, *, param: str | None = None) -> Problem:
    """400: a field or parameter that cannot be used."""
    return Problem(400, detail, code="invalid_option", param=param)


def install(app: Flask) -> None:
    """Answer every error of the application this way."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(
        HTTPException, lambda error: error if (error.code or 500) < 400 else answer(_http(error))
    )
    app.register_error_handler(Stalled, lambda _: answer(Problem(408, STALLED)))
    app.register_error_handler(LonghandError, lambda error: answer(_domain(error)))
    app.register_error_handler(StorageFull, lambda error: answer(_full(error)))
    app.register_error_handler(StorageAway, lambda error: answer(_no_storage(error)))
    for away in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(away, lambda error: answer(_no_database(error)))
    app.register_error_handler(QueueUnavailable, lambda error: answer(_no_queue(error)))
    app.register_error_handler(Exception, lambda error: answer(_unexpected(error)))


def answer(problem: Problem) -> AnyResponse:
    """A problem as an answer, in the shape that clients of its address know."""
    g.refusal = problem.code  # for the line that is logged
    if like_openai(request.path):
        return _like_openai(problem)
    title = _TITLES.get(problem.status) or HTTPStatus(problem.status).phrase
    body = {
        "type": "about:blank",
        "title": title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    status = f"{problem.status} {title}"
    return Response(json.dumps(body) + "\n", status, headers=problem.headers, content_type=MEDIA_TYPE)


def like_openai(path: str) -> bool:
    """Whether errors at an address have the shape of OpenAI's: also where its clients ask for what is not here."""
    return _OPENAI_ADDRESS.fullmatch(path) is not None


def openai_error(problem: Problem) -> dict[str, object]:
    """A problem in the shape of OpenAI's errors; also what ends a stream."""
    kind = _OPENAI_TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    return {"error": {"message": problem.detail, "type": kind, "param": problem.param, "code": problem.code}}


def _like_openai(problem: Problem) -> AnyResponse:
    status = _OPENAI_STATUSES.get(problem.status, problem.status)
    known = getattr(g.get("caller"), "id", "")
    if status == 403 and problem.code == "invalid_key" and not known:
        status = 401  # a wrong key; one that is known but may not do this stays 403
        problem.headers.setdefault("WWW-Authenticate", "Bearer")
    problem.status = status
    body = json.dumps(openai_error(problem)) + "\n"
    return Response(body, status, headers=problem.headers, content_type="application/json")


def stalled(error: BaseException) -> bool:
    """Whether a body could not be read because it did not come; who reads it gets that in various wrappings."""
    return isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)


def _code(status: int) -> str:
    return _CODES.get(status, "invalid_option" if status < 500 else "internal")


def _http(error: HTTPException) -> Problem:
    """What Flask and Werkzeug raise by themselves."""
    if stalled(error):
        return Problem(408, STALLED)
    status = error.code or 500
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return Problem(405, f"{request.method} is not possible here; use {allowed}.", headers={"Allow": allowed})
    if status == 500:
        return _unexpected(error)
    if status == 404 and (asked := _OPENAI_ADDRESS.fullmatch(request.path)) is not None:
        return Problem(404, _not_openai(asked["version"], asked["what"]))
    fallback = f"{HTTPStatus(status).phrase}; see /docs for what is possible."
    return Problem(status, _DETAILS.get(status, fallback))


def _not_openai(version: str | None, what: str) -> str:
    """Why a client of OpenAI found nothing where it asked."""
    if what in {"audio", "models"} and version is None:
        return "There is nothing at this address; set the client's base_url to the address of this server and /v1."
    if what == "audio":
        return "This server transcribes and translates: there are /v1/audio/transcriptions and /v1/audio/translations."
    if what == "models":
        return "There is nothing at this address; the models there are stand at /v1/models."
    return f"This server transcribes, at /v1/audio/transcriptions; it has no {what.replace('_', ' ')}."


def _domain(error: LonghandError) -> Problem:
    if isinstance(error, UnknownModel):
        return Problem(404, error.detail, code=error.code)
    if isinstance(error, OptionsError):
        # Single fields are checked before; what is left are options that do not go together.
        return Problem(422, error.detail, code=error.code)
    if isinstance(error, InputError):
        return Problem(415, error.detail, code=error.code)
    if isinstance(error, TransientError):
        return Problem(503, error.detail, code=error.code, headers={"Retry-After": str(RETRY_SECONDS)})
    return _unexpected(error)


def _full(error: StorageFull) -> Problem:
    log.error("no space is left for recordings", reason=str(error.__cause__ or error))
    detail = "The server has no space left for recordings; try again later, or tell its operator."
    return Problem(503, detail, code="internal", headers={"Retry-After": "300"})


def _no_storage(error: StorageAway) -> Problem:
    log.error("the storage cannot be reached", reason=str(error.__cause__ or error))
    detail = "The place where recordings are kept cannot be reached just now; try again in a few seconds."
    return Problem(503, detail, code="internal", headers={"Retry-After": str(RETRY_SECONDS)})


def _no_queue(error: QueueUnavailable) -> Problem:
    log.error("the queue cannot be reached", reason=str(error.__cause__ or error))
    detail = "The queue cannot be reached, so nothing was accepted; try again in a few seconds."
    return Problem(503, detail, code="internal", headers={"Retry-After": str(RETRY_SECONDS)})


def _no_database(error: Exception) -> Problem:
    reason = str(getattr(error, "orig", None) or error)
    log.error("the database cannot be used", method=request.method, path=request.path, reason=reason)
    detail = "The server's database cannot be used just now; try again in a few seconds."
    return Problem(503, detail, code="internal", headers={"Retry-After": str(RETRY_SECONDS)})


def _unexpected(error: Exception) -> Problem:
    log.error("request failed", method=request.method, path=request.path, exc_info=error)
    detail = "Something went wrong on the server; tell its operator the X-Request-ID of this answer."
    return Problem(500, detail)
