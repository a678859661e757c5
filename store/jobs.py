"""Records of jobs: made, looked up, moved from one status to the next, deleted."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, text, true, update
from sqlalchemy.orm import Session, selectinload

from store import deliveries, endings, totals
from store.cursors import cursor_at, read_cursor
from store.database import Database, changed
from store.models import ACTIVE, OVER, WHOLE, Job, Step
from store.times import now as now  # for the other records
from store.usage import book

PRIORITIES = {"high": 0, "normal": 3, "low": 6}
"""The client's word and the broker's number (0 is served first)."""
_FACTS = {
    "duration": "duration",
    "format": "source_format",
    "name": "source_name",
    "bytes": "source_bytes",
    "sha256": "source_sha256",
    "language": "language",
    "warnings": "warnings",
}
"""What stages call it and the column it is kept in."""


@dataclass(frozen=True)
class NewJob:
    """What is known of a job when it is accepted."""

    id: str
    owner: str
    options: dict[str, Any]
    stages: Sequence[str]
    source_name: str
    source_bytes: int
    source_sha256: str
    priority: str = "normal"
    batch: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    webhook_url: str | None = None
    fingerprint: str | None = None
    audio_quota: float | None = None


def new_id() -> str:
    """An id nobody can guess."""
    return uuid.uuid4().hex


def create(database: Database, new: NewJob, *, each: Sequence[str] = ()) -> Job:
    """Write the row and its steps, before anything is put on a queue.

    Args:
        database: The record.
        new: The job.
        each: Those of its stages that run once per chunk: how many that is, is not known yet.
    """
    job = unwritten(new, each=each, at=now())
    with database.write() as session:
        session.add(job)
    return job


def unwritten(new: NewJob, *, each: Sequence[str], at: datetime) -> Job:
    """The row of a job and its steps, for the caller's transaction (``store.acceptance``)."""
    job = Job(
        **{k: v for k, v in vars(new).items() if k != "stages"},
        stages=list(new.stages),
        status="queued",
        warnings=[],
        speaker_names={},
        created_at=at,
        submitted_at=at,
    )
    job.steps = [
        Step(stage=name, item=WHOLE, position=n, status="pending", attempts=0, total=None if name in each else 1)
        for n, name in enumerate(new.stages)
    ]
    return job


def get(database: Database, job_id: str) -> Job | None:
    """A job with its steps, as it is now."""
    with database.read() as session:
        return session.scalar(select(Job).where(Job.id == job_id).options(selectinload(Job.steps)))


def status(database: Database, job_id: str) -> str | None:
    """Just the status; None if there is no such job (any more)."""
    with database.read() as session:
        return session.scalar(select(Job.status).where(Job.id == job_id))


def in_flight(database: Database, *, owner: str, fingerprint: str, since: datetime) -> str | None:
    """Id of the owner's job of that fingerprint that is not over, or was done after ``since``; None: there is none."""
    same = and_(Job.owner == owner, Job.fingerprint == fingerprint)
    # Literally as in the index jobs_in_flight, or SQLite would not use it.
    active = text("status IN ('queued', 'running')")
    ended = and_(Job.status == "done", Job.finished_at >= since)
    with database.read() as session:
        found = session.scalar(select(Job.id).where(same, active))
        return found or session.scalar(select(Job.id).where(same, ended).order_by(Job.finished_at.desc()).limit(1))


def shares(database: Database, *, owner: str) -> bool:
    """Whether the owner has a job under way that identical requests share."""
    # Literally as in the index jobs_in_flight, as above.
    active = text("status IN ('queued', 'running')")
    with database.read() as session:
        query = select(Job.id).where(Job.owner == owner, Job.fingerprint.is_not(None), active)
        return session.scalar(query.limit(1)) is not None


def page(
    database: Database,
    *,
    owner: str | None = None,
    status: str | None = None,
    batch: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Job], str | None]:
    """Jobs, newest first, and the cursor of the next page if there is one.

    Args:
        database: The record.
        owner: Only this key's; None: everybody's.
        status: Only those in this status.
        batch: Only those of this batch.
        limit: Jobs on the page.
        cursor: Where the page before ended.

    Raises:
        ValueError: Not a cursor of ours.
    """
    query = select(Job).options(selectinload(Job.steps)).order_by(Job.created_at.desc(), Job.id.desc())
    for column, value in ((Job.owner, owner), (Job.status, status), (Job.batch, batch)):
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        at, job_id = read_cursor(cursor)
        query = query.where(or_(Job.created_at < at, and_(Job.created_at == at, Job.id < job_id)))
    with database.read() as session:
        found = list(session.scalars(query.limit(limit + 1)))
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursor_at(last.created_at, last.id)


def describe(database: Database, job_id: str, facts: Mapping[str, Any]) -> None:
    """Note what a stage found out; facts that the record has no place for are left out.

    Args:
        database: The record.
        job_id: The job.
        facts: Out of ``duration format name bytes sha256 language warnings``.
    """
    values = {column: facts[name] for name, column in _FACTS.items() if name in facts}
    if values:
        with database.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(values))


