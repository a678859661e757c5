"""From a form to jobs: all of them, or nothing stays behind."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
from flask import Request
from sqlalchemy.exc import SQLAlchemyError

from pipelines.names import display_name, name_in_address
from pipelines.web import addresses
from store import acceptance, idempotency, jobs
from store.acceptance import HeldKey, KeyTaken, Planned, Refusal
from store.models import Job
from tasks import webhooks
from tasks.flow import QueueUnavailable
from webapp import journal
from webapp.access import limits
from webapp.access.auth import caller
from webapp.connection import Receiver
from webapp.errors import Problem, bad_option
from webapp.headers import request_id
from webapp.intake import backlog, once
from webapp.intake.bodies import in_address, is_bare, taken
from webapp.intake.fingerprints import fingerprint, wishes
from webapp.intake.once import Claim
from webapp.intake.options import JobRequest
from webapp.intake.uploads import Form, Recording, Reference
from webapp.resumable import finished as finished_uploads
from webapp.services import Services

log = structlog.get_logger(__name__)

KEY = "Idempotency-Key"
KEY_PATTERN = "^[!-~]([ -~]{0,253}[!-~])?$"
_STATUS = {"unsupported_media": 415, "invalid_option": 400, "not_found": 404}
_EMPTY = "The file is empty; send one with something in it."


@dataclass(frozen=True)
class Entry:
    """One recording and what is to be done with it."""

    recording: Recording
    wanted: JobRequest
    refusal: str | None = None
    """Why it cannot be used, in a sentence: its job fails at once, and does not sink the others."""
    code: str = "unsupported_media"
    """Stable name of that refusal."""
    upload: str | None = None
    """Id of the resumable upload that was named; it stays if no job is made."""


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
    key = key_of(request)
    if key is None:  # else it may be the same request again, which makes nothing
        limits.check_audio(s)  # looked at here as well, so that nobody uploads for nothing
        backlog.check(s)
    if is_bare(request):  # nor with options that cannot be used, where they come first
        s.options.read(in_address(request).fields)
    with taken(request, s.store, max_bytes=s.settings.max_upload_bytes) as form:
        entries = _entries(s, form)
        if not entries:
            raise bad_option(
                "Send a recording in the field 'file', as curl -F file=@talk.mp3 does, its address in url, or the id "
                "of a finished upload in upload."
            )
        batch = jobs.new_id() if len(entries) > 1 else None
        if batch is None and entries[0].refusal is not None:
            raise Problem(_STATUS[entries[0].code], entries[0].refusal, code=entries[0].code)
        if key is None:
            return Accepted(create(s, entries, batch=batch), batch)
        claim = Claim(key, caller().account, fingerprint_of(entries), entries[0].recording.id, batch, len(entries))
        return _once(s, entries, claim, Receiver(request.environ))


def create(
    s: Services,
    entries: Sequence[Entry],
    *,
    batch: str | None = None,
    fingerprint: str | None = None,
    key: HeldKey | None = None,
) -> list[Job]:
    """Make the caller's jobs, all or none, and queue them. Once they are made nothing can fail: upkeep queues the rest.

    Args:
        s: The services.
        entries: Recordings whose files are in storage under their ids already, or will be by a stage.
        batch: Id of the batch they are.
        fingerprint: What a synchronous request asked for.
        key: Settled with the jobs.

    Raises:
        Problem: 409, an upload is another job's already, or the key another request's; 429, the key's audio of the
            day is used up; 503, 413: the backlog is too long for them.
        sqlalchemy.exc.IntegrityError: A job with this fingerprint is under way already.
        tasks.flow.QueueUnavailable: The queue cannot be reached.
    """
    limits.check_audio(s)
    backlog.check(s, sum(entry.refusal is None for entry in entries))
    _check_secret(entries)
    s.flow.check()
    wanted = [entry.upload for entry in entries if entry.upload is not None and entry.upload == entry.recording.id]
    with finished_uploads.taking(s, wanted) as found:
        for problem in found.others.values():
            if len(entries) == 1:
                raise problem
        left = [_refused(entry, found.others.get(entry.upload or "")) for entry in entries]
        try:
            made = acceptance.accept(s.store.database, [_planned(entry, batch, fingerprint) for entry in left], key=key)
        except KeyTaken as error:
            raise being_accepted() from error
    journal.accepted(made)
    _queue(s, made)
    return _as_they_are(s, made, batch)


def _queue(s: Services, made: Sequence[Job]) -> None:
    """Put what was made on the queues, as far as that is possible now."""
    try:
        for job in made:
            if job.status == "queued":
                s.flow.submit(job.id)
        if any(job.status != "queued" for job in made):
            webhooks.tell(s.flow)
    except (QueueUnavailable, SQLAlchemyError) as error:
        log.warning("not all new jobs could be queued; upkeep does it", job=made[0].id, error=type(error).__name__)
    except Exception:  # whatever it is, they are accepted: their recordings must stay
        log.exception("not all new jobs could be queued; upkeep does it", job=made[0].id)


def _as_they_are(s: Services, made: Sequence[Job], batch: str | None) -> list[Job]:
    """The jobs as they are by now, in the same order, without those that are gone already."""
    try:
        if batch is not None:  # in one question, however many they are
            return jobs.page(s.store.database, batch=batch, limit=len(made))[0][::-1]
        found = [jobs.get(s.store.database, job.id) for job in made]
    except SQLAlchemyError:  # they are accepted all the same
        return list(made)
    return [job for job in found if job is not None]


def _entries(s: Services, form: Form) -> list[Entry]:
    wanted = s.options.read(form.fields) if form.typed is None else s.options.read_typed(form.typed)
    references = [source for source in form.sources if isinstance(source, Reference)]
    finished_uploads.check_once([found.text for found in references if found.field == finished_uploads.FIELD])
    return [_entry(s, source, wanted, alone=len(form.sources) == 1) for source in form.sources]


def _entry(s: Services, source: Recording | Reference, wanted: JobRequest, *, alone: bool) -> Entry:
    if isinstance(source, Recording):
        return Entry(source, wanted, None if source.size else _EMPTY)
    if source.field == finished_uploads.FIELD:
        return _uploaded(s, source.text, wanted, alone=alone)
    return _fetched(s, source.text, wanted)


def _uploaded(s: Services, upload_id: str, wanted: JobRequest, *, alone: bool) -> Entry:
    try:
        recording = finished_uploads.recording_of(s, upload_id)
    except Problem as problem:
        if alone:
            raise
        nothing = Recording(jobs.new_id(), display_name(upload_id), 0, "")
        return _refused(Entry(nothing, wanted, upload=upload_id), problem)
    return Entry(recording, wanted, None if recording.size else _EMPTY, upload=upload_id)


def _refused(entry: Entry, problem: Problem | None) -> Entry:
    """An entry of a batch whose upload cannot be used, under an id that no upload has; without a problem as it is."""
    if problem is None:
        return entry
    nothing = replace(entry.recording, id=jobs.new_id(), size=0, sha256="")
    return replace(entry, recording=nothing, refusal=problem.detail, code=problem.code)


def _fetched(s: Services, url: str, wanted: JobRequest) -> Entry:
    """A recording that a worker will fetch; until then nothing is known of it but where it is."""
    recording = Recording(jobs.new_id(), name_in_address(url), 0, "")
    try:
        good = addresses.check(url, allow_private=s.settings.allow_private_urls).url
    except addresses.AddressRefused as error:
        return Entry(recording, s.options.fetching(wanted, addresses.shown(url)), f"url: {error.detail}", error.code)
    return Entry(recording, s.options.fetching(wanted, good))


def _once(s: Services, entries: Sequence[Entry], claim: Claim, receiver: Receiver) -> Accepted:
    """Make the jobs unless a request with this key did."""
    earlier = once.earlier(s, claim, receiver)
    if earlier is None:
        made = once.make(s, claim, lambda: create(s, entries, batch=claim.batch, key=claim.held))
        return Accepted(made, claim.batch)
    if earlier.fingerprint != claim.fingerprint:
        detail = f"This {KEY} was sent before with another recording or other options; send a new key for a new job."
        raise Problem(422, detail, code="invalid_option")
    if not earlier.settled:
        raise being_accepted()
    made = idempotency.made(s.store.database, earlier)
    if not made:
        raise Problem(409, f"What this {KEY} made was deleted; send a new key for a new job.")
    for entry in entries:
        if entry.upload is None:  # else its files are the job's that is found, or still the client's
            s.store.files.delete(entry.recording.id)
    journal.accepted(made, replayed=True)
    return Accepted(made, earlier.batch, replayed=True)


def being_accepted() -> Problem:
    """409: another request with the key is at it."""
    detail = f"A request with this {KEY} is being accepted right now; send it again in a moment."
    return Problem(409, detail, headers={"Retry-After": "1"})


def fingerprint_of(entries: Sequence[Entry]) -> str:
    """The same for requests that ask for the same, however they spell it."""
    unusable = [[e.upload] if e.upload not in (None, e.recording.id) else [] for e in entries]
    return fingerprint(
        [
            [*wishes(e.wanted), e.recording.name, e.recording.sha256, *named]
            for e, named in zip(entries, unusable, strict=True)
        ]
    )


def _check_secret(entries: Sequence[Entry]) -> None:
    """Nobody could tell a webhook that is not signed from a forged one."""
    if caller().webhook_secret is None and any(entry.wanted.webhook_url for entry in entries):
        raise bad_option("webhook_url cannot be used, because nothing signs webhooks here: set WEBHOOK_SECRET.")


def _planned(entry: Entry, batch: str | None, fingerprint: str | None) -> Planned:
    recording, wanted = entry.recording, entry.wanted
    new = jobs.NewJob(
        id=recording.id,
        owner=caller().account,
        options=wanted.options,
        stages=wanted.stages,
        source_name=recording.name,
        source_bytes=recording.size,
        source_sha256=recording.sha256,
        priority=wanted.priority,
        batch=batch,
        details=wanted.metadata,
        request_id=request_id(),
        webhook_url=wanted.webhook_url,
        fingerprint=fingerprint,
        audio_quota=caller().audio_seconds_per_day,
    )
    return Planned(new, wanted.each, Refusal(entry.code, entry.refusal) if entry.refusal is not None else None)


def key_of(request: Request) -> str | None:
    """The Idempotency-Key of a request.

    Raises:
        Problem: 400, it is no proper one.
    """
    text = request.headers.get(KEY)
    if text is not None and not re.fullmatch(KEY_PATTERN, text):
        raise bad_option(f"{KEY} must be 1 to 255 printable ASCII characters, such as a UUID.")
    return text
