"""Names of recordings, from whatever strangers call them. They are shown, and never paths."""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

MAX_NAME = 255
NAMELESS = "recording"
_JOINERS = "\u200c\u200d"  # invisible, but part of the spelling in some scripts
_EXTENDED = re.compile(r"filename\*\s*=\s*([\w-]+)'[^']*'([^\s;]+)", re.IGNORECASE)
_PLAIN = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)
_MAX_HEADER = 4096


def display_name(name: str) -> str:
    """A stranger's file name as something to show: one line, no path, nothing that hides or turns text."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    kept = "".join(c for c in last if c in _JOINERS or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    kept = " ".join(kept.split())
    if kept in {"", ".", "..", "-"}:
        return NAMELESS
    if len(kept) > MAX_NAME:
        suffix = PurePosixPath(kept).suffix[:16]
        kept = kept[: MAX_NAME - len(suffix)] + suffix
    return kept


def name_in_address(url: str) -> str:
    """The last part of an address's path, to be shown as a recording's name."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return NAMELESS
    # A slash that was written as %2F is part of the name: take the path apart first.
    return display_name(unquote(path.rstrip("/").rpartition("/")[2], errors="replace"))


def name_in_header(disposition: str) -> str | None:
    """The file name that a Content-Disposition header gives; the extended spelling goes first, as RFC 6266 wants."""
    text = disposition[:_MAX_HEADER]
    if extended := _EXTENDED.search(text):
        try:
            return display_name(unquote(extended[2], encoding=extended[1], errors="strict"))
        except (LookupError, UnicodeError):
            pass
    if plain := _PLAIN.search(text):
        found = re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
        return display_name(found) if found.strip() else None
    return None
