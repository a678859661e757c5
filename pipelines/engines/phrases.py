"""A window's words divided into sentences or, where nobody ends one, at pauses."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pipelines.documents import Word

PAUSE = 1.5
"""Seconds of silence that end a phrase, whatever its punctuation."""
BREATH = 0.3
"""Seconds of silence at which a phrase that has grown long may be divided."""
LONG = 15.0
"""Seconds after which a phrase without an end is divided at its longest pause."""

_END = re.compile(r"[.!?…。！？｡؟۔।॥](?:[\"'”’»)\]}」』】]*)$")
_ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "approx", "dept", "inc", "ltd", "e.g", "i.e"),
    *("nr", "bzw", "usw", "ca", "z.b", "d.h", "u.a"),
}
_INITIALS = re.compile(r"^(?:\w\.)+$")


def phrases(words: Sequence[Word]) -> list[list[Word]]:
    """The words in groups, in order, none lost; joined, a group's words are its text."""
    groups: list[list[Word]] = []
    for before, word in zip([None, *words], words, strict=False):
        if before is None or word.start - before.end >= PAUSE or _ends(before.word, word.word):
            groups.append([])
        groups[-1].append(word)
    return [part for group in groups for part in _shorten(group)]


def _ends(word: str, following: str) -> bool:
    """Whether a sentence ends between two words."""
    plain = word.strip()
    if not _END.search(plain):
        return False
    if not plain.endswith("."):
        return True
    # A point may also stand in "Dr. Smith", "e.g. this" or "J. S. Bach"; after a sentence comes a capital letter.
    stem = plain[:-1].casefold()
    first = next((letter for letter in following if letter.isalnum()), "")
    return stem not in _ABBREVIATIONS and not _INITIALS.match(plain) and not first.islower()


def _shorten(words: list[Word]) -> Iterator[list[Word]]:
    """Cut a phrase that is too long at its longest pause, and the parts again, as long as there is a pause."""
    gaps = [(after.start - before.end, n) for n, (before, after) in enumerate(pairwise(words), 1)]
    longest, at = max(gaps, default=(0.0, 0))
    if words[-1].end - words[0].start <= LONG or longest < BREATH:
        yield words
        return
    yield from _shorten(words[:at])
    yield from _shorten(words[at:])
