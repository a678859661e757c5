"""What stands beside each route: of it the API document is made (``webapp.document``), and the key check reads it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel
from werkzeug.routing import Rule

from webapp.forms import Form

_View = TypeVar("_View", bound=Callable[..., Any])
_NOTE = "_longhand_operation"
UPLOAD_BYTES: Mapping[str, Any] = {"x-upload-bytes": True}
"""Stands for a number of bytes that this installation takes in one upload."""
_TEXT: Mapping[str, Any] = {"type": "string"}


@dataclass(frozen=True)
class Header:
    """A header of an answer."""

    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: _TEXT)
    always: bool = True
    """Whether the answer never lacks it."""


REPLAYED = Header(
    "true: an earlier request with the same Idempotency-Key made it.", {"type": "string", "const": "true"}, always=False
)


@dataclass(frozen=True)
class Answer:
    """What an operation may answer."""

    description: str
    body: Any = None
    """A type whose JSON it is; None: no body, or one of ``media``."""
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further media types -> schema."""
    headers: Mapping[str, Header] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameter:
    """A query parameter or header."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: _TEXT)
    where: str = "query"
    required: bool = False
    aside: bool = False
    """Whether it stands beside the operations (in ``components``), because what it may be depends on the body, or on
    another header: no schema can say which values are good, and whoever tries them one by one would be refused."""


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
    carries: Mapping[str, Header] = field(default_factory=dict)
    """Headers of every answer, refusals as well."""
    head: tuple[Parameter, ...] | None = None
    """What HEAD wants of it. None: it is as everywhere GET without a body, and is not described."""
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


def routes(app: Flask) -> Iterator[tuple[Rule, Callable[..., Any]]]:
    """Every route of the application with its function."""
    for rule in app.url_map.iter_rules():
        yield rule, app.view_functions[rule.endpoint]


def path_of(rule: Rule) -> str:
    """A route's address as the document spells it."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)


def methods_of(rule: Rule) -> list[str]:
    """The methods that a route is described with: HEAD and OPTIONS only where they are more than everywhere."""
    methods = rule.methods or set()
    return sorted(methods - {"HEAD", "OPTIONS"} or methods)
