"""Forms with recordings, streamed to storage while they arrive: no second copy, memory flat, nothing left behind."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from pipelines.names import display_name
from pipelines.stage import SOURCE
from store import Store, jobs
from store.database import Database
from store.files import Storage
from store.incoming import Upload
from webapp.errors import STALLED, Problem, bad_option, stalled
from webapp.intake.multipart import MAX_PARTS, BrokenForm, FormParts, Head

FILE = "file"
REFERENCES = ("url", "upload")
"""Fields that name a recording which is not in the request."""
MAX_FIELD_BYTES = 256 * 1024
"""All fields of a form together, without the files."""
_BLOCK = 1 << 18
_OVERHEAD = 1 << 20
"""What a form may be larger than its files and fields."""
_TEXT_BYTES = 4096
"""What is looked at of a file without a name to tell whether it is text."""


@dataclass(frozen=True)
class Recording:
    """A file that has arrived and is kept under its job's id."""

    id: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Reference:
    """Where a recording is that did not come with the request."""

    field: str
    """One of REFERENCES."""
    text: str


@dataclass
class Form:
    """What a request brought."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[Recording] = field(default_factory=list)
    sources: list[Recording | Reference] = field(default_factory=list)
    """The recordings in the order they came, those included that are only named."""
    typed: dict[str, Any] | None = None
    """The fields of a JSON body, which have types already."""

    def add(self, name: str, text: str) -> None:
        """One more field.

        Raises:
            Problem: 400, it names a recording and is empty.
        """
        self.fields.setdefault(name, []).append(text)
        if name in REFERENCES:
            if not text.strip():
                raise bad_option(
                    f"The field {name} is empty; leave it out, or say which recording is meant.", param=name
                )
            self.sources.append(Reference(name, text.strip()))


@contextmanager
def received(
    request: Request, store: Store, *, max_bytes: int, max_field_bytes: int = MAX_FIELD_BYTES
) -> Iterator[Form]:
    """The form of a request, its files in storage. If the block fails, those that no job has are deleted again.

    Args:
        request: A ``multipart/form-data`` request whose body nobody has touched.
        store: Where its files go, and the record of their jobs.
        max_bytes: Bound of all its files together.
        max_field_bytes: Bound of all its fields together.

    Raises:
        Problem: 400 not a form, or it broke off; 408 the client fell silent; 413 too large.
    """
    form = Form()
    reader = _FormReader(form, store.files, max_bytes, max_field_bytes)
    try:
        reader.read(request)
        yield form
    except BaseException:
        reader.forget(store.database)
        raise


@contextmanager
def received_bare(request: Request, store: Store, *, name: str, max_bytes: int) -> Iterator[Recording]:
    """A body that is the recording itself, in storage. If the block fails and no job has it, it is deleted again.

    Args:
        request: Nobody has touched its body.
        store: Where it goes, and the record of its job.
        name: What it is called.
        max_bytes: Its bound.

    Raises:
        Problem: 400 it broke off; 408 the client fell silent; 413 too large.
    """
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    job_id = jobs.new_id()
    upload = store.files.create(job_id, SOURCE)
    try:
        try:
            for block in blocks(request, limit=max_bytes + _OVERHEAD):
                if upload.size + len(block) > max_bytes:
                    raise _too_large(max_bytes)
                upload.write(block)
        except RequestEntityTooLarge as error:
            raise _too_large(max_bytes) from error
        upload.keep()
        yield Recording(job_id, name, upload.size, upload.sha256)
    except BaseException:
        upload.drop()
        if upload.left_behind and not _may_be_a_job(store.database, job_id):
            store.files.delete(job_id)
        raise


class _FormReader:
    """Takes the parts of a form apart as they arrive."""

    def __init__(self, form: Form, storage: Storage, max_bytes: int, max_field_bytes: int) -> None:
        self._form = form
        self._storage = storage
        self._max_bytes = max_bytes
        self._max_field_bytes = max_field_bytes
        self._bytes = 0
        self._field_bytes = 0
        self._parts = 0
        self._field: tuple[str, list[bytes]] | None = None
        self._file: tuple[str, str, Upload] | None = None
        """Id, the client's name and the stream of the file that is arriving."""
        self._looks: bytearray | None = None
        """The beginning of that file, if it may be text."""

    def read(self, request: Request) -> None:
        """Read the body to its end."""
        try:
            limit = self._max_bytes + self._max_field_bytes + _OVERHEAD
            for event in FormParts(blocks(request, limit=limit), _boundary(request)):
                if isinstance(event, Head):
                    self._begin_part(event)
                elif event is not None:
                    self._write(event)
                else:
                    self._end_part()
        except RequestEntityTooLarge as error:
            raise _too_large(self._max_bytes) from error
        except BrokenForm as error:
            raise bad_option(f"The upload is no whole multipart/form-data: {error}; send it again.") from error

    def forget(self, database: Database) -> None:
        """Delete everything that has arrived and no job was made of."""
        if self._file is not None:
            job_id, _, upload = self._file
            upload.drop()
            if upload.left_behind:
                self._storage.delete(job_id)
        for recording in self._form.files:
            if not _may_be_a_job(database, recording.id):
                self._storage.delete(recording.id)

    def _begin_part(self, head: Head) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Problem(413, f"A form may have at most {MAX_PARTS} parts; send fewer files at once.")
        if head.filename is None and head.name != FILE:
            self._field = (head.name, [])
            return
        if head.name != FILE:
            raise bad_option(
                f"A file came in the field {_shown(head.name)}; send recordings in the field 'file'.", param=head.name
            )
        # Without a file name it may be a recording all the same, or what somebody typed; its content tells.
        self._looks = bytearray() if head.filename is None and head.kind in ("", "text/plain") else None
        job_id = jobs.new_id()
        self._file = (job_id, head.filename or "", self._storage.create(job_id, SOURCE))

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._bytes += len(data)
            if self._bytes > self._max_bytes:
                raise _too_large(self._max_bytes)
            self._file[2].write(data)
            if self._looks is not None:
                self._looks += data[: _TEXT_BYTES - len(self._looks)]
        elif self._field is not None:
            self._field_bytes += len(data)
            if self._field_bytes > self._max_field_bytes:
                detail = f"The fields of the form are longer than {self._max_field_bytes} bytes; send less in them."
                raise Problem(413, detail)
            self._field[1].append(data)

    def _end_part(self) -> None:
        if self._file is not None:
            job_id, name, upload = self._file
            if self._looks is not None and (text := _text(bytes(self._looks))) is not None:
                upload.drop()
                self._storage.delete(job_id)
                self._form.add(FILE, text)
            elif name or upload.size:
                upload.keep()
                recording = Recording(job_id, display_name(name), upload.size, upload.sha256)
                self._form.files.append(recording)
                self._form.sources.append(recording)
            else:  # what a browser sends for a file field that nobody filled
                upload.drop()
                self._storage.delete(job_id)
            self._file = None
        elif self._field is not None:
            name, parts = self._field
            try:
                text = b"".join(parts).decode()
            except UnicodeDecodeError as error:
                raise bad_option(f"The field {_shown(name)} is not text in UTF-8; send it so.", param=name) from error
            self._form.add(name, text)
            self._field = None


