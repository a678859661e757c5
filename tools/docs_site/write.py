"""Brings the made part of pages in docs/ up to date: ``python -m tools.docs_site.write``.

It stands between two marks. What is around it is written by people; a test holds the made part to the program.
"""

from __future__ import annotations

import re
from pathlib import Path

from tools.docs_site import commands, settings_list

DOCS = Path(__file__).resolve().parents[2] / "docs"
MADE = {"cli.md": commands.page, "configuration.md": settings_list.page}
"""Page -> what makes its part."""
_MARKS = "<!-- made by `make docs`: do not edit from here -->", "<!-- to here -->"


def with_made(text: str, made: str) -> str:
    """The text of a page with a new made part.

    Raises:
        ValueError: It lacks the marks.
    """
    first, last = _MARKS
    found, count = re.subn(
        f"{re.escape(first)}.*{re.escape(last)}",
        lambda _: f"{first}\n\n{made.strip()}\n\n{last}",
        text,
        flags=re.DOTALL,
    )
    if not count:
        raise ValueError(f"the page lacks the marks {first!r} and {last!r}")
    return found


def main() -> None:
    """Write the pages that are not up to date."""
    for name, make in MADE.items():
        path = DOCS / name
        path.write_text(with_made(path.read_text("utf-8"), make()), "utf-8")


if __name__ == "__main__":
    main()
