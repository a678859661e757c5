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

from store import keys, totals, turns
from store.database import Database
from store.impatient import client
from store.jobs import PRIORITIES, now
from store.models import Delivery, Job, ResumableUpload
from store.totals import AccountSum, Sum
from store.turns import Line

REQUEST_ID = "longhand_request_id"
"""Header of a message: the request that set the job going; for the log alone."""
SENT_AT = "longhand_sent_at"
"""Header of every message: when it was put on its queue, in seconds since 1970."""
BEHIND = "longhand_behind"
"""Header of a message that waits behind others of its own recording: that it waits says nothing of the workers."""
_SEPARATOR = "\x06\x16"
"""How Celery's Redis transport names a queue's list of one priority: queue, this, number; just the queue for 0."""
_UNACKNOWLEDGED = "unacked"
"""Where it keeps the messages that workers hold."""
_SEARCHED = 2000
"""So many messages of a queue are looked at for one that waits for others than its own recording."""
_LOOK = """
local found = {redis.call('HLEN', KEYS[1])}
for n = 2, #KEYS do
  local count, oldest = redis.call('LLEN', KEYS[n]), false
  -- New ones come in at the other end. Most often the last one is it.
  local last, some, most = -1, 1, math.min(count, tonumber(ARGV[2]))
  while not oldest and -last <= most do
    local messages = redis.call('LRANGE', KEYS[n], last - some + 1, last)
    for m = #messages, 1, -1 do
      if not oldest and not string.find(messages[m], ARGV[1], 1, true) then
        oldest = messages[m]
      end
    end
    last, some = last - some, 100
  end
  found[#found + 1] = count
  found[#found + 1] = oldest
end
return found
"""


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
    """Seconds since the work of a queued job was put on its queue, of all whose turn it is the longest; 0: none is."""
    lines: list[Line]
    """Jobs that wait for their turns."""
    totals: dict[str, list[Sum]]
    """By figure, see ``store.totals``."""
    accounts: list[AccountSum]
    """The same of accounts."""
    idle: list[str]
    """Accounts of which there is none yet."""
    names: dict[str, str]
    """What the first keys of these accounts are called, by id."""


@dataclass(frozen=True)
class Waiting:
    """The messages of one priority on one queue; of all of them where the broker does not tell them apart."""

    queue: str
    priority: str
    messages: int
    oldest: float | None
    """Seconds since the oldest was sent of those that do not wait behind their own recording (``BEHIND``); 0: there is
    none; None: nobody can tell."""


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
    owners = {one.owner for one in accounts}
    idle = [one for one in keys.accounts(database, most=totals.MOST_ACCOUNTS) if one not in owners]
    idle = idle[: max(totals.MOST_ACCOUNTS - len(owners), 0)]
    names = keys.names(database, {*owners, *idle})
    with database.read() as session:
        return RecordFigures(
            jobs=_by(session, Job.status),
            deliveries=_by(session, Delivery.status),
            uploads=_uploads(session),
            oldest_queued=_oldest_queued(session),
            lines=turns.lines(session),
            totals=kept,
            accounts=accounts,
            idle=idle,
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
    query = select(Job.submitted_at, turns.waits()).where(*queued).order_by(Job.submitted_at).limit(1)
    since, waits = session.execute(query).one_or_none() or (None, False)
    if waits:
        # Of those in line there may be very many before the first that is not; few have their turn.
        turn = (Job.lane.is_not(None), Job.admitted_at.is_not(None), Job.status != "running")
        since = session.scalar(select(func.min(Job.submitted_at)).where(*turn, Job.submitted_at >= Job.created_at))
    return max((now() - since).total_seconds(), 0.0) if since is not None else 0.0


class Queues:
    """The queues of Celery in Redis, looked at without taking anything from them.

    Args:
        url: Address of Redis. Nothing is connected before they are looked at.
    """

    def __init__(self, url: str) -> None:
        self._client = client(url, decode_responses=True)
        self._script = self._client.register_script(_LOOK)

    def look(self, names: Sequence[str]) -> QueueFigures:
        """What waits on these queues, each priority by itself, in one round trip.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        kinds = [(queue, priority) for queue in names for priority in PRIORITIES]
        numbers = [(queue, PRIORITIES[priority]) for queue, priority in kinds]
        lists = [f"{queue}{_SEPARATOR}{number}" if number else queue for queue, number in numbers]
        # Whatever a message holds besides, its quotation marks are escaped in there.
        found: list[Any] = self._script(keys=[_UNACKNOWLEDGED, *lists], args=[f'"{BEHIND}":', _SEARCHED])
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
