"""Records of webhooks: written with the end they report, claimed for a try, settled, asked for again.

What is owed is written in the transaction that ends the job, so that no end goes unreported and none is reported twice.
A server is sent one delivery at a time, and left alone for a while after it did not answer: however many wait for it,
they keep one worker busy at most.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Update, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from store import totals
from store.database import Database, changed, hold
from store.models import Delivery, Job
from store.times import now

LEASE_SECONDS = 60.0
"""A try that has not been settled by then died with its worker."""
SILENCE_SECONDS = 60.0
"""How long a server that did not answer is spared the other deliveries that wait for it."""
GIVE_UP_HOURS = 24.0
"""A delivery is tried for this long."""
MOST_TRIES = 100
"""So many of a delivery's tries are remembered, the last ones."""
_DIED = "The worker that sent it stopped, so it is not known what the server answered."
_GIVEN_UP = "The server did not answer for a day, so this was given up."


@dataclass(frozen=True)
class Try:
    """A try that is over."""

    attempt: int
    """From 1."""
    at: datetime
    """When it began."""
    response_status: int | None
    error: str | None
    """Why it failed; None: it arrived."""


def owe(session: Session, job_id: str, status: str) -> None:
    """Note that a job's end is to be told, if anybody wants to hear of it; in the transaction that ends the job."""
    job = session.execute(select(Job.webhook_url, Job.owner).where(Job.id == job_id)).one()
    if job.webhook_url is None:
        return
    at = now()
    delivery = Delivery(
        id=uuid.uuid4().hex,
        job_id=job_id,
        event=f"job.{status}",
        url=job.webhook_url,
        endpoint=_endpoint(job.owner, job.webhook_url),
        status="pending",
        attempts=0,
        tries=[],
        since_at=at,
        due_at=at,
        created_at=at,
    )
    session.add(delivery)


def get(database: Database, delivery_id: str) -> Delivery | None:
    """A delivery as it is now."""
    with database.read() as session:
        return session.get(Delivery, delivery_id)


def of_job(database: Database, job_id: str) -> list[Delivery]:
    """A job's deliveries, newest first."""
    with database.read() as session:
        query = select(Delivery).where(Delivery.job_id == job_id)
        return list(session.scalars(query.order_by(Delivery.created_at.desc(), Delivery.id.desc())))


def due(database: Database, *, job_id: str | None = None, endpoint: str | None = None, limit: int = 100) -> list[str]:
    """Ids of deliveries that can be tried now: of each endpoint that is free, the one that has waited longest.

    Args:
        database: The record.
        job_id: Only those of this job.
        endpoint: Only those of this endpoint.
        limit: No more than these.
    """
    at = now()
    order = func.row_number().over(partition_by=Delivery.endpoint, order_by=(Delivery.due_at, Delivery.id))
    query = select(Delivery.id, Delivery.due_at, order.label("place")).where(_claimable(at))
    for column, value in ((Delivery.job_id, job_id), (Delivery.endpoint, endpoint)):
        if value is not None:
            query = query.where(column == value)
    waiting = query.subquery()
    with database.read() as session:
        first = select(waiting.c.id).where(waiting.c.place == 1).order_by(waiting.c.due_at)
        return list(session.scalars(first.limit(limit)))


def claim(database: Database, delivery_id: str) -> Delivery | None:
    """Take a delivery for one try; None if it is not due, or its server is busy with another or was silent just now.

    Settle it by ``arrived`` or ``missed`` under the number of attempts it has then; after ``LEASE_SECONDS`` somebody
    else may take it.
    """
    with database.write() as session:
        endpoint = session.scalar(select(Delivery.endpoint).where(Delivery.id == delivery_id))
        if endpoint is None:
            return None
        hold(session, f"endpoint {endpoint}")  # else two deliveries to one server would not see each other's lease
        at = now()
        query = update(Delivery).where(Delivery.id == delivery_id, _claimable(at))
        tries, died = _tries_before(session, delivery_id)
        values = {"attempts": Delivery.attempts + 1, "tried_at": at, "tries": tries}
        if not changed(session, query.values(lease_until=at + timedelta(seconds=LEASE_SECONDS), **values)):
            return None
        found = session.get_one(Delivery, delivery_id, populate_existing=True)
        _count(session, *[totals.DIED] * died)
        return found


def arrived(database: Database, delivery: Delivery, *, response_status: int) -> bool:
    """Settle a try that was taken; whether it was still this caller's to settle."""
    values: dict[str, Any] = {
        "status": "delivered",
        "delivered_at": now(),
        "due_at": None,
        "lease_until": None,
        "error": None,
    }
    values["tries"] = _and(delivery, response_status, None)
    with database.write() as session:
        won = changed(session, _mine(delivery).values(response_status=response_status, **values))
        _count(session, *[totals.DELIVERED] * won)
        return won


