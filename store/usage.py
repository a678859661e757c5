"""What finished jobs used: booked with the end of a job, summed up for bills and quotas."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import Database
from store.models import ACTIVE, WHOLE, Job, Step, Usage

GROUPS = ("key", "day", "model")
"""What usage can be grouped by."""
_COLUMNS = {"key": Usage.owner, "day": Usage.day, "model": Usage.model}
_MODEL = 200


@dataclass(frozen=True)
class Sum:
    """The usage of one group."""

    group: tuple[str, ...]
    """Its values, in the order that was asked for."""
    audio_seconds: float
    jobs: int
    bytes: int


def book(session: Session, job_id: str, *, whole: bool = True) -> None:
    """Book a job in the transaction that ends it, once: if it is tried again, only what more was done is added.

    Args:
        session: The transaction.
        job_id: The job.
        whole: Whether it came to its end. Else the share of its chunks that were transcribed counts: their text was
            there to be read.
    """
    # Read anew: the length is often learned after the row was made.
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        return
    seconds = (job.duration or 0.0) * (1.0 if whole else _share(session, job_id))
    booked = session.get(Usage, job_id)
    if booked is not None:
        booked.audio_seconds = max(booked.audio_seconds, seconds)
        return
    if not whole and not seconds:
        return
    at = datetime.now(UTC)
    session.add(
        Usage(
            job_id=job.id,
            owner=job.owner,
            day=at.date().isoformat(),
            # Its end says more than its beginning, should it be a long path.
            model=str(job.options.get("model") or "")[-_MODEL:],
            audio_seconds=seconds,
            bytes=job.source_bytes,
            at=at,
        )
    )


def totals(
    database: Database, *, first: date, last: date, group_by: Sequence[str] = (), owner: str | None = None
) -> list[Sum]:
    """Sums by group, in the order of the groups' values; without groups a single one.

    Args:
        database: The record.
        first: First day (UTC).
        last: Last day (UTC), inclusive.
        group_by: Out of ``GROUPS``.
        owner: Only this key's; None: everybody's.
    """
    columns = [_COLUMNS[name] for name in group_by]
    figures = (func.sum(Usage.audio_seconds), func.count(), func.sum(Usage.bytes))
    query = select(*columns, *figures).where(Usage.day >= first.isoformat(), Usage.day <= last.isoformat())
    if owner is not None:
        query = query.where(Usage.owner == owner)
    with database.read() as session:
        rows = session.execute(query.group_by(*columns).order_by(*columns)).all()
    return [Sum(tuple(row[:-3]), float(row[-3] or 0), int(row[-2]), int(row[-1] or 0)) for row in rows]


def used_up(database: Database, job_id: str) -> bool:
    """Whether others used up the day's audio of the key that sent this job, whose length is known by now."""
    with database.read() as session:
        job = session.get(Job, job_id)
    if job is None or job.audio_quota is None:
        return False
    return counted_today(database, job.owner) - (job.duration or 0.0) >= job.audio_quota


def today() -> date:
    """The day it is, in UTC: usage knows no other."""
    return datetime.now(UTC).date()


def counted_today(database: Database, owner: str) -> float:
    """Seconds of audio that count against a key's quota now: booked today, and known of its jobs under way."""
    booked = select(func.sum(Usage.audio_seconds)).where(Usage.owner == owner, Usage.day == today().isoformat())
    active = select(func.sum(Job.duration)).where(Job.owner == owner, Job.status.in_(ACTIVE))
    with database.read() as session:
        return float(session.scalar(booked) or 0) + float(session.scalar(active) or 0)


def _share(session: Session, job_id: str) -> float:
    """How much of a job's chunks was done."""
    chunks = select(func.count()).select_from(Step).where(Step.job_id == job_id, Step.item != WHOLE)
    return (session.scalar(chunks.where(Step.status == "done")) or 0) / (session.scalar(chunks) or 1)


def until_tomorrow() -> float:
    """Seconds until the next day (UTC) begins."""
    at = datetime.now(UTC)
    return (datetime.combine(at.date() + timedelta(days=1), time(), UTC) - at).total_seconds()
