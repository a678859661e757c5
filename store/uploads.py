"""Records of the uploads that come in pieces: begun, written to by one request at a time, taken by a job, forgotten."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Float, and_, case, cast, delete, func, or_, select, union, update

from store.database import Database, changed
from store.idempotency import KEPT_HOURS
from store.jobs import new_id, now
from store.models import Job, ResumableUpload

IDLE_SECONDS = 4.0
"""A request that wrote nothing for this long loses the upload to the next: its client has come back."""
TAKING_SECONDS = 120.0
"""A request that took an upload and has made no job of it by then died; the upload is free again."""
GRACE_SECONDS = 600.0
"""How long after its expiry an upload is left alone, for requests that found it a moment before."""


@dataclass(frozen=True)
class NewUpload:
    """What is known of an upload when it begins."""

    owner: str
    name: str
    details: str
    length: int | None


@dataclass(frozen=True)
class Pending:
    """What is unfinished."""

    uploads: int
    bytes: int
    """Of all of them, when they will be finished."""


def create(database: Database, new: NewUpload, *, hours: float) -> ResumableUpload:
    """Begin an upload: nothing of it is there yet.

    Args:
        database: The record.
        new: The upload.
        hours: How long it is kept after the last that came of it.
    """
    at = now()
    upload = ResumableUpload(
        id=new_id(), **vars(new), offset=0, parts=[], created_at=at, expires_at=at + timedelta(hours=hours)
    )
    with database.write() as session:
        session.add(upload)
    return upload


def get(database: Database, upload_id: str) -> ResumableUpload | None:
    """An upload as it is now."""
    with database.read() as session:
        return session.get(ResumableUpload, upload_id)


def known(database: Database, ids: Collection[str]) -> set[str]:
    """Which of some ids, at most a few hundred, belong to an upload or a job."""
    theirs = (select(kind.id).where(kind.id.in_(ids)) for kind in (Job, ResumableUpload))
    with database.read() as session:
        return set(session.scalars(union(*theirs)))


def pending(database: Database, owner: str, *, largest: int) -> Pending:
    """What an owner has begun and not finished.

    Args:
        database: The record.
        owner: Whose uploads.
        largest: Bytes that an upload without a length may come to have.
    """
    # As a float: a database's whole numbers end where a few absurd lengths are added up.
    size = func.sum(cast(func.coalesce(ResumableUpload.length, largest), Float))
    with database.read() as session:
        count, total = session.execute(
            select(func.count(), size).where(_unfinished(), ResumableUpload.owner == owner)
        ).one()
    return Pending(count, int(total or 0))


def missing(database: Database) -> int:
    """Bytes that are announced, whoever did it, and have not come yet."""
    left = func.sum(cast(ResumableUpload.length - ResumableUpload.offset, Float))
    with database.read() as session:
        return int(session.scalar(select(left).where(_unfinished())) or 0)


def lock(database: Database, upload_id: str, *, claim: str, hours: float) -> bool:
    """Become the only one who writes to it, which also puts its expiry off; False: another does, or it is finished.

    Args:
        database: The record.
        upload_id: The upload.
        claim: A name of one's own, for the calls below.
        hours: How long it is kept from now on.
    """
    at = now()
    expires = at + timedelta(hours=hours)
    where = and_(_free(upload_id), ResumableUpload.sha256.is_(None))
    return _change(database, where, lock=claim, locked_at=at, expires_at=expires)


def renew(database: Database, upload_id: str, *, claim: str) -> bool:
    """Say that one still writes to it; False: it is not one's own any more."""
    return _change(database, _held(upload_id, claim), locked_at=now())


def holds(database: Database, upload_id: str, *, claim: str) -> bool:
    """Whether it is still one's own."""
    with database.read() as session:
        return session.scalar(select(ResumableUpload.id).where(_held(upload_id, claim))) is not None


