"""Records of the pieces of a job's work: who runs which, how often it was started, which are done."""

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import CursorResult, and_, func, or_, select, update
from sqlalchemy.orm import Session

from store.database import Database
from store.jobs import now
from store.models import ACTIVE, WHOLE, Job, Step


class Begin(Enum):
    """What a worker that was handed a piece of work should do."""

    RUN = "run"
    """It is yours."""
    DONE = "done"
    """Somebody finished it before: see that the job goes on."""
    TAKEN = "taken"
    """Somebody else is at it."""
    OVER = "over"
    """The job is over, or gone."""
    EXHAUSTED = "exhausted"
    """It was started too often without coming to an end."""


def begin(
    database: Database,
    job_id: str,
    stage: str,
    item: int,
    *,
    task_id: str,
    worker: str,
    max_attempts: int,
    stale_seconds: float,
) -> Begin:
    """Claim a piece of work.

    Pending work is anybody's. Running work is taken over once it has shown no sign of life for ``stale_seconds``.
    """
    at = now()
    stale = at - timedelta(seconds=stale_seconds)
    here = and_(Step.job_id == job_id, Step.stage == stage, Step.item == item)
    active = select(Job.id).where(Job.id == job_id, Job.status.in_(ACTIVE)).exists()
    free = or_(Step.status == "pending", and_(Step.status == "running", Step.alive_at < stale))
    with database.write() as session:
        claim = update(Step).where(here, free, active, Step.attempts < max_attempts)
        values = {"status": "running", "attempts": Step.attempts + 1, "task_id": task_id, "worker": worker}
        times = {"started_at": func.coalesce(Step.started_at, at), "alive_at": at}
        if _count(session.execute(claim.values(**values, **times).execution_options(synchronize_session=False))):
            _mark_started(session, job_id, stage, at)
            return Begin.RUN
        if not session.scalar(select(active)):
            return Begin.OVER
        step = session.execute(select(Step.status, Step.attempts, Step.alive_at).where(here)).one_or_none()
    if step is None:
        return Begin.OVER
    if step.status == "done":
        return Begin.DONE
    # Nobody is at it and it could not be claimed: the attempts are used up.
    return Begin.EXHAUSTED if step.status == "pending" or step.alive_at < stale else Begin.TAKEN


def _mark_started(session: Session, job_id: str, stage: str, at: datetime) -> None:
    """With its first piece of work the job runs, and with its first chunk the stage."""
    job = update(Job).where(Job.id == job_id, Job.status == "queued").values(status="running", started_at=at)
    whole = and_(Step.job_id == job_id, Step.stage == stage, Step.item == WHOLE, Step.status == "pending")
    session.execute(job)
    session.execute(update(Step).where(whole).values(status="running", started_at=at, alive_at=at))


def alive(database: Database, job_id: str, stage: str, item: int, *, task_id: str) -> bool:
    """Give a sign of life; whether the work is still wanted and still ours."""
    active = select(Job.id).where(Job.id == job_id, Job.status.in_(ACTIVE)).exists()
    mine = and_(Step.job_id == job_id, Step.stage == stage, Step.item == item, Step.task_id == task_id)
    with database.write() as session:
        return bool(_count(session.execute(update(Step).where(mine, active).values(alive_at=now()))))


def release(database: Database, job_id: str, stage: str, item: int, *, task_id: str) -> None:
    """Running → pending: it will be tried again."""
    mine = and_(Step.job_id == job_id, Step.stage == stage, Step.item == item, Step.task_id == task_id)
    with database.write() as session:
        session.execute(update(Step).where(mine, Step.status == "running").values(status="pending"))


def done(database: Database, job_id: str, stage: str, item: int, *, task_id: str) -> bool:
    """Running → done; whether this call did it. The last chunk of a stage finishes the stage."""
    at = now()
    mine = and_(Step.job_id == job_id, Step.stage == stage, Step.item == item, Step.task_id == task_id)
    with database.write() as session:
        won = _count(
            session.execute(update(Step).where(mine, Step.status == "running").values(status="done", finished_at=at))
        )
        if won and item != WHOLE:
            left = _left(job_id, stage)
            query = select(func.count()).select_from(Step).where(left)
            if not session.scalar(query):
                whole = and_(Step.job_id == job_id, Step.stage == stage, Step.item == WHOLE)
                session.execute(
                    update(Step).where(whole, Step.total.is_not(None)).values(status="done", finished_at=at)
                )
        return bool(won)


def scatter(database: Database, job_id: str, stage: str, *, count: int) -> list[int]:
    """Make the rows of a stage's chunks, once; the numbers of those that are not done. No chunks: the stage is done."""
    at = now()
    with database.write() as session:
        whole = session.get(Step, (job_id, stage, WHOLE))
        if whole is None:
            return []
        if whole.total is None:
            whole.total = count
            session.add_all(
                Step(job_id=job_id, stage=stage, item=n, position=whole.position, status="pending", attempts=0, total=1)
                for n in range(count)
            )
            if count == 0:
                whole.status, whole.started_at, whole.finished_at = "done", at, at
        session.flush()
        return list(session.scalars(select(Step.item).where(_left(job_id, stage)).order_by(Step.item)))


def finished(database: Database, job_id: str) -> set[str]:
    """Names of a job's stages that are done."""
    with database.read() as session:
        query = select(Step.stage).where(Step.job_id == job_id, Step.item == WHOLE, Step.status == "done")
        return set(session.scalars(query))


def stale(database: Database, *, seconds: float) -> list[str]:
    """Ids of active jobs with running work that has shown no sign of life for this long; that work is freed."""
    before = now() - timedelta(seconds=seconds)
    dead = and_(Step.status == "running", Step.alive_at < before, or_(Step.item != WHOLE, Step.total == 1))
    active = select(Job.id).where(Job.status.in_(ACTIVE))
    with database.write() as session:
        found = list(session.scalars(select(Step.job_id).where(dead, Step.job_id.in_(active)).distinct()))
        session.execute(
            update(Step).where(dead, Step.job_id.in_(found)).values(status="pending"),
            execution_options={"synchronize_session": False},
        )
    return found


def _left(job_id: str, stage: str) -> Any:
    return and_(Step.job_id == job_id, Step.stage == stage, Step.item != WHOLE, Step.status != "done")


def _count(result: Any) -> int:
    assert isinstance(result, CursorResult)  # noqa: S101  # for the type checker: every UPDATE gives one
    return result.rowcount


def is_mine(database: Database, job_id: str, stage: str, item: int, task_id: str) -> bool:
    """Whether the message that runs a step is this one."""
    with database.read() as session:
        here = and_(Step.job_id == job_id, Step.stage == stage, Step.item == item)
        return session.scalar(select(Step.task_id).where(here)) == task_id