def missed(
    database: Database, delivery: Delivery, *, error: str, response_status: int | None, due_at: datetime | None
) -> bool:
    """Settle a try that failed.

    Args:
        database: The record.
        delivery: As ``claim`` gave it.
        error: Why, in a sentence.
        response_status: What the server answered; None: nothing.
        due_at: When to try again; None: never.

    Returns:
        Whether it was still this caller's to settle.
    """
    status = "failed" if due_at is None else "pending"
    values: dict[str, Any] = {"status": status, "due_at": due_at, "lease_until": None, "error": error}
    values["tries"] = _and(delivery, response_status, error)
    became = totals.UNANSWERED if response_status is None else totals.REFUSED
    with database.write() as session:
        won = changed(session, _mine(delivery).values(response_status=response_status, **values))
        _count(session, *[became] * won, *[totals.GIVEN_UP] * (won and due_at is None))
        return won


def requeue(database: Database, delivery_id: str) -> bool:
    """Make a delivery due now, whatever became of it; False if it is being sent at this moment, or is gone."""
    at = now()
    values: dict[str, Any] = {
        "status": "pending",
        "since_at": at,
        "due_at": at,
        "delivered_at": None,
        "lease_until": None,
    }
    with database.write() as session:
        values["tries"], died = _tries_before(session, delivery_id)
        won = changed(session, update(Delivery).where(Delivery.id == delivery_id, _free(at)).values(**values))
        _count(session, *[totals.DIED] * (won and died))
        return won


def give_up(database: Database) -> bool:
    """End what has waited for a day behind others of a server that still does not answer; whether there was any."""
    at = now()
    other = aliased(Delivery)
    tried = other.tried_at > at - timedelta(hours=1)
    silent = select(other.id).where(other.endpoint == Delivery.endpoint, tried, _unanswered(other)).exists()
    old = and_(Delivery.since_at < at - timedelta(hours=GIVE_UP_HOURS), Delivery.due_at <= at, _free(at), silent)
    values = {"status": "failed", "due_at": None, "lease_until": None, "error": _GIVEN_UP}
    with database.write() as session:
        given_up = session.scalars(
            update(Delivery).where(Delivery.status == "pending", old).values(**values).returning(Delivery.id),
            execution_options={"synchronize_session": False},
        ).all()
        _count(session, *[totals.GIVEN_UP] * len(given_up))
        return bool(given_up)


def tries_of(delivery: Delivery) -> list[Try]:
    """What became of the tries of a delivery that are over, the first one first."""
    return [Try(**{**one, "at": datetime.fromisoformat(one["at"])}) for one in delivery.tries]


def _tries_before(session: Session, delivery_id: str) -> tuple[list[Any], bool]:
    """The tries so far, with the last one even if nobody settled it; whether nobody did."""
    found = session.get(Delivery, delivery_id, with_for_update=True)
    if found is None or not found.attempts:
        return [], False
    if found.tries and found.tries[-1]["attempt"] == found.attempts:
        return found.tries, False
    if found.lease_until:
        return _and(found, None, _DIED), True
    return _and(found, found.response_status, found.error), False


def _count(session: Session, *outcomes: str) -> None:
    """Count what became of a try, or a delivery."""
    totals.add_all(session, [totals.Addition(totals.WEBHOOKS, outcome, "") for outcome in outcomes])


def _and(delivery: Delivery, response_status: int | None, error: str | None) -> list[Any]:
    """The tries of a delivery and the one that it was claimed for."""
    at = (delivery.tried_at or delivery.created_at).isoformat()
    last = {"attempt": delivery.attempts, "at": at, "response_status": response_status, "error": error}
    return [*delivery.tries, last][-MOST_TRIES:]


def _endpoint(owner: str, url: str) -> str:
    parts = urlsplit(url)
    return hashlib.sha256(f"{owner} {parts.scheme}://{parts.netloc}".casefold().encode()).hexdigest()


def _free(at: datetime) -> ColumnElement[bool]:
    return or_(Delivery.lease_until.is_(None), Delivery.lease_until <= at)


def _unanswered(delivery: type[Delivery]) -> ColumnElement[bool]:
    """Whether the last try of a delivery ended without any answer."""
    return and_(delivery.response_status.is_(None), delivery.error.is_not(None), delivery.lease_until.is_(None))


def _claimable(at: datetime) -> ColumnElement[bool]:
    """Whether a delivery is due and nothing speaks against sending it now."""
    other, later = aliased(Delivery), aliased(Delivery)
    same = and_(other.endpoint == Delivery.endpoint, other.id != Delivery.id)
    busy = select(other.id).where(same, other.lease_until > at).exists()
    after = and_(later.endpoint == other.endpoint, later.tried_at > other.tried_at)
    answered = select(later.id).where(after, later.response_status.is_not(None)).exists()
    recently = other.tried_at > at - timedelta(seconds=SILENCE_SECONDS)
    silent = select(other.id).where(same, recently, _unanswered(other), ~answered).exists()
    return and_(Delivery.status == "pending", Delivery.due_at <= at, _free(at), ~busy, ~silent)


def _mine(delivery: Delivery) -> Update:
    # No two tries have the same number, so a try that was given up cannot speak for the one that followed.
    same = and_(Delivery.id == delivery.id, Delivery.attempts == delivery.attempts)
    return update(Delivery).where(same, Delivery.lease_until.is_not(None))
