"""Jobs that somebody should look after: they stand still, or have been over for long."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, select, update

from store.database import Database
from store.jobs import now
from store.models import ACTIVE, OVER, WHOLE, Job, Step
from store.turns import waits


def submitted(database: Database, job_id: str) -> None:
    """Note that work of a job was put on a queue now."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(submitted_at=now()))


def stands(database: Database, job_id: str) -> None:
    """Note that nothing of a job is queued although something should be: the next upkeep queues it."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(submitted_at=datetime.fromtimestamp(0, UTC)))


def unsent(database: Database, *, seconds: float) -> list[str]:
    """Ids of the jobs of which nothing was ever sent, written this long ago: whoever was to do it died or could not."""
    with database.read() as session:
        before = now() - timedelta(seconds=seconds)
        query = select(Job.id).where(Job.status.in_(ACTIVE), Job.lane.is_(None), Job.submitted_at < before)
        return list(session.scalars(query.order_by(Job.created_at)))


def ended_in_vain(database: Database, *, after: float, before: float) -> list[str]:
    """Ids of the jobs that failed or were cancelled between so many and so many seconds ago."""
    at = now()
    with database.read() as session:
        since, until = at - timedelta(seconds=after), at - timedelta(seconds=before)
        over = Job.status.in_(("failed", "cancelled"))
        return list(session.scalars(select(Job.id).where(over, Job.finished_at > since, Job.finished_at < until)))


def unfinished(database: Database) -> list[str]:
    """Ids of the jobs that should have something on a queue, oldest first; those that wait for their turn have not."""
    with database.read() as session:
        query = select(Job.id).where(Job.status.in_(ACTIVE), ~waits())
        return list(session.scalars(query.order_by(Job.created_at)))


def standing(database: Database, *, seconds: float) -> list[str]:
    """Ids of such jobs that nobody works on and that were last queued this long ago, oldest first."""
    running = select(Step.job_id).where(Step.job_id == Job.id, Step.status == "running", Step.alive_at.is_not(None))
    before = now() - timedelta(seconds=seconds)
    query = select(Job.id).where(Job.status.in_(ACTIVE), ~waits(), Job.submitted_at < before, ~running.exists())
    with database.read() as session:
        return list(session.scalars(query.order_by(Job.created_at)))


def waiting_for(database: Database, stage: str) -> list[str]:
    """Ids of the jobs that have their turn and in which a whole stage has not begun, oldest first."""
    pending = and_(Step.job_id == Job.id, Step.stage == stage, Step.item == WHOLE, Step.status == "pending")
    query = select(Job.id).where(Job.status.in_(ACTIVE), ~waits(), select(Step.job_id).where(pending).exists())
    with database.read() as session:
        return list(session.scalars(query.order_by(Job.created_at)))


def expired(database: Database, *, days: float) -> list[str]:
    """Ids of the jobs that have been over for longer than this."""
    with database.read() as session:
        query = select(Job.id).where(Job.status.in_(OVER), Job.finished_at < now() - timedelta(days=days))
        return list(session.scalars(query))
