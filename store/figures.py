"""Figures of the whole installation, read when they are asked for: right, whatever processes come and go."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from store import keys, totals
from store.database import Database
from store.impatient import client
from store.jobs import PRIORITIES, now
from store.models import Delivery, Job, ResumableUpload
from store.totals import AccountSum, Sum

REQUEST_ID = "longhand_request_id"
"""Header of a message: the request that set the job going; for the log alone."""
SENT_AT = "longhand_sent_at"
"""Header of every message: when it was put on its queue, in seconds since 1970."""
_SEPARATOR = "\x06\x16"
"""How Celery's Redis transport names a queue's list of one priority: queue, this, number; just the queue for 0."""
_UNACKNOWLEDGED = "unacked"
"""Where it keeps the messages that workers hold."""


@dataclass(frozen=True)
class RecordFigures:
    """What the record tells."""

    jobs: dict[str, int]
    """Jobs that are there, by status."""
    deliveries: dict[str, int]
    """Webhooks of those jobs, by status."""
    uploads: int
    """Resumable uploads that are not complete and have not expired."""
    oldest_queued: float
    """Seconds since the work of a queued job was put on its queue, of all that are queued the longest; 0: none is."""
    totals: dict[str, list[Sum]]
    """By figure, see ``store.totals``."""
    accounts: list[AccountSum]
    """The same of accounts."""
    names: dict[str, str]
    """What the first keys of these accounts are called, by id."""


@dataclass(frozen=True)
class Waiting:
    """The messages of one priority on one queue; of all of them where the broker does not tell them apart."""

    queue: str
    priority: str
    messages: int
    oldest: float | None
    """Seconds since the oldest of them was sent; 0: there is none; None: nobody can tell."""


@dataclass(frozen=True)
class QueueFigures:
    """What the broker tells."""

    waiting: list[Waiting]
    unacknowledged: int | None
    """Messages that workers hold: being worked on, or to be tried again later; None: it does not tell."""


@dataclass(frozen=True)
class Room:
    """A disk's, in bytes."""

    free: int
    """What may still be written, without what only root may fill."""
    size: int


def of_disk(folder: Path) -> Room:
    """The room of the disk that a folder is on.

    Raises:
        OSError: Nobody can tell.
    """
    disk = os.statvfs(folder)
    return Room(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


def of_record(database: Database) -> RecordFigures:
    """The figures of the record; each out of an index, whatever the number of jobs."""
    kept, accounts = totals.read(database), totals.of_accounts(database)
    names = keys.names(database, {one.owner for one in accounts})
    with database.read() as session:
        return RecordFigures(
            jobs=_by(session, Job.status),
            deliveries=_by(session, Delivery.status),
            uploads=_uploads(session),
            oldest_queued=_oldest_queued(session),
            totals=kept,
            accounts=accounts,
            names=names,
        )


def _by(session: Session, column: InstrumentedAttribute[str]) -> dict[str, int]:
    return {value: count for value, count in session.execute(select(column, func.count()).group_by(column))}


def _uploads(session: Session) -> int:
    arriving = (ResumableUpload.expires_at > now(), ResumableUpload.sha256.is_(None))
    return session.scalar(select(func.count()).select_from(ResumableUpload).where(*arriving)) or 0


def _oldest_queued(session: Session) -> float:
    # Literally as in the index jobs_waiting, or SQLite would not use it. What was never queued (`standing.stands`) has
    # the earliest time there is.
    queued = (text("status = 'queued'"), Job.submitted_at >= Job.created_at)
    since = session.scalar(select(Job.submitted_at).where(*queued).order_by(Job.submitted_at).limit(1))
    return max((now() - since).total_seconds(), 0.0) if since is not None else 0.0


class Queues:
    """The queues of Celery in Redis, looked at without taking anything from them.

    Args:
        url: Address of Redis. Nothing is connected before they are looked at.
    """

    def __init__(self, url: str) -> None:
        self._client = client(url, decode_responses=True)

    def look(self, names: Sequence[str]) -> QueueFigures:
        """What waits on these queues, each priority by itself, in one round trip.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        kinds = [(queue, priority) for queue in names for priority in PRIORITIES]
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hlen(_UNACKNOWLEDGED)
            for queue, priority in kinds:
                number = PRIORITIES[priority]
                key = f"{queue}{_SEPARATOR}{number}" if number else queue
                pipe.llen(key)
                pipe.lindex(key, -1)  # new ones come in at the other end
            found: list[Any] = pipe.execute()
        pairs: Iterator[tuple[int, str | None]] = zip(found[1::2], found[2::2], strict=True)
        waiting = [
            Waiting(queue, priority, int(count), _age(oldest))
            for (queue, priority), (count, oldest) in zip(kinds, pairs, strict=True)
        ]
        return QueueFigures(waiting, int(found[0]))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _age(message: str | None) -> float:
    """Seconds since a message was sent; 0 if it does not say."""
    try:
        sent = json.loads(message)["headers"][SENT_AT] if message is not None else None
        return max(time.time() - float(sent), 0.0) if sent is not None else 0.0
    except (ValueError, KeyError, TypeError):
        return 0.0
