"""One job for requests that ask for the same at the same time.

Clients send a request again when they have waited too long, with nothing that says that it is the same one: only the
recording and the options tell.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from store import idempotency, jobs
from store.acceptance import HeldKey
from webapp.access.auth import caller
from webapp.errors import Problem
from webapp.intake import fingerprints
from webapp.intake.options import JobRequest
from webapp.intake.submission import KEY, Entry, being_accepted, create
from webapp.intake.uploads import Recording
from webapp.services import Services

Take = Callable[[str], bool]
"""Begins to wait for a job; False: it is just being given up."""
_RECENT = timedelta(seconds=30)
"""A job that was done this long before a request began is what a client that sends it again missed."""
_CLOSING_SECONDS = 0.2
_TRIES = 100


@dataclass(frozen=True)
class Asked:
    """What a request asks for."""

    recording: Recording
    wanted: JobRequest
    began: datetime
    """When it began to arrive."""

    @property
    def fingerprint(self) -> str:
        """The same for requests that ask for the same, whatever they call the recording."""
        return fingerprints.fingerprint([fingerprints.wishes(self.wanted), self.recording.sha256])


def keep_attached(s: Services, job_id: str, wanted: JobRequest) -> None:
    """Put the files that came with a recording where its stages find them."""
    for name, data in wanted.attached.items():
        with s.store.files.create(job_id, name) as file:
            file.write(data)
            file.keep()
    wanted.attached.clear()


def share(s: Services, asked: Asked, take: Take, *, fingerprint: str | None = None, key: HeldKey | None = None) -> bool:
    """Take the caller's job for the same, or make one, settle its key and take it; whether it was there before.

    Raises:
        Problem: 503, the one that is there is being cancelled and does not end, or nobody would work on a new one.
        tasks.flow.QueueUnavailable: The queue cannot be reached.
    """
    mark, mine = fingerprint or asked.fingerprint, asked.recording.id
    for _ in range(_TRIES):
        since = asked.began - _RECENT
        found = jobs.in_flight(s.store.database, owner=caller().account, fingerprint=mark, since=since)
        if found is None:
            s.serving.check(asked.wanted.stages)
            try:
                create(s, [Entry(asked.recording, asked.wanted)], fingerprint=mark, key=key)
            except IntegrityError:  # the same request made one just now
                continue
            found = mine
        if take(found):
            return found != mine
        time.sleep(_CLOSING_SECONDS)
    raise Problem(503, "The same request is being cancelled; send it again.", headers={"Retry-After": "1"})


def share_by_key(s: Services, asked: Asked, key: str, take: Take) -> bool:
    """The same among the requests with one Idempotency-Key, which share with no others.

    Raises:
        Problem: 409, 422: what the key was sent with before is in the way.
        tasks.flow.QueueUnavailable: The queue cannot be reached.
    """
    database, owner, mark = s.store.database, caller().account, asked.fingerprint
    claim = {"owner": owner, "fingerprint": mark, "job_id": asked.recording.id, "batch": None, "jobs": 1}
    for _ in range(_TRIES):
        earlier = idempotency.claim(database, key, **claim)  # type: ignore[arg-type]  # all of them are right
        if earlier is None:
            return _make(s, asked, key, take)
        if earlier.fingerprint != mark:
            detail = f"This {KEY} was sent before with another recording or other options; send a new key."
            raise Problem(422, detail, code="invalid_option")
        if earlier.settled:
            made = idempotency.made(database, earlier)
            if not made:
                raise Problem(409, f"What this {KEY} made was deleted; send a new key for a new job.")
            if made[0].status == "cancelled":  # because the client left; now it is here again
                idempotency.forget(database, key, owner=owner, job_id=earlier.job_id)
                continue
            if take(made[0].id):
                return True
        time.sleep(_CLOSING_SECONDS)
    raise being_accepted()


def _make(s: Services, asked: Asked, key: str, take: Take) -> bool:
    """Make the job of a key that was claimed."""
    database, owner, mine = s.store.database, caller().account, asked.recording.id
    fingerprint = fingerprints.fingerprint([asked.fingerprint, key])
    try:
        shared = share(s, asked, take, fingerprint=fingerprint, key=HeldKey(key, owner, mine))
    except BaseException:
        idempotency.release(database, key, owner=owner, job_id=mine)
        raise
    if shared:
        idempotency.release(database, key, owner=owner, job_id=mine)
    return shared
