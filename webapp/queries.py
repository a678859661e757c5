"""Parameters in addresses: those that the API document has, each once; what is not understood is never ignored."""

from collections.abc import Collection
from difflib import get_close_matches

from flask import Flask, current_app, request

from webapp.errors import bad_option
from webapp.openapi import Operation, operation_of


def install(app: Flask) -> None:
    """Check the parameters of every request whose key was checked."""
    app.before_request(check)


def check() -> None:
    """Let the request through if its address has only what its operation documents.

    Pages, health checks and the document itself take whatever trackers, proxies and browsers add. Operations that make
    jobs of forms say by themselves where a parameter belongs.

    Raises:
        Problem: 400.
    """
    if request.endpoint is None or request.method == "OPTIONS" or not request.query_string:
        return
    operation = operation_of(current_app.view_functions[request.endpoint])
    if operation is None or operation.public or operation.takes_job or operation.form is not None:
        return
    known = documented(operation)
    for name, values in request.args.lists():
        if name not in known:
            hint = _hint(name, list(known))
            raise bad_option(f"There is no parameter {name[:60]!r} here; {hint}", param=name[:60])
        if len(values) > 1 and not known[name]:
            raise bad_option(f"Give {name} once, not {len(values)} times.", param=name)


def documented(operation: Operation) -> dict[str, bool]:
    """The parameters in the address that an operation documents, and whether each may be repeated."""
    known = {p.name: p.schema.get("type") == "array" for p in operation.parameters if p.where == "query"}
    fields = operation.queries.model_json_schema()["properties"] if operation.queries is not None else {}
    return known | {name: schema.get("type") == "array" for name, schema in fields.items()}


def _hint(name: str, known: Collection[str]) -> str:
    if not known:
        return "leave it out."
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}."
