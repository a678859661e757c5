"""Batches: the jobs of one request. They have no record of their own; a batch is there as long as one of them is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import aliased

from store.cursors import cursor_at, read_cursor
from store.database import Database
from store.models import ACTIVE, Job


@dataclass(frozen=True)
class BatchFigures:
    """A batch, without its jobs."""

    id: str
    created_at: datetime
    counts: dict[str, int]
    """Jobs by status; none where there is none."""


def page(
    database: Database, *, owner: str | None = None, limit: int = 50, cursor: str | None = None
) -> tuple[list[BatchFigures], str | None]:
    """Batches, newest first, and the cursor of the next page if there is one.

    Args:
        database: The record.
        owner: Only this account's; None: everybody's.
        limit: Batches on the page.
        cursor: Where the page before ended.

    Raises:
        ValueError: Not a cursor of ours.
    """
    other = aliased(Job)
    earlier = or_(other.created_at < Job.created_at, and_(other.created_at == Job.created_at, other.id < Job.id))
    # A batch stands where its first job does: so a page is read along an index and not made of all batches there are.
    first = ~select(other.id).where(other.batch == Job.batch, earlier).exists()
    query = select(Job.batch, Job.created_at).where(Job.batch.is_not(None), first)
    if owner is not None:
        query = query.where(Job.owner == owner)
    if cursor is not None:
        at, name = read_cursor(cursor)
        query = query.where(or_(Job.created_at < at, and_(Job.created_at == at, Job.batch < name)))
    with database.read() as session:
        rows = session.execute(query.order_by(Job.created_at.desc(), Job.batch.desc()).limit(limit + 1))
        found = [(str(name), at) for name, at in rows]
    counts = _counts(database, [name for name, _ in found[:limit]])
    figures = [BatchFigures(name, at, counts.get(name, {})) for name, at in found[:limit]]
    return figures, None if len(found) <= limit else cursor_at(found[limit - 1][1], found[limit - 1][0])


def active(database: Database, batch: str, *, owner: str | None = None) -> list[str]:
    """Ids of its jobs that are not over, the last first.

    Args:
        database: The record.
        batch: The batch.
        owner: Only this account's; None: everybody's.
    """
    query = select(Job.id).where(_of(batch, owner), Job.status.in_(ACTIVE))
    with database.read() as session:
        return list(session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc())))


def _counts(database: Database, names: Sequence[str]) -> dict[str, dict[str, int]]:
    query = select(Job.batch, Job.status, func.count()).where(Job.batch.in_(names)).group_by(Job.batch, Job.status)
    found: dict[str, dict[str, int]] = {}
    with database.read() as session:
        for name, status, count in session.execute(query):
            found.setdefault(str(name), {})[status] = count
    return found


def _of(batch: str, owner: str | None) -> ColumnElement[bool]:
    return Job.batch == batch if owner is None else and_(Job.batch == batch, Job.owner == owner)
