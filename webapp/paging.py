"""Lists that are handed out page by page."""

from flask import request

from store.cursors import CURSOR as CURSOR_PATTERN
from webapp.errors import Problem, bad_option
from webapp.openapi import Parameter

MAX_PAGE = 200
_PAGE = 50

LIMIT = Parameter(
    "limit", "Entries on the page.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": _PAGE}
)
CURSOR = Parameter("cursor", "next_cursor of the page before.", {"type": "string", "pattern": CURSOR_PATTERN})


def page_size() -> int:
    """How many entries this request wants.

    Raises:
        Problem: 400.
    """
    text = request.args.get("limit", str(_PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        raise bad_option(f"limit must be a whole number from 1 to {MAX_PAGE}.")
    return int(text)


def no_cursor() -> Problem:
    """400 for what is none."""
    return bad_option("cursor must be the next_cursor of a page before; leave it out to begin.")
