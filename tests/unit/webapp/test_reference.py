"""The page of the documentation that is made of the API document."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.stack import WEBHOOK_SECRET
from tools.docs_site import reference
from tools.docs_site.schema_words import kind


@pytest.fixture
def document(make: Callable[..., Flask]) -> dict[str, Any]:
    found: dict[str, Any] = make(webhook_secret=WEBHOOK_SECRET).test_client().get("/openapi.json").json
    return found


def test_everything_is_on_it_and_every_link_leads_somewhere(document: dict[str, Any]) -> None:
    page = reference.page(document)
    anchors = set(re.findall(r"\{ #([\w-]+) \}", page)) | {"errors"}
    assert {link for link in re.findall(r"\]\(#([\w-]+)\)", page)} <= anchors
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"`{method.upper()} {path}`" in page and operation["operationId"] in anchors
    assert {f"type-{name.lower()}" for name in document["components"]["schemas"]} <= anchors
    assert "webhook_job" in anchors and "`webhook-signature`" in page
    # Every row of a table has as many cells as its head.
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "maxLength": 9}, "text, at most 9 long"),
        ({"type": "integer", "minimum": 1, "maximum": 50}, "whole number, from 1 to 50"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Warn"}}, "list of [Warn](#type-warn)"),
        ({"enum": ["a", "b", ""]}, "`a`, `b`"),
        ({"enum": [str(n) for n in range(99)]}, "`0`, `1`, `2` … (one of 99)"),
        ({"const": True}, "`true`"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "boolean", "default": False}, "true or false, (else `false`)"),
        ({"type": "string", "format": "binary", "minLength": 1}, "bytes"),
        ({"enum": ["a|b"]}, "<code>a&#124;b</code>"),
        ({}, "anything"),
    ],
)
def test_schemas_in_words(schema: dict[str, Any], words: str) -> None:
    assert kind(schema) == words
