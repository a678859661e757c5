"""Turns: how many jobs of one account may be under way at the same time, so that none keeps all others waiting.

A job stands in line at a lane: at ``net``, if it begins with waiting for other people's servers; at ``prepare``, if it
is large; at ``work`` in the end. What waits has nothing on any queue. A turn ends with the job, or in the next lane;
but a turn to be prepared is one to be worked on as well, so that what is prepared need not wait again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.orm import Session

from store import totals
from store.database import Database, changed, hold
from store.jobs import PRIORITIES, now
from store.models import ACTIVE, Job

NET = "net"
"""Its places are an account's, whatever the priority."""
WORK = "work"
"""Its places are an account's for each priority: what somebody waits for need not wait for the account's batch."""


PREPARE = "prepare"
"""Its places are an account's, whatever the priority: fewer than there are processes for it."""
_BEFORE: dict[str, tuple[str, ...]] = {NET: (), PREPARE: (NET,), WORK: (NET, PREPARE)}
"""Where a job may come from. There is no way back: what waits for servers later on does so within its turn."""


class _Place(NamedTuple):
    """A job in line; they sort by when they were made."""

    made: datetime
    job_id: str
    lane: str
    priority: str
    since: datetime
    """When it was made, tried again, or left the lane before this one."""


@dataclass(frozen=True)
class Line:
    """The jobs of one priority that wait for their turns, of all accounts."""

    priority: str
    jobs: int
    oldest: float
    """Seconds that a job which is the next of its account has waited, of all accounts the most."""


