"""The settings as a file that an operator can copy and change."""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from config.secret_files import SECRETS, SUFFIX


def example(fields: Mapping[str, FieldInfo]) -> str:
    """The text of ``.env.example``: every setting with its documentation, its type and its default."""
    lines = [
        "# Every setting of Longhand with its default. Copy to .env and change what you need.",
        "# Made by `python -m config.settings`; a test holds it equal to config/settings.py.",
        f"# A secret can come from a file instead: API_KEY{SUFFIX.upper()}=/run/secrets/api_key in place of API_KEY.",
    ]
    for name, info in fields.items():
        takes = kind(info.annotation) + (f"; or {name.upper()}{SUFFIX.upper()}" if name in SECRETS else "")
        lines += ["", f"# {info.description}", f"# ({takes})", f"#{name.upper()}={default_text(info.default)}"]
    return "\n".join(lines) + "\n"


def default_text(default: Any) -> str:
    """A default as it would stand in the file; empty: unset, or nothing."""
    if isinstance(default, list | dict):
        return ",".join(str(v) for v in default)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def kind(annotation: Any) -> str:
    """What a setting of this type takes, in words."""
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_origin(annotation) in {types.UnionType, Union, Annotated}:
        return kind(get_args(annotation)[0])
    if get_origin(annotation) is list:
        return "comma-separated list"
    if get_origin(annotation) is dict:
        return "name=value, comma separated"
    names = {"int": "whole number", "float": "number", "bool": "true | false", "str": "text", "Path": "folder"}
    return names.get(getattr(annotation, "__name__", ""), "secret")
