"""Words of the program's own, put into Markdown so that they stand there as they are."""

import html
import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\*\[\]|])")
_CODE = re.compile(r"(`[^`]+`)")


def plain(text: str) -> str:
    """A text as one line of Markdown that means nothing but itself; what stands between backticks stays code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(p if n % 2 else _SPECIAL.sub(r"\\\1", p).replace("<", "&lt;") for n, p in enumerate(parts))


def code(text: str) -> str:
    """A text as code, also in a cell of a table: what a stroke between backticks is there, not all agree."""
    return f"<code>{html.escape(text).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with an empty line after it; nothing if it has no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]) + "\n\n"
