"""Requests that are accepted: all of their jobs are written at once, with the key they came with, or nothing is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from store import deliveries, endings, idempotency, jobs, totals
from store.database import Database
from store.models import Job, Step

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
        The rows, in no session. Nothing is on a queue yet; what its maker does not put there, upkeep does.

    Raises:
        KeyTaken: The key is another request's by now.
        sqlalchemy.exc.IntegrityError: A job with this id, or this fingerprint, is there already.
    """
    at, written = jobs.now(), False
    made = [_row(one, at=at + timedelta(microseconds=n)) for n, one in enumerate(planned)]
    rows = _rows(made)  # before the transaction, which keeps everybody else from writing
    try:
        with database.write() as session:
            _write(session, rows, planned, key)
            written = True
        return _told(made)
    except DBAPIError:
        if not written:
            raise
        log.warning("the record did not say whether new jobs were written; asking again", job=planned[0].new.id)
    return _write_again(database, made, planned, key)


_Rows = list[tuple[type[Job | Step], list[dict[str, Any]]]]
"""Of each table, those that have the same columns: they are one statement."""


def _write(session: Session, rows: _Rows, planned: Sequence[Planned], key: HeldKey | None) -> None:
    for kind, values in rows:
        if values:
            session.execute(insert(kind), values, execution_options={"render_nulls": True})
    _end(session, [one for one in planned if one.refusal is not None])
    if key is not None and not idempotency.settle_within(session, key.key, owner=key.owner, job_id=key.job_id):
        raise KeyTaken


def _write_again(database: Database, made: list[Job], planned: Sequence[Planned], key: HeldKey | None) -> list[Job]:
    """After a COMMIT without an answer. A look would not do: what it does not see may be there a moment later."""
    try:
        with database.write() as session:
            _write(session, _rows(made), planned, key)
        return _told(made)
    except IntegrityError:  # an id is unique, so this has waited for the first try's end
        found = [job for one in planned if (job := jobs.get(database, one.new.id)) is not None]
        if len(found) < len(planned):
            raise
        return _told(found)


def _told(made: list[Job]) -> list[Job]:
    """Those of them that are over already end here like any other."""
    for job in made:
        if job.status == "failed" and job.finished_at is not None:
            endings.tell(job, job.finished_at)
    return made


def _row(planned: Planned, *, at: datetime) -> Job:
    """The row of a job with its steps, over already if it is refused: as ``jobs.fail`` would leave it."""
    job = jobs.unwritten(planned.new, each=planned.each, at=at)
    if planned.refusal is not None:
        job.status, job.finished_at = "failed", at
        job.error = {"code": planned.refusal.code, "detail": planned.refusal.detail, "stage": None}
        for step in job.steps:
            step.status, step.finished_at = "cancelled", at
    return job


def _rows(made: Sequence[Job]) -> _Rows:
    rows: _Rows = []
    for same in ([job for job in made if job.status == "failed"], [job for job in made if job.status != "failed"]):
        rows.append((Job, [_values(job) for job in same]))
        rows.append((Step, [{**_values(step), "job_id": job.id} for job in same for step in job.steps]))
    return rows


def _values(record: Job | Step) -> dict[str, Any]:
    """What is set of a row that is in no session."""
    return {column.key: vars(record)[column.key] for column in record.__table__.columns if column.key in vars(record)}


def _end(session: Session, refused: Sequence[Planned]) -> None:
    """What goes with the end of a job. Nothing of them was heard, so there is no usage to book."""
    with session.no_autoflush:  # the session would write what is owed at every question, one by one
        for one in refused:
            if one.new.webhook_url is not None:
                deliveries.owe(session, one.new.id, "failed")
    totals.refused(session, [(one.new.owner, one.refusal.code) for one in refused if one.refusal is not None])
