"""The API document, put together from what stands beside each route."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from werkzeug.routing import Rule

from pipelines.formats import FORMATS
from webapp import forms
from webapp.errors import like_openai
from webapp.forms import COMPONENTS, Form
from webapp.links import links_of

_View = TypeVar("_View", bound=Callable[..., Any])
_NOTE = "_longhand_operation"
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_KINDS: Mapping[str, Mapping[str, Any]] = {"extension": {"type": "string", "enum": list(FORMATS)}}
"""Of parts of addresses that are neither an id nor any text."""
UPLOAD_BYTES: Mapping[str, Any] = {"x-upload-bytes": True}
"""Stands for a number of bytes that this installation takes in one upload."""

TAGS = {
    "jobs": "Recordings in: send, list, wait for, cancel, delete.",
    "uploads": "Large recordings in pieces, resumable (tus 1.0.0).",
    "at once": "One call, one answer: a recording in, its text out.",
    "results": "What comes out: transcripts, subtitles, the recording.",
    "operating": "How the installation is.",
    "pages": "For people: start page and this document.",
}
"""Groups of operations, in the order they are shown."""
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
    429: "Too many requests, or too much audio, for this API key; try again after the time in Retry-After.",
    423: "Another request is writing to the upload.",
    460: "The bytes do not add up to the checksum.",
    500: "Something went wrong on the server.",
    503: "Not now; try again after the time in Retry-After.",
    504: "The job is not done in time; it goes on, and the detail names it.",
}


_HTML = {"text/html": {"schema": {"type": "string"}}}
_SERVERS_OWN = {
    "414": {"description": "The address is longer than 8 kB.", "content": _HTML},
    "431": {"description": "The headers are too many, or one is longer than 8 kB.", "content": _HTML},
}
"""What the server in front of the application refuses by itself."""


@dataclass(frozen=True)
class Answer:
    """What an operation may answer."""

    description: str
    body: Any = None
    """A type whose JSON it is; None: no body, or one of ``media``."""
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further media types -> schema."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Name -> description."""


@dataclass(frozen=True)
class Parameter:
    """A query parameter or header."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    where: str = "query"
    required: bool = False
    aside: bool = False
    """Whether it stands beside the operations (in ``components``), because its values mean something only from one
    request to the next: whoever tries values one by one could not know which of them are good."""


@dataclass(frozen=True)
class Operation:
    """A route as the document describes it."""

    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    """Statuses it may refuse with, besides those every operation has."""
    parameters: tuple[Parameter, ...] = ()
    queries: type[BaseModel] | None = None
    """A model whose fields are further query parameters."""
    body: Mapping[str, Any] | None = None
    """Schema of the JSON it takes."""
    takes_job: bool = False
    """Whether the body is the form that makes a job."""
    form: Form | None = None
    """Another form that makes a job."""
    public: bool = False
    """Whether it can be used without a key."""
    scope: str | None = None
    """What a key must be allowed to use it: ``read``, ``transcribe`` or ``admin``. None: ``read`` for GET, else
    ``transcribe``."""
    description: str = ""
    tag: str = "jobs"
    ticket: bool = False
    """Whether a player's ticket opens it as a key does (GET and HEAD only)."""

    @property
    def refusals(self) -> set[int]:
        """Every status it may refuse with: any may meet a parameter it does not know, and a key that it wants."""
        return {400, *self.problems, 500, *(() if self.public else (401, 403, 429, 503))}


def documented(operation: Operation) -> Callable[[_View], _View]:
    """Say what a route does, for the document and for the key check."""

    def note(view: _View) -> _View:
        setattr(view, _NOTE, operation)
        return view

    return note


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """What was said of a route."""
    found = getattr(view, _NOTE, None)
    return found if isinstance(found, Operation) else None


def document(
    app: Flask, job_form: type[BaseModel], *, version: str, server: str, max_upload_bytes: int, signs: bool
) -> dict[str, Any]:
    """The whole document.

    Args:
        app: Its routes are described.
        job_form: The fields of a new job.
        version: Of this program.
        server: Address the paths are relative to.
        max_upload_bytes: The longest upload that is taken.
        signs: Whether every job may have a webhook, not only those of keys with a secret of their own.
    """
    builder = _Builder(max_upload_bytes, without=() if signs else ("webhook_url",))
    paths: dict[str, dict[str, Any]] = {}
    for rule, view in routes(app):
        operation = operation_of(view)
        if operation is None:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            described = builder.operation(operation, rule, job_form)
            paths.setdefault(path_of(rule), {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Longhand",
            "version": version,
            "description": "Recordings in, transcripts and subtitles out. HEAD works wherever GET does; every answer "
            "carries X-Request-ID; every error is application/problem+json. The exception: a request that is no proper "
            "HTTP, or has an address or headers longer than 8 kB, is refused as text before it gets that far.",
        },
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(builder.schemas.items())),
            "parameters": dict(sorted(builder.parameters.items())),
            "responses": _SERVERS_OWN,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The API key. 'Token <key>', the key alone, and the headers X-API-Key and Api-Key "
                    "are understood, too. Where requests are limited, answers carry RateLimit-Limit, "
                    "RateLimit-Remaining and RateLimit-Reset (seconds).",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "longhand-ticket",
                    "description": "For players in browsers; POST /v1/jobs/{job_id}/audio/ticket sets it.",
                },
            },
        },
    }


