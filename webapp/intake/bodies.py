"""What a request for a job brings, however it is written: a form with files, a plain form, JSON, a bare recording."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from pipelines.names import NAMELESS, display_name, name_in_header
from store import Store
from webapp.errors import Problem, bad_option
from webapp.intake.multipart import MAX_PARTS
from webapp.intake.uploads import MAX_FIELD_BYTES, REFERENCES, Form, Reference, blocks, received, received_bare
from webapp.intake.values import parsed

_WANTED = (
    'Send multipart/form-data with the recording in the field \'file\', JSON such as {"url": "https://…/talk.mp3"}, or '
    "the recording itself as audio/*, video/* or application/octet-stream."
)
_HOW_BARE = "A recording as the body needs its own Content-Type, such as audio/mpeg."
_BARE = ("audio/", "video/")
NAME = "name"
"""Parameter that names a bare recording."""


def is_bare(request: Request) -> bool:
    """Whether the body is the recording itself; its options are in the address then."""
    return request.mimetype.startswith(_BARE) or request.mimetype == "application/octet-stream"


def in_address(request: Request) -> Form:
    """The fields of a bare recording, without its name.

    Raises:
        Problem: 400.
    """
    form = Form(fields=dict(_parameters(request)))
    form.fields.pop(NAME, None)
    for name in REFERENCES:
        if name in form.fields:
            detail = f"The body is a recording already, so {name} cannot be given as well; send one of the two."
            raise bad_option(detail, param=name)
    return form


@contextmanager
def taken(request: Request, store: Store, *, max_bytes: int) -> Iterator[Form]:
    """The body of a request for jobs; files that came are deleted again if the block fails and no job has them.

    Raises:
        Problem: 400 nothing of the kind, or it broke off; 408 the client fell silent; 413 too large.
    """
    if request.is_json:
        yield _json(request)
    elif request.mimetype == "application/x-www-form-urlencoded":
        yield _plain_form(request)
    elif request.mimetype == "multipart/form-data":
        with received(request, store, max_bytes=max_bytes) as form:
            yield form
    elif is_bare(request):
        form = in_address(request)
        with received_bare(request, store, name=_name(request), max_bytes=max_bytes) as recording:
            form.sources.append(recording)
            yield form
    else:
        raise bad_option(_WANTED)


def _json(request: Request) -> Form:
    try:
        found = parsed(_text(request))
    except (ValueError, RecursionError) as error:
        raise bad_option('The body is no JSON; send an object such as {"url": "https://…/talk.mp3"}.') from error
    if not isinstance(found, dict):
        raise bad_option('Send a JSON object such as {"url": "https://…/talk.mp3"}.')
    sources = [reference for name in found if name in REFERENCES for reference in _references(name, found[name])]
    if len(sources) > MAX_PARTS:
        raise Problem(413, f"A batch may have at most {MAX_PARTS} recordings; send fewer at once.")
    return Form(sources=list(sources), typed=found)


def _references(name: str, value: Any) -> Iterator[Reference]:
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(text, str) and text.strip() for text in several):
        raise bad_option(f"{name} must be a text, or an array of at least one.")
    if len(several) > MAX_PARTS:
        raise Problem(413, f"A batch may have at most {MAX_PARTS} recordings; send fewer at once.")
    for text in several:
        yield Reference(name, text.strip())


def _plain_form(request: Request) -> Form:
    form = Form()
    try:
        pairs = _pairs(_text(request))
    except ValueError as error:
        detail = f"The form cannot be read; send at most {MAX_PARTS} fields, as text in UTF-8. {_HOW_BARE}"
        raise bad_option(detail) from error
    for name, text in pairs:
        form.add(name, text)
    return form


def _parameters(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for name, text in _pairs(request.query_string):
            found.setdefault(name, []).append(text)
    except ValueError as error:
        raise bad_option("The options in the address cannot be read; send them as text in UTF-8.") from error
    return found


def _name(request: Request) -> str:
    """What a bare recording is called: the parameter goes before the header, which some clients make up."""
    named = [text for text in _parameters(request).get(NAME, []) if text.strip()]
    if len(named) > 1:
        raise bad_option(f"Give {NAME} once, not {len(named)} times.", param=NAME)
    if named:
        return display_name(named[0])
    return name_in_header(request.headers.get("Content-Disposition", "")) or NAMELESS


def _pairs(text: bytes) -> list[tuple[str, str]]:
    return parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS)


def _text(request: Request) -> bytes:
    try:
        return b"".join(blocks(request, limit=MAX_FIELD_BYTES))
    except RequestEntityTooLarge as error:
        detail = f"The body is longer than {MAX_FIELD_BYTES} bytes; send less in it. {_HOW_BARE}"
        raise Problem(413, detail) from error
