"""Values of fields, as forms spell them and as types want them."""

import json
import math
import types
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Union, get_args, get_origin

from webapp.errors import bad_option

WORDS = frozenset({"hotwords"})
"""Fields of a job that are one text for the engine, but mean a list, and may be given as one."""
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 100
BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_NAME = r"([A-Za-z0-9]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,20}"
_PORT = r"(:(80|443|3000|5000|[7-9][0-9]{3}|1[2-9][0-9]{3}|[2-5][0-9]{4}))?"
ADDRESS = rf"^https?://{_NAME}{_PORT}(/[!-\[\]-~]*)?$"
"""Of addresses that are sure to be taken; other spellings of the same are brought into this form."""
# Controls, what changes the direction of text or cannot be seen, and what separates lines; as pattern of the document.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
PRINTABLE = rf"^[^{_UNSEEN}]*[^{_UNSEEN}\s][^{_UNSEEN}]*$"
"""Of names for people: what is seen, on one line, and not only spaces."""
_METADATA = (
    f'metadata must be a JSON object such as {{"case": 7}}, at most {MAX_METADATA_BYTES // 1024} kB and '
    f"{MAX_METADATA_DEPTH} levels deep, with numbers that fit a double."
)


def metadata(text: str) -> Any:
    """A JSON object that any answer can give back.

    Raises:
        Problem: 400.
    """
    try:
        value = parsed(text)
    except (ValueError, RecursionError) as error:
        raise bad_option(_METADATA) from error
    if not isinstance(value, dict) or len(text.encode()) > MAX_METADATA_BYTES or _depth(value) > MAX_METADATA_DEPTH:
        raise bad_option(_METADATA)
    return value


def parsed(text: str | bytes) -> Any:
    """JSON as the standard has it: no NaN, no number that is none to other programs, no half of a character.

    Raises:
        ValueError: It is none.
        RecursionError: It is deeper than Python goes.
    """
    value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    json.dumps(value, ensure_ascii=False).encode()  # raises for a lone surrogate, which no database keeps
    return value


def parts(field: str, text: str) -> list[Any]:
    """One value of a list field: a JSON array, or items with commas between them.

    Raises:
        Problem: 400.
    """
    if text.lstrip().startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_option(f"{field} is not a valid JSON array; send items with commas between them.") from error
        return list(value)
    return [part.strip() for part in text.split(",") if part.strip()]


def joined(field: str, value: list[Any]) -> str:
    """A list of words as the one text that it means.

    Raises:
        Problem: 400, it is a list of something else.
    """
    if not all(isinstance(word, str) for word in value):
        raise bad_option(f"{field} must be a text, or an array of texts.", param=field)
    return ", ".join(word.strip() for word in value if word.strip())


def words(field: str, given: Sequence[str]) -> str:
    """Words as a form has them: a text as it came, a JSON array, or the field repeated.

    Raises:
        Problem: 400.
    """
    return ", ".join(_unpacked(field, text) for text in given)


def _unpacked(field: str, text: str) -> str:
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):  # a text that begins so
        return text
    return joined(field, found) if isinstance(found, list) else text


def whole_numbers(value: Any) -> Any:
    """3.0 as 3, which is the same number in JSON; also inside arrays."""
    if isinstance(value, list):
        return [whole_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def types_of(annotation: Any) -> set[Any]:
    """The types a value may have, without Annotated, unions and None around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return types_of(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return set().union(*(types_of(part) for part in get_args(annotation)))
    return {origin or annotation}


def is_list(annotation: Any) -> bool:
    """Whether a field takes several values."""
    return bool(types_of(annotation) & {list, set, tuple, frozenset, Sequence, AbstractSet})


def _depth(value: Any) -> int:
    """Levels of objects and arrays; counted a level at a time, because what comes from a client may be very deep."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def _finite(text: str) -> float:
    """1e400 is valid JSON, but no answer could give it back."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
