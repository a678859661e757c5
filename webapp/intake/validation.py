"""Values checked against models, and what is wrong with them in words."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from webapp.errors import bad_option

_WRONG = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_parsing": "true or false",
}


def validated(model: type[Any], values: Mapping[str, Any], *, strict: bool = False) -> Any:
    """Values as a model.

    Args:
        model: A class of pydantic.
        values: From outside.
        strict: Whether they must be of the fields' own types already, as JSON has them.

    Raises:
        Problem: 400, with what is wrong with the first wrong one.
    """
    try:
        # Strictness in Python's own types would refuse an array for a set.
        return model.model_validate_json(json.dumps(values), strict=True) if strict else model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        named = str(first["loc"][0]) if first["loc"] else None
        raise bad_option(f"{message(first, _range(model, first))}.", param=named) from error


def message(error: ErrorDetails, bounds: str = "") -> str:
    """What is wrong with a field, without the full stop."""
    name = str(error["loc"][0]) if error["loc"] else "The options"
    context = error.get("ctx") or {}
    if error["type"] in _WRONG:
        return f"{name} must be {_WRONG[error['type']]}{bounds}"
    if bounds:
        return f"{name} must be{bounds}"
    if error["type"] == "literal_error":
        return f"{name} must be {str(context.get('expected')).replace(chr(39), '')}"
    if error["type"] == "value_error":
        return f"{name}: {context.get('error')}".rstrip(".")
    message = error["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("List ")
    return f"{name} {message.replace('should', 'must', 1)}"


def _range(model: type[Any], error: ErrorDetails) -> str:
    """The range of the field that an error is about, if it has one on both sides."""
    schema = model.model_json_schema()["properties"].get(str(error["loc"][0]), {}) if error["loc"] else {}
    for part in (schema, *schema.get("anyOf", ())):
        if "minimum" in part and "maximum" in part:
            return f" from {part['minimum']:g} to {part['maximum']:g}"
    return ""
