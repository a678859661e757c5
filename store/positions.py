"""How many are served before a job that is queued, and how many are queued at all."""

from collections.abc import Sequence

from sqlalchemy import TextClause, func, select, text
from sqlalchemy.orm import Session, aliased

from store.database import Database
from store.jobs import PRIORITIES
from store.models import Job


def queue_position(database: Database, job: Job) -> int | None:
    """How many queued jobs are served before this one, plus one; None if the row says that it is not queued."""
    return queue_positions(database, [job]).get(job.id)


def queue_positions(database: Database, found: Sequence[Job]) -> dict[str, int]:
    """The queue positions of those jobs whose rows say that they are queued, in two queries.

    One that is not queued any more, because its work began after the row was read, was the next: 1.

    Of one priority the accounts take turns: first come the oldest jobs of all accounts, then their second ones. So the
    position of a job depends on how many its own account has before it, and of each other account on no more than that.
    """
    queued = [job for job in found if job.status == "queued"]
    if not queued:
        return {}
    with database.read() as session:
        lines = _lines(session)
        before = _before(session, queued)
    return {job.id: _position(job, before[job.id], lines) if job.id in before else 1 for job in queued}


def queued_up_to(database: Database, most: int) -> int:
    """How many jobs are queued; no more than ``most`` are counted."""
    with database.read() as session:
        some = select(Job.status).where(_queued()).limit(most).subquery()
        return session.scalar(select(func.count()).select_from(some)) or 0


def queued_by_account(database: Database) -> dict[str, int]:
    """How many jobs of each account are queued; accounts without any are left out."""
    query = select(Job.owner, func.count()).where(_queued()).group_by(Job.owner)
    with database.read() as session:
        return {owner: count for owner, count in session.execute(query)}


_Line = tuple[str, str, int, str]
"""Priority, owner, how many jobs, when the oldest was made."""


def _position(job: Job, before: int, lines: Sequence[_Line]) -> int:
    first = {name for name, n in PRIORITIES.items() if n < PRIORITIES[job.priority]}
    same = {owner: (count, oldest) for priority, owner, count, oldest in lines if priority == job.priority}
    mine = same.get(job.owner, (0, ""))[1]
    higher = sum(count for priority, _, count, _ in lines if priority in first)
    # Where two accounts have as many jobs before, the one goes first whose oldest job is older.
    others = sum(
        min(count, before + ((oldest, owner) < (mine, job.owner)))
        for owner, (count, oldest) in same.items()
        if owner != job.owner
    )
    return higher + others + before + 1


def _lines(session: Session) -> list[_Line]:
    oldest = func.min(Job.created_at)
    query = select(Job.priority, Job.owner, func.count(), oldest).where(_queued()).group_by(Job.owner, Job.priority)
    return [(priority, owner, count, at.isoformat()) for priority, owner, count, at in session.execute(query)]


def _before(session: Session, queued: Sequence[Job]) -> dict[str, int]:
    """How many of the same account and priority are before each."""
    earlier = aliased(Job, name="earlier")
    same = (earlier.owner == Job.owner, earlier.priority == Job.priority, earlier.created_at < Job.created_at)
    # Counted in the index alone, as below.
    count = select(func.count()).select_from(earlier).where(text("earlier.status = 'queued'"), *same).scalar_subquery()
    query = select(Job.id, count).where(Job.id.in_([job.id for job in queued]), Job.status == "queued")
    return {job_id: before for job_id, before in session.execute(query)}


def _queued() -> TextClause:
    # Literally as in the index jobs_queued, or SQLite would not use it.
    return text("status = 'queued'")