def finish(database: Database, job_id: str) -> bool:
    """Active → done, if every step is; whether this call did it.

    One that was cancelled when all was done, and tried again, is still queued.
    """
    undone = select(Step.stage).where(Step.job_id == job_id, Step.status != "done").exists()
    at = now()
    times = {"started_at": func.coalesce(Job.started_at, at), "finished_at": at}
    with database.write() as session:
        won = _move(session, job_id, ACTIVE, ~undone, status="done", **times)
        if won:
            book(session, job_id)
            totals.ended(session, job_id, "done")
    return won and endings.note(database, job_id)


def fail(
    database: Database, job_id: str, *, code: str, detail: str, stage: str | None, claim: str | None = None
) -> bool:
    """Active → failed with a reason; only the first reason counts.

    Args:
        database: The record.
        job_id: The job.
        code: Stable, machine readable.
        detail: One sentence for a person.
        stage: Where it failed.
        claim: The run that failed; nothing happens if its work is somebody else's by now. None: nobody's run.

    Returns:
        Whether this call did it.
    """
    owned = select(Step.stage).where(Step.job_id == job_id, Step.claim == claim).exists() if claim else true()
    with database.write() as session:
        won = fail_within(session, job_id, owned, code=code, detail=detail, stage=stage)
    return won and endings.note(database, job_id)


def fail_within(
    session: Session, job_id: str, *conditions: ColumnElement[bool], code: str, detail: str, stage: str | None
) -> bool:
    """``fail`` as a part of the caller's transaction."""
    error = {"code": code, "detail": detail, "stage": stage}
    won = _move(session, job_id, ACTIVE, *conditions, status="failed", error=error, finished_at=now())
    if won:
        _close_steps(session, job_id, failed=stage)
        book(session, job_id, whole=False)
        totals.ended(session, job_id, "failed")
    return won


def cancel(database: Database, job_id: str, *, abandoned: bool = False) -> bool:
    """Active → cancelled; whether this call did it. Running work sees it and stops.

    Args:
        database: The record.
        job_id: The job.
        abandoned: Only because nobody waits for it any more: one that somebody took up by hand (``retry``) stays.
    """
    unclaimed = Job.fingerprint.is_not(None) if abandoned else true()
    with database.write() as session:
        won = _move(session, job_id, ACTIVE, unclaimed, status="cancelled", finished_at=now())
        if won:
            _close_steps(session, job_id, failed=None)
            book(session, job_id, whole=False)
            totals.ended(session, job_id, "cancelled")
    return won and endings.note(database, job_id)


def retry(database: Database, job_id: str, *, anew: Collection[str] = (), request_id: str | None = None) -> bool:
    """Failed or cancelled → queued, what is done stays done; whether this call did it. The caller submits it.

    Args:
        database: The record.
        job_id: The job.
        anew: Stages whose files are not kept any more: they are not done.
        request_id: Of the request that asks for it: what is done from now on is done for that one.
    """
    undone = and_(Step.job_id == job_id, or_(Step.status != "done", Step.stage.in_(anew)))
    fresh = {"status": "pending", "attempts": 0, "claim": None, "task_id": None, "sent_at": None, "started_at": None}
    with database.write() as session:
        # Without a fingerprint: another job that was asked for the same may be under way by now.
        values = {"status": "queued", "error": None, "started_at": None, "finished_at": None, "fingerprint": None}
        values |= {"request_id": request_id} if request_id is not None else {}
        won = _move(session, job_id, ("failed", "cancelled"), submitted_at=now(), **values)
        if won:
            session.execute(update(Step).where(undone).values(alive_at=None, finished_at=None, **fresh))
        return won


def rename_speakers(database: Database, job_id: str, names: Mapping[str, str | None]) -> dict[str, Any] | None:
    """Change how some speakers of a finished job are called; None gives one the usual name back.

    Returns:
        All names that were given; None if there is no such job that is done.
    """
    with database.write() as session:
        job = session.get(Job, job_id, with_for_update=True)
        if job is None or job.status != "done":
            return None
        kept = {**job.speaker_names, **names}
        job.speaker_names = {speaker: name for speaker, name in kept.items() if name is not None}
        return job.speaker_names


def delete_record(database: Database, job_id: str) -> bool:
    """Delete a job's row and steps; whether there was one."""
    with database.write() as session:
        return changed(session, delete(Job).where(Job.id == job_id))


def _move(session: Session, job_id: str, old: Sequence[str], *conditions: Any, **values: Any) -> bool:
    # Whatever turn it had, or waited for, another job's it is now.
    turn = {"lane": None, "admitted_at": None}
    query = update(Job).where(Job.id == job_id, Job.status.in_(old), *conditions).values(**turn, **values)
    won = changed(session, query)
    if won and values.get("status") in OVER:
        deliveries.owe(session, job_id, values["status"])
    return won


def _close_steps(session: Session, job_id: str, *, failed: str | None) -> None:
    open_steps = and_(Step.job_id == job_id, Step.status.in_(("pending", "running")))
    if failed is not None:
        session.execute(
            update(Step)
            .where(open_steps, Step.stage == failed, or_(Step.status == "running", Step.item == WHOLE))
            .values(status="failed", finished_at=now())
        )
    session.execute(update(Step).where(open_steps).values(status="cancelled", finished_at=now()))