def _may_be_a_job(database: Database, job_id: str) -> bool:
    """Whether a recording may be a job's: what fails after that, or in the midst of it, must not take it away."""
    try:
        return jobs.status(database, job_id) is not None
    except SQLAlchemyError:  # nobody knows just now; what belongs to no job is swept up later
        return True


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"An upload may have at most {max_bytes >> 20} MB here; send less at once.")


def _boundary(request: Request) -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary or not boundary.isascii():
        raise bad_option("Send multipart/form-data with the recording in the field 'file'.")
    return boundary.encode()


def _text(beginning: bytes) -> str | None:
    """What a file begins with, if that is text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning, final=len(beginning) < _TEXT_BYTES)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def blocks(request: Request, *, limit: int) -> Iterator[bytes]:
    """The body in blocks; a body longer than ``limit`` is not even begun if it says so itself.

    How long a client may take is the connection's to know (``config.sockets``).
    """
    stream = get_input_stream(request.environ, max_content_length=limit)
    while block := _read(stream):
        yield block


def _read(stream: Any) -> bytes:
    try:
        return bytes(stream.read(_BLOCK))
    except RequestEntityTooLarge:
        raise
    except Exception as error:  # the server's own classes for a body cut short or wrongly framed
        if stalled(error):
            raise Problem(408, STALLED) from error
        raise bad_option("The upload broke off; send it again.") from error
