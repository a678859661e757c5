"""Turns: how many jobs of one account may be under way at the same time, so that none keeps all others waiting.

A job stands in line at one of two lanes: for ``net``, if it begins with waiting for other people's servers, then for
``work``, which is everything else. What waits has nothing on any queue. A turn ends with the job, or in the other lane.
"""

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from store.database import Database, changed
from store.jobs import PRIORITIES, now
from store.models import ACTIVE, Job

NET = "net"
"""Its places are an account's, whatever the priority."""
WORK = "work"
"""Its places are an account's for each priority: what somebody waits for need not wait for the account's batch."""


def ask(database: Database, job_id: str, lane: str, *, limits: Mapping[str, int]) -> list[str]:
    """Let a job stand in line, if it does not yet, and give out all turns of its account that are free.

    Args:
        database: The record.
        job_id: The job.
        lane: For what.
        limits: How many turns of each lane there are.

    Returns:
        Ids of the jobs that have got a turn just now: the caller queues them. A job that is not among them waits, or
        has had its turn before.
    """
    with database.write() as session:
        job = session.execute(select(Job.owner, Job.priority).where(Job.id == job_id)).one_or_none()
        if job is None:
            return []
        _hold(session, job.owner)
        # Never back from work to net: what waits for servers later on does so within the job's turn.
        elsewhere = Job.lane.is_(None) if lane == NET else or_(Job.lane.is_(None), Job.lane == NET)
        stand = update(Job).where(Job.id == job_id, Job.status.in_(ACTIVE), elsewhere)
        changed(session, stand.values(lane=lane, admitted_at=None))
        return _give(session, job.owner, job.priority, limits)


def give(database: Database, owner: str, priority: str, *, limits: Mapping[str, int]) -> list[str]:
    """Give out the turns of an account that are free; ids of the jobs that have got one: the caller queues them."""
    with database.write() as session:
        _hold(session, owner)
        return _give(session, owner, priority, limits)


def give_back(database: Database, job_ids: Sequence[str]) -> None:
    """Let jobs wait again that have got a turn just now but could not be queued."""
    with database.write() as session:
        query = update(Job).where(Job.id.in_(job_ids), Job.lane.is_not(None)).values(admitted_at=None)
        session.execute(query, execution_options={"synchronize_session": False})


def lines(database: Database) -> list[tuple[str, str]]:
    """Owner and priority of jobs that wait for their turn, each pair once."""
    with database.read() as session:
        found = select(Job.owner, Job.priority).where(waits()).distinct()
        return [(owner, priority) for owner, priority in session.execute(found)]


def account_of(database: Database, job_id: str) -> tuple[str, str] | None:
    """Owner and priority of a job; None if there is no such job (any more)."""
    with database.read() as session:
        found = session.execute(select(Job.owner, Job.priority).where(Job.id == job_id)).one_or_none()
        return (found.owner, found.priority) if found is not None else None


def waits() -> ColumnElement[bool]:
    """Whether a job waits for its turn; as in the index jobs_in_line, or SQLite would not use it."""
    return and_(Job.lane.is_not(None), Job.admitted_at.is_(None))


def _hold(session: Session, owner: str) -> None:
    """One at a time gives out the turns of an account, so that it never has more than there are."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite there is one writer anyway
        number = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def _give(session: Session, owner: str, priority: str, limits: Mapping[str, int]) -> list[str]:
    given = _admit(session, _line(owner, WORK, priority), limit=limits[WORK])
    anybody = select(Job.id).where(waits(), Job.owner == owner, Job.lane == NET).limit(1)
    if session.scalar(anybody) is not None:
        given += _admit(session, *(_line(owner, NET, one) for one in PRIORITIES), limit=limits[NET])
    return given


def _line(owner: str, lane: str, priority: str) -> ColumnElement[bool]:
    return and_(Job.owner == owner, Job.lane == lane, Job.priority == priority)


def _admit(session: Session, *lines: ColumnElement[bool], limit: int) -> list[str]:
    """Give turns to those who wait longest, the first line first. No look at how many wait, which may be very many."""
    first = (select(Job.id).where(line, waits()).order_by(Job.created_at).limit(limit) for line in lines)
    waiting = [job_id for query in first for job_id in session.scalars(query)]
    if not waiting:
        return []
    has_turn = and_(Job.lane.is_not(None), Job.admitted_at.is_not(None))
    taken = session.scalar(select(func.count()).select_from(Job).where(or_(*lines), has_turn))
    free = max(0, limit - (taken or 0))
    at = now()
    turn = update(Job).values(admitted_at=at, submitted_at=at)
    return [job_id for job_id in waiting[:free] if changed(session, turn.where(Job.id == job_id, waits()))]
