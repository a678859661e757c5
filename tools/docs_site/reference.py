"""The program's own OpenAPI document as a page to read, made while the site is built."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from tools.docs_site.schema_words import anchor, kind, link
from tools.docs_site.text import code, plain, table

_HEAD = """\
# API reference

Made of the program's own description of itself, which every installation gives at `/openapi.json` (for programs) and
shows at `/docs` (to try things out); there it also knows the installation's models and plug-in stages. [The API, use by
use](api.md) shows how things are done.

"""
_SECRET = "whsec_" + "A" * 32
"""With a secret for webhooks the description has all there can be."""
_COMMON = ("X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
"""Headers of nearly every answer."""

Document = Mapping[str, Any]


@functools.cache  # an application is not made to be made twice in a process
def openapi() -> dict[str, Any]:
    """The description that an installation with nothing but its defaults gives; nothing is left on this machine."""
    from config.settings import Settings
    from webapp import create_app

    class Defaults(Settings):
        """Settings that know nothing of the environment in which the site is built."""

        @classmethod
        def settings_customise_sources(cls, settings_cls: Any, *_: Any, **named: Any) -> Any:
            return (named["init_settings"],)

    with tempfile.TemporaryDirectory(prefix="longhand-reference-") as folder:
        app = create_app(Defaults(data_dir=folder, webhook_secret=_SECRET))
        found: dict[str, Any] = app.test_client().get("/openapi.json").json
        app.extensions["longhand"].store.database.engine.dispose()
    return found


def page(document: Document) -> str:
    """The description as Markdown."""
    parts = [_HEAD, plain(document["info"]["description"]) + "\n\n", _keys(document)]
    operations = list(_operations(document))
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{plain(tag['description'])}\n\n")
        parts += [_operation(document, *one) for one in operations if tag["name"] in one[2]["tags"]]
    parts += ["## Webhooks\n\nWhat is sent to the `webhook_url` of a job; see [webhooks](webhooks.md).\n\n"]
    parts += [_operation(document, "post", "webhook_url", hook["post"]) for hook in document["webhooks"].values()]
    parts += [_refusals(document), "## Types\n\n"]
    parts += [_type(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "".join(parts)


def _keys(document: Document) -> str:
    rows = [(f"**{name}**", plain(one["description"])) for name, one in _component(document, "securitySchemes").items()]
    return "## Keys\n\n" + table(("", ""), rows)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _operation(document: Document, method: str, path: str, operation: Document) -> str:
    parts = [
        f"### {plain(operation['summary'])} {{ #{operation['operationId']} }}\n\n",
        f"{code(f'{method.upper()} {path}')}{_access(operation)}\n\n",
    ]
    if operation["description"].rstrip(".") != operation["summary"]:
        parts.append("\n\n".join(map(plain, operation["description"].split("\n\n"))) + "\n\n")
    parts.append(_parameters(operation))
    if body := operation.get("requestBody"):
        kinds = [f"{code(media)}: {kind(found['schema'])}" for media, found in body["content"].items()]
        parts.append("Body: " + "; ".join(kinds) + "\n\n")
    parts.append(_answers(document, operation))
    return "".join(parts)


def _access(operation: Document) -> str:
    """Who may call it, if not whoever has a key."""
    security = operation.get("security")
    if security is None:
        return ""
    return " · with a key or a ticket" if security else " · without a key"


def _parameters(operation: Document) -> str:
    rows = [
        (
            code(one["name"]),
            one["in"] + (", required" if one.get("required") and one["in"] != "path" else ""),
            kind(one["schema"]),
            plain(one.get("description", "")),
        )
        for one in operation["parameters"]
    ]
    return table(("parameter", "in", "kind", "what"), rows)


def _answers(document: Document, operation: Document) -> str:
    rows, refused = [], []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            refused.append(status)
            continue
        content = "; ".join(f"{code(media)}: {kind(one['schema'])}" for media, one in answer.get("content", {}).items())
        headers = [code(name) for name in answer.get("headers", {}) if name not in _COMMON]
        told = plain(answer["description"]) + (f" Headers: {', '.join(headers)}." if headers else "")
        rows.append((status, told, content))
    made = table(("answer", "what", "body"), rows)
    return made + (f"Refused with {', '.join(sorted(refused))}: [errors](#errors)\n\n" if refused else "")


def _refusals(document: Document) -> str:
    """What each refusal means; those of operations that have it in words of their own stand with them."""
    found: dict[str, dict[str, None]] = {}
    for name, answer in _component(document, "responses").items():
        found.setdefault(name[-3:], {}).setdefault(plain(answer["description"]))
    rows = [(status, " ".join(texts)) for status, texts in sorted(found.items())]
    told = (
        f"`application/problem+json`: {link('Problem')}, or {link('OpenAIError')} where OpenAI's clients ask. What to "
        "do is in its `detail`, and [the codes](api.md#when-something-is-wrong) are stable.\n\n"
    )
    return f"## Errors\n\n{told}" + table(("status", "what"), rows)


def _type(name: str, schema: Document) -> str:
    required = schema.get("required", [])
    rows = [
        (code(field) + ("" if field in required else "?"), kind(one), plain(one.get("description", "")))
        for field, one in schema.get("properties", {}).items()
    ]
    described = plain(schema["description"]) + "\n\n" if "description" in schema else ""
    what = table(("field", "kind", "what"), rows) or f"{kind(schema)}\n\n"
    return f"### {name} {{ #{anchor(name)} }}\n\n{described}{what}"


def _component(document: Document, name: str) -> Mapping[str, Document]:
    found: Mapping[str, Document] = document["components"][name]
    return found
