"""Records of the keys by which clients say that a request is the same one again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from store.database import Database, changed
from store.jobs import now
from store.models import IdempotencyKey, Job

KEPT_HOURS = 24.0
"""After this a key is forgotten and may be used anew."""
STUCK_SECONDS = 20.0
"""A request that has not made its jobs by then died (they are made right after the key is taken); the next with its key
takes its place. Should it live, it learns when it settles that the key is not its own any more, and makes nothing."""
_TRIES = 3


def claim(
    database: Database, key: str, *, owner: str, fingerprint: str, job_id: str, batch: str | None, jobs: int
) -> IdempotencyKey | None:
    """Take a key for a request whose jobs are about to be made.

    Args:
        database: The record.
        key: The client's word.
        owner: Whose keys it is among.
        fingerprint: Hash of what is asked for.
        job_id: The first of the jobs to be.
        batch: Their batch, if they are one.
        jobs: How many.

    Returns:
        None: it is yours; settle it with its jobs (``store.acceptance``) or ``release`` it. Else the record of the
        request that has it.
    """
    values = {"fingerprint": fingerprint, "job_id": job_id, "batch": batch, "jobs": jobs, "settled": False}
    for _ in range(_TRIES):
        try:
            with database.write() as session:
                session.add(IdempotencyKey(owner=owner, key=key, created_at=now(), **values))
        except IntegrityError:
            with database.write() as session:
                found = session.get(IdempotencyKey, (owner, key))
                if found is not None and not _is_void(session, found):
                    return found
                # Released, expired or taken by another just now: once more.
                if found is None or not _take_over(session, found, values):
                    continue
        return None
    # Others take and release it again and again: it is theirs.
    return IdempotencyKey(owner=owner, key=key, created_at=now(), **values)


def _take_over(session: Session, found: IdempotencyKey, values: Mapping[str, Any]) -> bool:
    """Have a void key, if it still is as it was read: the one that has it may be settling it just now."""
    as_read = and_(
        _mine(found.key, found.owner, found.job_id),
        IdempotencyKey.created_at == found.created_at,
        IdempotencyKey.settled.is_(found.settled),
    )
    return changed(session, update(IdempotencyKey).where(as_read).values(created_at=now(), **values))


def is_pending(database: Database, key: str, *, owner: str, job_id: str) -> bool:
    """Whether the request that took the key for this job still has it and is still at making its jobs."""
    with database.read() as session:
        query = select(IdempotencyKey.created_at).where(_mine(key, owner, job_id), IdempotencyKey.settled.is_(False))
        since = session.scalar(query)
    return since is not None and now() - since < timedelta(seconds=STUCK_SECONDS)


def settle_within(session: Session, key: str, *, owner: str, job_id: str) -> bool:
    """Note that the jobs of a key are made, in the transaction that makes them; False: the key is not theirs."""
    return changed(session, update(IdempotencyKey).where(_mine(key, owner, job_id)).values(settled=True))


def release(database: Database, key: str, *, owner: str, job_id: str) -> None:
    """Give a key back that nothing came of; one that was settled, whoever thinks it was not, stays."""
    with database.write() as session:
        session.execute(delete(IdempotencyKey).where(_mine(key, owner, job_id), IdempotencyKey.settled.is_(False)))


def forget(database: Database, key: str, *, owner: str, job_id: str) -> None:
    """Free a key whose job is nothing that anybody wants to have again."""
    with database.write() as session:
        session.execute(delete(IdempotencyKey).where(_mine(key, owner, job_id)))


def expire(database: Database) -> None:
    """Forget the keys that are older than ``KEPT_HOURS``."""
    with database.write() as session:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - timedelta(hours=KEPT_HOURS)))


def made(database: Database, key: IdempotencyKey) -> list[Job]:
    """The jobs of a key that are still there, in the order of their recordings."""
    with database.read() as session:
        query = select(Job).where(_jobs_of(key)).options(selectinload(Job.steps))
        return list(session.scalars(query.order_by(Job.created_at, Job.id)))


def _is_void(session: Session, key: IdempotencyKey) -> bool:
    """Whether a key may be taken from the request that has it."""
    age = now() - key.created_at
    if age > timedelta(hours=KEPT_HOURS):
        return True
    if key.settled or age < timedelta(seconds=STUCK_SECONDS):
        return False
    # It died. Jobs that are there all the same were made by a version that did not settle the key with them.
    key.settled = session.scalar(select(func.count()).select_from(Job).where(_jobs_of(key))) == key.jobs
    return not key.settled


def _jobs_of(key: IdempotencyKey) -> ColumnElement[bool]:
    return Job.id == key.job_id if key.batch is None else Job.batch == key.batch


def _mine(key: str, owner: str, job_id: str) -> ColumnElement[bool]:
    return and_(IdempotencyKey.owner == owner, IdempotencyKey.key == key, IdempotencyKey.job_id == job_id)
