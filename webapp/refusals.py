"""How operations refuse, and what every answer carries, as the API document describes it."""

from collections.abc import Iterable, Mapping
from typing import Any

from webapp.openapi import Header

PROBLEMS = {
    400: "A field or parameter cannot be used; the detail names it.",
    401: "No API key was sent.",
    403: "The API key is not known, or may not do this.",
    404: "There is no such thing.",
    405: "The address has no such method.",
    408: "The upload stood still for too long.",
    409: "The job, or a request with the same Idempotency-Key, is in a state in which that cannot be done.",
    410: "The time of the upload is over, or bytes of it were lost.",
    412: "Another version of the protocol was asked for.",
    413: "The upload is too large.",
    415: "Not media that can be read.",
    416: "The range lies outside the recording.",
    422: "Options contradict each other, or the Idempotency-Key was sent before with another request.",
    429: "Too many requests, too much audio, or too many unfinished uploads; try again after the time in Retry-After.",
    423: "Another request is writing to the upload.",
    460: "The bytes do not add up to the checksum.",
    500: "Something went wrong on the server.",
    503: "Not now; try again after the time in Retry-After.",
    504: "The job is not done in time; it goes on, and the detail names it.",
}
_COUNT = {"type": "integer", "minimum": 0}
_LATER = Header("Seconds to wait before the next try.", _COUNT)
_OWN: Mapping[int, Mapping[str, Header]] = {
    401: {"WWW-Authenticate": Header("Bearer: send the API key so.")},
    409: {"Retry-After": Header("Seconds to wait, where waiting helps.", _COUNT, always=False)},
    416: {"Content-Range": Header("How long the recording is: bytes */<length>.")},
    429: {"Retry-After": _LATER},
    503: {"Retry-After": _LATER},
}
"""Headers of single refusals."""
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
SERVERS_OWN = {
    "414": {"description": "The address is longer than 8 kB.", "content": _PROBLEM},
    "431": {"description": "The headers are too many, or one is longer than 8 kB.", "content": _PROBLEM},
}
"""What the server in front of the application refuses by itself."""
_EVERYWHERE = {
    "X-Request-ID": Header(
        "Names the request in the server's logs: the one that it came with, if it is 1 to 128 letters, digits, dots, "
        "underscores and hyphens, else a new one."
    )
}
_LIMITED = {
    "RateLimit-Limit": Header("Requests of this API key in the time; where they are limited.", _COUNT, always=False),
    "RateLimit-Remaining": Header("Those of them that are left.", _COUNT, always=False),
    "RateLimit-Reset": Header("Seconds until all of them are back.", _COUNT, always=False),
}


def headers(found: Mapping[str, Header]) -> dict[str, Any]:
    """Headers of an answer as the document has them."""
    return {name: _described(header) for name, header in found.items()}


def common(*, public: bool) -> dict[str, Any]:
    """The headers of every answer, which stand among the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*_EVERYWHERE, *(() if public else _LIMITED))}


def components() -> dict[str, Any]:
    """What ``common`` refers to."""
    return headers({**_EVERYWHERE, **_LIMITED})


def refusal(
    status: int, shape: Mapping[str, Any], *, public: bool, carries: Mapping[str, Header], bodiless: bool = False
) -> dict[str, Any]:
    """One refusal of an operation.

    Args:
        status: Of HTTP.
        shape: Schema of the error.
        public: Whether no key is asked for, so that nothing is counted.
        carries: Headers that all answers of the operation have.
        bodiless: Whether it answers HEAD.
    """
    media = "application/json" if shape["$ref"].endswith("/OpenAIError") else "application/problem+json"
    made: dict[str, Any] = {"description": PROBLEMS[status]}
    if not bodiless:
        made["content"] = {media: {"schema": dict(shape)}}
    return {**made, "headers": {**common(public=public), **headers({**_OWN.get(status, {}), **carries})}}


def references(names: Iterable[str]) -> dict[str, Any]:
    """Answers that stand among the components."""
    return {name: {"$ref": f"#/components/responses/{name}"} for name in names}


def _described(header: Header) -> dict[str, Any]:
    made: dict[str, Any] = {"description": header.description, "schema": dict(header.schema)}
    return {**made, "required": True} if header.always else made
