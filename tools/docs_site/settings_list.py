"""Every setting with its default and what it takes, for docs/configuration.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from tools.docs_site.text import code, plain, table

_GROUP = re.compile(r"^    # ([A-Z][\w ]+)$|^    ([a-z][a-z0-9_]*):", re.MULTILINE)
_BOUNDS = {
    "ge": "at least {:,}",
    "gt": "more than {:,}",
    "le": "at most {:,}",
    "lt": "less than {:,}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
}
_PAGE = re.compile(r"docs/([\w-]+)\.md")


def page() -> str:
    """A table for each group of settings, as config/settings.py has them."""
    from config.settings import Settings

    return "".join(
        f"## {title}\n\n{table(('setting', 'default', 'what'), [_row(name, fields[name]) for name in fields])}"
        for title, fields in _groups(inspect.getsource(Settings), Settings.model_fields).items()
    )


def _groups(source: str, fields: Mapping[str, FieldInfo]) -> dict[str, dict[str, FieldInfo]]:
    """The settings under the comments that head them."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for title, name in _GROUP.findall(source):
        if title:
            found[title] = {}
        elif name in fields:
            found[list(found)[-1]][name] = fields[name]
    return found


def _row(name: str, info: FieldInfo) -> tuple[str, str, str]:
    from config.env_example import default_text, kind
    from config.secret_files import SECRETS, SUFFIX

    shown = default_text(info.default)
    from_file = f"; or {code(name.upper() + SUFFIX.upper())}" if name in SECRETS else ""
    takes = kind(info.annotation).replace(" | ", ", ").replace("|", "\\|")
    told = _PAGE.sub(r"[\1](\1.md)", plain(info.description or ""))
    return (
        f'<span id="{name}"></span>{code(name.upper())}',
        code(shown) if shown else "",
        f"{told} *({takes}{_bounds(info)}{from_file})*",
    )


def _bounds(info: FieldInfo) -> str:
    """What a value may be at least and at most."""
    found: dict[str, Any] = {}
    for limit in info.metadata:
        found |= {name: value for name in _BOUNDS if (value := getattr(limit, name, None)) is not None}
    if {"ge", "le"} <= found.keys():
        return f", {found['ge']:,} to {found['le']:,}"
    return "".join(f", {words.format(found[name])}" for name, words in _BOUNDS.items() if name in found)
