"""JSON schemas in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.docs_site.text import code, plain

_MANY = 12
"""Values of an enumeration that are named; of more only the first are."""
_NAMES = {"string": "text", "boolean": "true or false", "integer": "whole number", "null": "null", "object": "object"}
_BOUNDS = (
    ("minimum", "from {}"), ("exclusiveMinimum", "above {}"), ("maximum", "to {}"), ("exclusiveMaximum", "below {}"),
    ("minLength", "at least {} long"), ("maxLength", "at most {} long"), ("format", "{}"),
    ("minItems", "at least {}"), ("maxItems", "at most {}"),
)  # fmt: skip

Schema = Mapping[str, Any]


def anchor(name: str) -> str:
    """Of a type's heading."""
    return f"type-{name.lower()}"


def link(name: str) -> str:
    """A link to a type."""
    return f"[{name}](#{anchor(name)})"


def kind(schema: Schema) -> str:
    """What a value may be, in Markdown for a cell of a table."""
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(kind, schema[several])))
    if "const" in schema:
        return code(_value(schema["const"]))
    if "enum" in schema:
        return _among(schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}{_bounds(schema)}"
    if isinstance(named := schema.get("type"), list):
        return " or ".join(_NAMES.get(one, one) for one in named)
    if schema.get("format") == "binary":
        return "bytes"
    further = schema.get("additionalProperties")
    if isinstance(further, Mapping):
        return f"object of {kind(further)}"
    return f"{_NAMES.get(named, named) if named else 'anything'}{_bounds(schema)}"


def _among(values: list[Any]) -> str:
    named = [code(_value(one)) for one in values if one != ""]
    if len(named) > _MANY:
        return f"{', '.join(named[:3])} … (one of {len(named)})"
    return ", ".join(named)


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(schema: Schema) -> str:
    told = list(_told(schema))
    return f", {' '.join(told)}" if told else ""


def _told(schema: Schema) -> Iterator[str]:
    for name, words in _BOUNDS:
        if name in schema:
            yield words.format(plain(str(schema[name])))
    if "default" in schema:
        default = schema["default"]
        shown = ",".join(map(_value, default)) if isinstance(default, list) else _value(default)
        yield f"(else {code(shown)})" if shown else ""
