"""The list of decisions, made of the decisions themselves."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = """\
# Decisions

Half a page each: what was decided where something else would have been possible, why, and what it costs.

"""


def files(docs: Path) -> list[Path]:
    """The decisions in their order."""
    return sorted((docs / "decisions").glob("[0-9]*.md"))


def index(docs: Path) -> str:
    """The page with a line for each."""
    return _HEAD + "".join(f"- [{title(path)}]({path.name})\n" for path in files(docs))


def title(path: Path) -> str:
    """The heading of a decision, with its number.

    Raises:
        ValueError: It begins with something else.
    """
    first = path.read_text("utf-8").partition("\n")[0]
    if not re.fullmatch(r"# [0-9]+\. .+", first):
        raise ValueError(f"{path.name} must begin with `# <number>. <what was decided>`")
    return first.removeprefix("# ")
