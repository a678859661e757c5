"""The API document, put together from what stands beside each route."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from werkzeug.routing import Rule

from pipelines.formats import FORMATS
from webapp import forms, refusals
from webapp.errors import like_openai
from webapp.forms import COMPONENTS
from webapp.links import links_of
from webapp.openapi import UPLOAD_BYTES, Answer, Operation, Parameter, methods_of, operation_of, path_of, routes

_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_KINDS: Mapping[str, Mapping[str, Any]] = {"extension": {"type": "string", "enum": list(FORMATS)}}
"""Of parts of addresses that are neither an id nor any text."""
TAGS = {
    "jobs": "Recordings in: send, list, wait for, cancel, delete.",
    "uploads": "Large recordings in pieces, resumable (tus 1.0.0).",
    "at once": "One call, one answer: a recording in, its text out.",
    "results": "What comes out: transcripts, subtitles, the recording.",
    "operating": "How the installation is.",
    "pages": "For people: start page and this document.",
}
"""Groups of operations, in the order they are shown."""
_ABOUT = (
    "Recordings in, transcripts and subtitles out. HEAD works wherever GET does, with the same headers and no body; "
    "OPTIONS names the methods of an address; they are described only where there is more to them. Every error is "
    "application/problem+json, or as OpenAI's clients know it where those ask. The exception: a request that is no "
    "proper HTTP, or has an address or headers longer than 8 kB, is refused as text before it gets that far."
)
_SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "The API key. 'Token <key>', the key alone, and the headers X-API-Key and Api-Key are "
        "understood, too. Where requests are limited, answers carry RateLimit-Limit, RateLimit-Remaining and "
        "RateLimit-Reset (seconds), and the same with X- in front (there the reset is a Unix time).",
    },
    "ticket": {
        "type": "apiKey",
        "in": "cookie",
        "name": "longhand-ticket",
        "description": "For players in browsers; POST /v1/jobs/{job_id}/audio/ticket sets it.",
    },
}
_SIGNED = {
    "webhook-id": "The same each time this is sent: whoever has seen it has been told.",
    "webhook-timestamp": "When it was sent, in seconds since 1970.",
    "webhook-signature": "Of the two and the body, by the Standard Webhooks scheme.",
}


@dataclass(frozen=True)
class Installation:
    """What the document says differently of each installation."""

    job_form: type[BaseModel]
    """The fields of a new job."""
    max_upload_bytes: int
    """The longest upload that is taken."""
    signs: bool
    """Whether every job may have a webhook, not only those of keys with a secret of their own."""

    @property
    def without(self) -> Sequence[str]:
        """Fields that the forms lack."""
        return () if self.signs else ("webhook_url",)


def document(app: Flask, here: Installation, *, version: str) -> dict[str, Any]:
    """The whole document but for ``servers``, which is what each client calls this one.

    Args:
        app: Its routes are described.
        here: Where it runs.
        version: Of this program.
    """
    builder = _Builder(here)
    paths: dict[str, dict[str, Any]] = {}
    for rule, view in routes(app):
        if (operation := operation_of(view)) is not None:
            paths.setdefault(path_of(rule), {}).update(builder.methods(operation, rule))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Longhand", "version": version, "description": _ABOUT},
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"key": []}],
        "paths": dict(sorted(paths.items())),
        "webhooks": builder.webhooks(),
        "components": {
            "schemas": dict(sorted(builder.schemas.items())),
            "parameters": dict(sorted(builder.parameters.items())),
            "headers": refusals.components(),
            "responses": dict(sorted(builder.responses.items())),
            "securitySchemes": _SECURITY,
        },
    }


class _Builder:
    """Collects the components that operations refer to."""

    def __init__(self, here: Installation) -> None:
        from webapp import schemas  # their types need the services, which need the routes

        self._here = here
        self.schemas: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        self.responses: dict[str, Any] = dict(refusals.SERVERS_OWN)
        self._problem = self.schema(schemas.Problem)
        self._openai_error = self.schema(schemas.OpenAIError)
        self._event = self.schema(schemas.JobEvent)

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

    def methods(self, operation: Operation, rule: Rule) -> dict[str, Any]:
        """The methods of one address that a route answers."""
        made = {method.lower(): self._operation(operation, rule) for method in methods_of(rule)}
        if operation.head is not None:
            made["head"] = self._head(operation, rule, made["get"])
        return made

    def webhooks(self) -> dict[str, Any]:
        """What is sent to ``webhook_url``."""
        sent = [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in _SIGNED.items()
        ]
        body = {"required": True, "content": {"application/json": {"schema": self._event}}}
        answers = {
            "2XX": {"description": "Within 10 seconds: it arrived."},
            "410": {"description": "Nobody wants it any more; it is not sent again."},
            "default": {"description": "It is sent again, less and less often, for a day."},
        }
        return {
            "job": {
                "post": {
                    "operationId": "webhook_job",
                    "summary": "A job is over",
                    "description": "Sent to the job's webhook_url by the Standard Webhooks scheme; the transcript does "
                    "not come along.",
                    "tags": ["jobs"],
                    "security": [],
                    "parameters": sent,
                    "requestBody": body,
                    "responses": answers,
                }
            }
        }

    def _operation(self, operation: Operation, rule: Rule) -> dict[str, Any]:
        """One method of one address."""
        answers = {str(k): self._answer(v, operation) for k, v in operation.answers.items()}
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
            "parameters": [*_path(rule, looked_at=rule.methods != {"OPTIONS"}), *own, *_queries(operation.queries)],
            "responses": {**answers, **self._refusals(operation, rule)},
            "description": "\n\n".join(filter(None, words)) or f"{operation.summary}.",
        }
        if operation.public:
            described["security"] = []
        elif operation.ticket:
            described["security"] = [{"key": []}, {"ticket": []}]
        if (body := self._body(operation)) is not None:
            described["requestBody"] = body
        return described

    def _head(self, operation: Operation, rule: Rule, get: Mapping[str, Any]) -> dict[str, Any]:
        """The same as GET without a body."""
        own = [self._parameter(parameter) for parameter in operation.head or ()]
        answers = {
            status: {k: v for k, v in get["responses"][status].items() if k not in ("content", "links")}
            for status in map(str, operation.answers)
        }
        return {
            **get,
            "operationId": f"{get['operationId']}_head",
            "parameters": [*get["parameters"], *own],
            "responses": {
                **answers,
                **self._refusals(operation, rule, bodiless=True),
            },
        }

    def _body(self, operation: Operation) -> dict[str, Any] | None:
        here = self._here
        if operation.body is not None:
            return {"required": True, "content": {"application/json": {"schema": dict(operation.body)}}}
        if operation.takes_job:
            self.parameters |= forms.in_address(here.job_form, self.schemas, without=here.without)
            return forms.recordings(here.job_form, self.schemas, without=here.without)
        if operation.form is not None:
            return forms.one_recording(operation.form, here.job_form, self.schemas, without=here.without)
        return None

    def _answer(self, answer: Answer, operation: Operation) -> dict[str, Any]:
        content = {media: {"schema": dict(schema)} for media, schema in answer.media.items()}
        if answer.body is not None:
            content["application/json"] = {"schema": self.schema(answer.body)}
        own = refusals.headers({**operation.carries, **answer.headers})
        made: dict[str, Any] = {
            "description": answer.description,
            "headers": {**refusals.common(public=operation.public), **own},
        }
        return {**made, "content": content} if content else made

    def _refusals(self, operation: Operation, rule: Rule, *, bodiless: bool = False) -> dict[str, Any]:
        """How it refuses; what many refuse alike stands among the components."""
        openai = like_openai(rule.rule)
        shape = self._openai_error if openai else self._problem
        whose = f"{'OpenAI' if openai else ''}{'Public' if operation.public else ''}Problem"
        made: dict[str, Any] = {}
        for status in sorted(operation.refusals):
            one = refusals.refusal(status, shape, public=operation.public, carries=operation.carries, bodiless=bodiless)
            if operation.carries or bodiless:
                made[str(status)] = one
                continue
            self.responses[f"{whose}{status}"] = one
            made[str(status)] = {"$ref": f"#/components/responses/{whose}{status}"}
        return made | refusals.references(refusals.SERVERS_OWN)

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        schema = dict(parameter.schema)
        if parameter.schema == UPLOAD_BYTES:
            schema = {"type": "string", "pattern": at_most(self._here.max_upload_bytes)}
        return {
            "name": parameter.name,
            "in": parameter.where,
            "description": parameter.description,
            "schema": schema,
            **({"required": True} if parameter.required else {}),
        }


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


def _path(rule: Rule, *, looked_at: bool) -> Iterable[dict[str, Any]]:
    for name in sorted(rule.arguments):
        schema = _ID if looked_at and name.endswith("_id") else _KINDS.get(name, {"type": "string", "minLength": 1})
        yield {"name": name, "in": "path", "required": True, "schema": dict(schema)}


def _queries(model: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    """A model's fields as query parameters."""
    fields = model.model_json_schema()["properties"] if model is not None else {}
    for name, schema in forms.as_text(fields).items():
        schema = {k: v for k, v in schema.items() if k != "title"}
        yield {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
