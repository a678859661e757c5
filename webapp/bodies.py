"""What a request for a job brings, whichever way it is written: a form with files, a plain form, JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from store.files import Storage
from webapp.errors import Problem, bad_option
from webapp.multipart import MAX_PARTS
from webapp.uploads import MAX_FIELD_BYTES, REFERENCES, Form, Reference, blocks, received
from webapp.values import parsed

_WANTED = (
    'Send multipart/form-data with the recording in the field \'file\', or JSON such as {"url": "https://…/talk.mp3"}.'
)


@contextmanager
def taken(request: Request, storage: Storage, *, max_bytes: int) -> Iterator[Form]:
    """The body of a request for jobs; files that came are deleted again if the block fails.

    Raises:
        Problem: 400 nothing of the kind, or it broke off; 408 the client fell silent; 413 too large.
    """
    if request.is_json:
        yield _json(request)
    elif request.mimetype == "application/x-www-form-urlencoded":
        yield _plain_form(request)
    elif request.mimetype == "multipart/form-data":
        with received(request, storage, max_bytes=max_bytes) as form:
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
    return Form(sources=sources, typed=found)


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
        pairs = parse_qsl(_text(request).decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS)
    except ValueError as error:
        raise bad_option(f"The form cannot be read; send at most {MAX_PARTS} fields, as text in UTF-8.") from error
    for name, text in pairs:
        form.add(name, text)
    return form


def _text(request: Request) -> bytes:
    try:
        return b"".join(blocks(request, limit=MAX_FIELD_BYTES))
    except RequestEntityTooLarge as error:
        raise Problem(413, f"The body is longer than {MAX_FIELD_BYTES} bytes; send less in it.") from error
