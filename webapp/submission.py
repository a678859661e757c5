"""From a form to queued jobs: all of them, or nothing stays behind."""

import hashlib
import json
import re
from dataclasses import dataclass

import structlog
from flask import Request

from store import idempotency, jobs
from store.models import Job
from webapp.auth import OWNER
from webapp.errors import Problem, bad_option
from webapp.headers import request_id
from webapp.options import JobRequest
from webapp.services import Services
from webapp.uploads import Form, Recording, received

log = structlog.get_logger(__name__)

KEY = "Idempotency-Key"
_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_EMPTY = "The file is empty; send one with something in it."


@dataclass(frozen=True)
class Accepted:
    """What became of a request."""

    jobs: list[Job]
    """In the order of the recordings."""
    batch: str | None
    """None for a single recording."""
    replayed: bool = False
    """Whether an earlier request with the same key made them."""


def accept(s: Services, request: Request) -> Accepted:
    """Make jobs of a request's recordings and queue them, or find those that the same request made before.

    Raises:
        Problem: The request cannot be used.
        pipelines.errors.OptionsError: Its options contradict each other.
        tasks.flow.QueueUnavailable: The queue cannot be reached.
    """
    key = _key(request)
    if request.is_json:
        raise _no_json(request)
    with received(request, s.store.files, max_bytes=s.settings.max_upload_bytes) as form:
        wanted = s.options.read(form.fields)
        if not form.files:
            raise bad_option("Send a recording in the field 'file', as curl -F file=@talk.mp3 does.")
        batch = jobs.new_id() if len(form.files) > 1 else None
        if batch is None and not form.files[0].size:
            raise Problem(415, _EMPTY, code="unsupported_media")
        if key is None:
            return Accepted(_create(s, form, wanted, batch), batch)
        return _once(s, form, wanted, batch, key)


def _once(s: Services, form: Form, wanted: JobRequest, batch: str | None, key: str) -> Accepted:
    """Make the jobs unless a request with this key did."""
    database, first = s.store.database, form.files[0].id
    asked = _fingerprint(form, wanted)
    earlier = idempotency.claim(
        database, key, owner=OWNER, fingerprint=asked, job_id=first, batch=batch, jobs=len(form.files)
    )
    if earlier is None:
        try:
            made = _create(s, form, wanted, batch)
        except BaseException:
            idempotency.release(database, key, owner=OWNER, job_id=first)
            raise
        try:
            idempotency.settle(database, key, owner=OWNER, job_id=first)
        except Exception:  # the jobs are queued and stand; the key is found to be theirs a little later
            log.exception("an idempotency key could not be settled", job=first)
        return Accepted(made, batch)
    if earlier.fingerprint != asked:
        detail = f"This {KEY} was sent before with another recording or other options; send a new key for a new job."
        raise Problem(422, detail, code="invalid_option")
    if not earlier.settled:
        detail = f"A request with this {KEY} is being accepted right now; send it again in a moment."
        raise Problem(409, detail, headers={"Retry-After": "1"})
    made = idempotency.made(database, earlier)
    if not made:
        raise Problem(409, f"What this {KEY} made was deleted; send a new key for a new job.")
    for recording in form.files:
        s.store.files.delete(recording.id)
    return Accepted(made, earlier.batch, replayed=True)


def _create(s: Services, form: Form, wanted: JobRequest, batch: str | None) -> list[Job]:
    try:
        for recording in form.files:
            jobs.create(s.store.database, _new_job(recording, wanted, batch), each=wanted.each)
        for recording in form.files:
            if recording.size:
                s.flow.submit(recording.id)
            else:
                # One bad file does not sink the others; its own job says what is wrong with it.
                jobs.fail(s.store.database, recording.id, code="unsupported_media", detail=_EMPTY, stage=None)
        made = (jobs.get(s.store.database, recording.id) for recording in form.files)
        return [job for job in made if job is not None]
    except BaseException:
        for recording in form.files:
            jobs.delete_record(s.store.database, recording.id)
        raise


def _new_job(recording: Recording, wanted: JobRequest, batch: str | None) -> jobs.NewJob:
    return jobs.NewJob(
        id=recording.id,
        owner=OWNER,
        options=wanted.options,
        stages=wanted.stages,
        source_name=recording.name,
        source_bytes=recording.size,
        source_sha256=recording.sha256,
        priority=wanted.priority,
        batch=batch,
        details=wanted.metadata,
        request_id=request_id(),
    )


def _key(request: Request) -> str | None:
    text = request.headers.get(KEY)
    if text is not None and not _KEY.fullmatch(text):
        raise bad_option(f"{KEY} must be 1 to 255 printable ASCII characters, such as a UUID.")
    return text


def _fingerprint(form: Form, wanted: JobRequest) -> str:
    """The same for requests that ask for the same, however they spell it."""
    files = [(recording.name, recording.sha256) for recording in form.files]
    asked = [wanted.options, wanted.priority, wanted.metadata, files]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _no_json(request: Request) -> Problem:
    body = request.get_json(silent=True)
    if isinstance(body, dict) and "url" in body:
        detail = "Recordings by address (url) come with a later version; send multipart/form-data with a file."
        return bad_option(detail)
    return bad_option("Send the recording in the field 'file' of multipart/form-data, as curl -F file=@talk.mp3 does.")
