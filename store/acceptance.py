"""Requests that are accepted: all of their jobs are written at once, with the key they came with, or nothing is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from store import idempotency, jobs
from store.database import Database
from store.models import Job

log = structlog.get_logger(__name__)


class KeyTaken(Exception):
    """A later request has taken the key: this one took too long and counts as dead."""


@dataclass(frozen=True)
class Refusal:
    """Why a job fails as soon as it is made."""

    code: str
    detail: str


@dataclass(frozen=True)
class Planned:
    """A job that is to be."""

    new: jobs.NewJob
    each: Sequence[str] = ()
    """Those of its stages that run once per chunk."""
    refusal: Refusal | None = None


@dataclass(frozen=True)
class HeldKey:
    """An Idempotency-Key that ``idempotency.claim`` gave to a request."""

    key: str
    owner: str
    job_id: str
    """The first of the jobs."""


def accept(database: Database, planned: Sequence[Planned], *, key: HeldKey | None = None) -> list[Job]:
    """Write jobs, and that they are what became of a key: whoever dies meanwhile, all of it is there or none.

    Args:
        database: The record.
        planned: The jobs, in an order that their times of creation will have.
        key: Settled with them.

    Returns:
        The rows. Nothing is on a queue yet; what its maker does not put there, upkeep does.

    Raises:
        KeyTaken: The key is another request's by now.
        sqlalchemy.exc.IntegrityError: A job with this id, or this fingerprint, is there already.
    """
    made: list[Job] | None = None
    try:
        with database.write() as session:
            made = _write(session, planned, key)
        return made
    except DBAPIError:
        if made is None:
            raise
        log.warning("the record did not say whether new jobs were written; asking again", job=planned[0].new.id)
    return _write_again(database, planned, key)


def _write(session: Session, planned: Sequence[Planned], key: HeldKey | None) -> list[Job]:
    at = jobs.now()
    made = [jobs.unwritten(one.new, each=one.each, at=at + timedelta(microseconds=n)) for n, one in enumerate(planned)]
    session.add_all(made)
    session.flush()
    for one in planned:
        if one.refusal is not None:
            said = one.refusal
            jobs.fail_within(session, one.new.id, code=said.code, detail=said.detail, stage=None)
    if key is not None and not idempotency.settle_within(session, key.key, owner=key.owner, job_id=key.job_id):
        raise KeyTaken
    return made


def _write_again(database: Database, planned: Sequence[Planned], key: HeldKey | None) -> list[Job]:
    """After a COMMIT without an answer. A look would not do: what it does not see may be there a moment later."""
    try:
        with database.write() as session:
            return _write(session, planned, key)
    except IntegrityError:  # an id is unique, so this has waited for the first try's end
        found = [job for one in planned if (job := jobs.get(database, one.new.id)) is not None]
        if len(found) < len(planned):
            raise
        return found