def ask(database: Database, job_id: str, lane: str, *, limits: Mapping[str, int]) -> list[str]:
    """Let a job stand in line, if it does not yet, and give out the turns of its account that are free.

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
        this = update(Job).where(Job.id == job_id, Job.status.in_(ACTIVE))
        prepared = and_(Job.lane == PREPARE, Job.admitted_at.is_not(None))
        kept = lane == WORK and changed(session, this.where(prepared).values(lane=WORK))
        elsewhere = or_(Job.lane.is_(None), Job.lane.in_(_BEFORE[lane]))
        since = case((Job.lane.is_(None), Job.submitted_at), else_=now())
        values = {"lane": lane, "admitted_at": None, "submitted_at": since}
        moved = kept or changed(session, this.where(elsewhere).values(values))
        # Whoever left a lane made room there, for jobs of any priority.
        given = _give(session, job.owner, PRIORITIES if moved and lane != NET else (job.priority,), limits)
        if moved and not kept:
            # What has been fetched and waits now is queued again, for all to see; it began when it began.
            changed(session, this.where(Job.status == "running", Job.lane != NET, waits()).values(status="queued"))
        _count(session, given)
        ids = [place.job_id for place in given]
        return [job_id, *ids] if kept else ids


def give(database: Database, owner: str, *, limits: Mapping[str, int]) -> list[str]:
    """Give out the turns of an account that are free; ids of the jobs that have got one: the caller queues them."""
    with database.write() as session:
        _hold(session, owner)
        anybody = select(Job.id).where(waits(), Job.owner == owner).limit(1)
        given = _give(session, owner, PRIORITIES, limits) if session.scalar(anybody) is not None else []
        _count(session, given)
        return [place.job_id for place in given]


def give_back(database: Database, job_ids: Sequence[str]) -> None:
    """Let jobs wait again that have got a turn just now but could not be queued."""
    with database.write() as session:
        query = update(Job).where(Job.id.in_(job_ids), Job.lane.is_not(None)).values(admitted_at=None)
        session.execute(query, execution_options={"synchronize_session": False})


def waiting_accounts(database: Database) -> list[str]:
    """Accounts that have jobs which wait for their turn."""
    with database.read() as session:
        return list(session.scalars(select(Job.owner).where(waits()).distinct()))


def account_of(database: Database, job_id: str) -> str | None:
    """Whose a job is; None if there is no such job (any more)."""
    with database.read() as session:
        return session.scalar(select(Job.owner).where(Job.id == job_id))


def waits() -> ColumnElement[bool]:
    """Whether a job waits for its turn; as in the index jobs_in_line, or SQLite would not use it."""
    return and_(Job.lane.is_not(None), Job.admitted_at.is_(None))


def lines(session: Session) -> list[Line]:
    """Who waits for a turn, by priority; out of the index jobs_in_line, and a row for each account."""
    own = (Job.owner, Job.lane, Job.priority)
    first = func.min(Job.created_at).label("made")
    found = select(*own, first, func.count().label("jobs")).where(waits()).group_by(*own).subquery().c
    same = and_(Job.owner == found.owner, Job.lane == found.lane, Job.priority == found.priority)
    # What is to be queued anew (`standing.stands`) has the earliest time there is: since when it waits nobody knows.
    since = case((Job.submitted_at >= Job.created_at, Job.submitted_at))
    next_one = select(since).where(same, Job.created_at == found.made, waits()).limit(1).scalar_subquery()
    query = select(found.priority, func.sum(found.jobs), func.min(next_one)).group_by(found.priority)
    at = now()
    return [
        Line(priority, int(jobs), max((at - oldest).total_seconds(), 0.0) if oldest is not None else 0.0)
        for priority, jobs, oldest in session.execute(query)
    ]


def _count(session: Session, given: Iterable[_Place]) -> None:
    """How long those waited who have got a turn; last of all, see ``store.totals``."""
    at = now()
    known = [place for place in given if place.since >= place.made]
    totals.add_all(
        session,
        [
            totals.took_turn(priority=place.priority, seconds=max((at - place.since).total_seconds(), 0.0))
            for place in known
        ],
    )


def _hold(session: Session, owner: str) -> None:
    """One at a time gives out the turns of an account, so that it never has more than there are."""
    hold(session, owner)


def _give(session: Session, owner: str, priorities: Iterable[str], limits: Mapping[str, int]) -> list[_Place]:
    given = []
    for priority in priorities:
        waiting = _first(session, owner, WORK, priority, limits[WORK])
        waiting += _first(session, owner, PREPARE, priority, limits[PREPARE])
        if waiting:
            work = limits[WORK] - _taken(session, owner, (WORK, PREPARE), priority)
            prepare = limits[PREPARE] - _taken(session, owner, (PREPARE,))
            given += _admit(session, sorted(waiting), {WORK: work, PREPARE: prepare})
    waiting = [place for one in PRIORITIES for place in _first(session, owner, NET, one, limits[NET])]
    if waiting:
        given += _admit(session, waiting, {NET: limits[NET] - _taken(session, owner, (NET,))})
    return given


def _first(session: Session, owner: str, lane: str, priority: str, limit: int) -> list[_Place]:
    """Those who have waited longest. No look at how many wait, which may be very many."""
    line = and_(Job.owner == owner, Job.lane == lane, Job.priority == priority)
    query = select(Job.created_at, Job.id, Job.submitted_at).where(line, waits())
    found = session.execute(query.order_by(Job.created_at).limit(limit))
    return [_Place(made, job_id, lane, priority, since) for made, job_id, since in found]


def _taken(session: Session, owner: str, lanes: Sequence[str], priority: str | None = None) -> int:
    query = select(func.count()).select_from(Job).where(Job.owner == owner, Job.lane.in_(lanes))
    query = query.where(Job.lane.is_not(None), Job.admitted_at.is_not(None))
    return session.scalar(query.where(Job.priority == priority) if priority is not None else query) or 0


def _admit(session: Session, waiting: Iterable[_Place], free: dict[str, int]) -> list[_Place]:
    """Give turns as far as there are any; one to be prepared is one to be worked on as well."""
    at = now()
    turn = update(Job).values(admitted_at=at, submitted_at=at)
    given = []
    for place in waiting:
        needed = (WORK, PREPARE) if place.lane == PREPARE else (place.lane,)
        if all(free[one] > 0 for one in needed) and changed(session, turn.where(Job.id == place.job_id, waits())):
            given.append(place)
            free.update({one: free[one] - 1 for one in needed})
    return given