def advance(database: Database, upload_id: str, *, claim: str, offset: int, parts: list[str], hours: float) -> bool:
    """Note how much is there; False: it is not one's own any more, and nothing was noted."""
    at = now()
    values = {"offset": offset, "parts": parts, "locked_at": at, "expires_at": at + timedelta(hours=hours)}
    return _change(database, _held(upload_id, claim), **values)


def declare(database: Database, upload_id: str, *, claim: str, length: int) -> bool:
    """Note the length of an upload that began without one; False: it has one, or is not one's own any more."""
    return _change(database, and_(_held(upload_id, claim), ResumableUpload.length.is_(None)), length=length)


def complete(database: Database, upload_id: str, *, claim: str, sha256: str, hours: float) -> bool:
    """Note that all of it is there, as one file; False: it is not one's own any more."""
    at = now()
    values = {"offset": ResumableUpload.length, "parts": [], "sha256": sha256, "locked_at": at}
    return _change(database, _held(upload_id, claim), expires_at=at + timedelta(hours=hours), **values)


def unlock(database: Database, upload_id: str, *, claim: str) -> None:
    """Let the next write to it."""
    _change(database, _held(upload_id, claim), lock=None, locked_at=None)


def abandon(database: Database, upload_id: str) -> bool:
    """Let it expire at once, so that nobody can write to it or take it; False: somebody does just now, or did."""
    return _change(database, _free(upload_id), lock=None, locked_at=None, expires_at=datetime.fromtimestamp(0, UTC))


def take(database: Database, upload_id: str) -> bool:
    """Take a finished upload for a job that will have its id; False: another job has or is being given it."""
    at = now()
    made = select(Job.id).where(Job.id == ResumableUpload.id).exists()
    died = and_(ResumableUpload.taken_at < at - timedelta(seconds=TAKING_SECONDS), ~made)
    free = or_(ResumableUpload.taken_at.is_(None), died)
    there = and_(ResumableUpload.sha256.is_not(None), ResumableUpload.expires_at > at)
    # Kept for as long as the request may come again with its Idempotency-Key, which must find it.
    least = at + timedelta(hours=KEPT_HOURS + 1)
    expires = case((ResumableUpload.expires_at < least, least), else_=ResumableUpload.expires_at)
    return _change(database, and_(ResumableUpload.id == upload_id, there, free), taken_at=at, expires_at=expires)


def release(database: Database, upload_id: str) -> None:
    """Free a taken upload of which no job was made after all."""
    made = select(Job.id).where(Job.id == ResumableUpload.id).exists()
    _change(database, and_(ResumableUpload.id == upload_id, ~made), taken_at=None)


def forget(database: Database, upload_id: str) -> None:
    """Delete the record; harmless if there is none."""
    with database.write() as session:
        session.execute(delete(ResumableUpload).where(ResumableUpload.id == upload_id))


def expired(database: Database) -> list[str]:
    """Ids of the uploads whose time is over, those that jobs took among them."""
    before = now() - timedelta(seconds=GRACE_SECONDS)
    with database.read() as session:
        return list(session.scalars(select(ResumableUpload.id).where(ResumableUpload.expires_at < before)))


def _unfinished() -> ColumnElement[bool]:
    return and_(ResumableUpload.sha256.is_(None), ResumableUpload.expires_at > now())


def _free(upload_id: str) -> ColumnElement[bool]:
    at = now()
    idle = ResumableUpload.locked_at < at - timedelta(seconds=IDLE_SECONDS)
    unclaimed = and_(ResumableUpload.taken_at.is_(None), ResumableUpload.expires_at > at)
    return and_(ResumableUpload.id == upload_id, unclaimed, or_(ResumableUpload.lock.is_(None), idle))


def _held(upload_id: str, claim: str) -> ColumnElement[bool]:
    return and_(ResumableUpload.id == upload_id, ResumableUpload.lock == claim)


def _change(database: Database, where: ColumnElement[bool], **values: object) -> bool:
    with database.write() as session:
        return changed(session, update(ResumableUpload).where(where).values(**values))
