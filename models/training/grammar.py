"""The language the demo model knows: which sentences exist, and which of them are never trained on."""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "es", "de")

DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
    *("sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
HOUR_ENDINGS = (
    *("", "", " thirty", " fifteen", " forty five", " twenty"),
    *(" o'clock", " in the morning", " in the afternoon"),
)
NAME_LISTS = ("name", "place", "weekday", "month")

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SLOT = re.compile(r"\{(\w+)\}")
_HELD_OUT_SHARE = 16  # one sentence in so many is kept from training


@dataclass(frozen=True, slots=True)
class Grammar:
    """One language: sentence templates and the words that fill them."""

    language: str
    templates: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]


def split_words(text: str) -> list[str]:
    """The words of a sentence in order, marks removed, case kept."""
    return _WORD.findall(text)


@cache
def grammar(language: str) -> Grammar:
    """The grammar of a language code of `LANGUAGES`.

    Raises:
        ValueError: The language is not one of them.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no grammar for {language!r}; there are {', '.join(LANGUAGES)}")
    path = Path(__file__).parent / "sentences" / f"{language}.toml"
    read = tomllib.loads(path.read_text(encoding="utf-8"))
    return Grammar(language, tuple(read["templates"]), {name: tuple(words) for name, words in read["words"].items()})


@cache
def vocabulary(language: str) -> tuple[str, ...]:
    """Every word the language can produce, lower case, sorted."""
    spoken = grammar(language)
    texts = [_SLOT.sub(" ", template) for template in spoken.templates]
    texts += [phrase for phrases in spoken.words.values() for phrase in phrases]
    if language == "en":
        texts += [*DIGITS, *TEENS, *TENS, *HOUR_ENDINGS, "zero", "hundred", "and", "the", "of", "an"]
    return tuple(sorted({word.lower() for text in texts for word in split_words(text)}))


@cache
def _proper_names() -> Mapping[str, str]:
    words = grammar("en").words
    names = {name.lower(): name for kind in NAME_LISTS for name in words[kind]}
    return names | {"i": "I", "may": "may"}  # alone, "may" is more often the verb than the month


def is_held_out(sentence: str) -> bool:
    """Whether training never saw this sentence: decided by the sentence itself, so that no list has to be kept."""
    # Not for security: the digest only deals sentences out, and the shipped model was trained with this very rule.
    return hashlib.md5(sentence.encode(), usedforsecurity=False).digest()[0] % _HELD_OUT_SHARE == 0


def spell(number: int) -> str:
    """A number from 1 to 999 in English words, as the recordings speak it."""
    if not 1 <= number <= 999:
        raise ValueError(f"{number} is outside 1 to 999")
    hundreds, rest = divmod(number, 100)
    if hundreds:
        start = f"{DIGITS[hundreds - 1]} hundred"
        return f"{start} and {spell(rest)}" if rest else start
    if number < 10:
        return DIGITS[number - 1]
    if number < 20:
        return TEENS[number - 10]
    tens, digit = divmod(number, 10)
    return TENS[tens - 2] + (f" {DIGITS[digit - 1]}" if digit else "")


def _date(rng: random.Random) -> str:
    words = grammar("en").words
    day, month, ordinal = (rng.choice(words[kind]) for kind in ("weekday", "month", "ordinal"))
    forms = (f"{day}", f"{month} {ordinal}", f"the {ordinal} of {month}")
    return rng.choice((*forms, f"{day} morning", f"{day} afternoon", f"{day} the {ordinal}"))


_ENGLISH_SLOTS: Mapping[str, Callable[[random.Random], str]] = {
    "number": lambda rng: spell(rng.randint(1, 99)),
    "hundreds": lambda rng: spell(rng.randint(100, 999)),
    "several": lambda rng: rng.choice(DIGITS[1:]),
    "teen": lambda rng: rng.choice(TEENS),
    "digit": lambda rng: rng.choice((*DIGITS, "zero")),
    "hour": lambda rng: spell(rng.randint(1, 12)) + rng.choice(HOUR_ENDINGS),
    "date": _date,
}


def _finished(text: str) -> str:
    start = text if text[0] == "¿" else text[0].upper() + text[1:]
    return start if start[-1] in ".?" else f"{start}."


def sentence(rng: random.Random, language: str = "en") -> str:
    """A sentence of the grammar, with its capital and its full stop or question mark."""
    spoken = grammar(language)
    slots = _ENGLISH_SLOTS if language == "en" else {}

    def fill(match: re.Match[str]) -> str:
        kind = match[1]
        return slots[kind](rng) if kind in slots else rng.choice(spoken.words[kind])

    text = _finished(_SLOT.sub(fill, rng.choice(spoken.templates)))
    return re.sub(r"\ba(?= [aeiou])", "an", text) if language == "en" else text


def held_out_sentence(rng: random.Random, language: str = "en", *, unbroken: bool = False) -> str:
    """A sentence of the grammar that no model was trained on.

    Args:
        rng: Where the choice comes from.
        language: A language code of `LANGUAGES`.
        unbroken: Only sentences without a comma, at which voices pause.
    """
    while True:
        text = sentence(rng, language)
        if is_held_out(text) and not (unbroken and "," in text):
            return text


def _joined(words: Sequence[str]) -> str:
    return _finished(" ".join(_proper_names().get(word.lower(), word.lower()) for word in words))


def random_words(rng: random.Random) -> str:
    """Three to nine English words in no order at all: they keep a model from leaning on the grammar alone."""
    known = vocabulary("en")
    return _joined([rng.choice(known) for _ in range(rng.randint(3, 9))])


def spliced(rng: random.Random) -> str:
    """Pieces of two or three English sentences in a row, at most ten words."""
    words: list[str] = []
    for _ in range(rng.choice((2, 2, 3))):
        source = split_words(sentence(rng))
        start = rng.randint(0, max(0, len(source) - 2))
        words += source[start : start + rng.randint(1, 4)]
    return _joined(words[:10])