def routes(app: Flask) -> Iterator[tuple[Rule, Callable[..., Any]]]:
    """Every route of the application with its function."""
    for rule in app.url_map.iter_rules():
        yield rule, app.view_functions[rule.endpoint]


def path_of(rule: Rule) -> str:
    """A route's address as the document spells it."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)


class _Builder:
    """Collects the schemas that operations refer to."""

    def __init__(self, max_upload_bytes: int, *, without: Sequence[str]) -> None:
        from webapp.schemas import OpenAIError, Problem  # their types need the services, which need the routes

        self._max_upload_bytes = max_upload_bytes
        self._without = without
        self.schemas: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        self._problem = self.schema(Problem)
        self._openai_error = self.schema(OpenAIError)

    def schema(self, kind: Any) -> dict[str, Any]:
        """A type as a schema; what it is made of goes to the components."""
        made = TypeAdapter(kind).json_schema(mode="serialization", ref_template=COMPONENTS)
        for name, definition in made.pop("$defs", {}).items():
            self._keep(name, definition)
        title = made.get("title")
        if "properties" not in made or not title:
            return made
        self._keep(title, made)
        return {"$ref": COMPONENTS.format(model=title)}

    def _keep(self, name: str, schema: Any) -> None:
        """Keep a type under its name; two that differ would describe each other's answers."""
        if self.schemas.setdefault(name, schema).get("properties", {}).keys() != schema.get("properties", {}).keys():
            raise ValueError(f"two types of the API document are called {name}")

    def operation(self, operation: Operation, rule: Rule, job_form: type[BaseModel]) -> dict[str, Any]:
        """One method of one address."""
        problems = operation.refusals
        shape = self._openai_error if like_openai(rule.rule) else self._problem
        answers: dict[str, Any] = {str(k): self._answer(v) for k, v in operation.answers.items()}
        answers |= {str(k): _refusal(k, shape) for k in sorted(problems)}
        answers |= {k: {"$ref": f"#/components/responses/{k}"} for k in _SERVERS_OWN}
        for status, links in links_of(rule.endpoint).items():
            answers[status]["links"] = links
        aside = [parameter for parameter in operation.parameters if parameter.aside]
        self.parameters |= {parameter.name: self._parameter(parameter) for parameter in aside}
        own = [self._parameter(parameter) for parameter in operation.parameters if not parameter.aside]
        words = [operation.description, *(f"The header {one.name}: {one.description}" for one in aside)]
        described: dict[str, Any] = {
            "operationId": rule.endpoint.replace(".", "_"),
            "summary": operation.summary,
            "tags": [operation.tag],
            "parameters": [*self._path(rule), *own, *_queries(operation.queries)],
            "responses": answers,
            "description": "\n\n".join(filter(None, words)) or f"{operation.summary}.",
        }
        if operation.public:
            described["security"] = []
        elif operation.ticket:
            described["security"] = [{"key": []}, {"ticket": []}]
        if operation.body is not None:
            schema = dict(operation.body)
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        if operation.takes_job:
            described["requestBody"] = forms.recordings(job_form, self.schemas, without=self._without)
            self.parameters |= forms.in_address(job_form, self.schemas, without=self._without)
        if operation.form is not None:
            described["requestBody"] = forms.one_recording(
                operation.form, job_form, self.schemas, without=self._without
            )
        return described

    def _answer(self, answer: Answer) -> dict[str, Any]:
        content = {media: {"schema": dict(schema)} for media, schema in answer.media.items()}
        if answer.body is not None:
            content["application/json"] = {"schema": self.schema(answer.body)}
        made: dict[str, Any] = {"description": answer.description}
        if content:
            made["content"] = content
        if answer.headers:
            made["headers"] = {k: {"description": v, "schema": {"type": "string"}} for k, v in answer.headers.items()}
        return made

    def _path(self, rule: Rule) -> Iterable[dict[str, Any]]:
        for name in sorted(rule.arguments):
            schema = _ID if name.endswith("_id") else _KINDS.get(name, {"type": "string", "minLength": 1})
            yield {"name": name, "in": "path", "required": True, "schema": dict(schema)}

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        schema = dict(parameter.schema)
        if parameter.schema == UPLOAD_BYTES:
            schema = {"type": "string", "pattern": at_most(self._max_upload_bytes)}
        return {
            "name": parameter.name,
            "in": parameter.where,
            "description": parameter.description,
            "schema": schema,
            **({"required": True} if parameter.required else {}),
        }


def _refusal(status: int, shape: Mapping[str, Any]) -> dict[str, Any]:
    media = "application/json" if shape["$ref"].endswith("/OpenAIError") else "application/problem+json"
    made: dict[str, Any] = {"description": PROBLEMS[status], "content": {media: {"schema": dict(shape)}}}
    if status in (429, 503):
        made["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return made


def at_most(number: int) -> str:
    """A pattern of the whole numbers from 0 to this one."""
    digits = str(number)
    less = [
        f"{digits[:at]}[{1 if at == 0 and len(digits) > 1 else 0}-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if int(digit) > (1 if at == 0 and len(digits) > 1 else 0)
    ]
    shorter = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"] if len(digits) > 1 else []
    return f"^({'|'.join(['0', *shorter, *less, digits])})$"


def _queries(model: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    """A model's fields as query parameters."""
    fields = model.model_json_schema()["properties"] if model is not None else {}
    for name, schema in forms.as_text(fields).items():
        schema = {k: v for k, v in schema.items() if k != "title"}
        yield {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
