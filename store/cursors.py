"""Where a page of a list ended, in a word that a client sends back."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CURSOR = r"^([0-9]{16})-([0-9a-f]{32})$"
"""The last job of a page: microseconds since 1970 and its id. Any text of this shape is a cursor."""


def cursor_at(at: datetime, name: str) -> str:
    """What stands for the last of a page: its time and its id."""
    return f"{(at - _EPOCH) // timedelta(microseconds=1):016d}-{name}"


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and the id that a cursor stands for.

    Raises:
        ValueError: Not a cursor of ours.
    """
    found = re.fullmatch(CURSOR, cursor)
    if found is None:
        raise ValueError("not a cursor of ours")
    return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
