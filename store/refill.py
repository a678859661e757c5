"""Put a record's rows back (``store.snapshot``), into whichever database, all of them or none."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    insert,
    or_,
    select,
    text,
    update,
)

from store import schema
from store.columns import UtcDateTime
from store.counted import AccountTotal, Total
from store.database import Database
from store.installation_row import Installation
from store.models import ACTIVE, Job, Step
from store.snapshot import Row, kind, ours

_AT_ONCE = 1000
_NO_WORK = {Total.__tablename__, AccountTotal.__tablename__, Installation.__tablename__}
"""What may have rows although nobody has used the installation yet."""


class Strange(Exception):
    """The rows are not those of the tables they are said to be of."""


def occupied(database: Database) -> bool:
    """Whether there is anything in the record that a restored one would take the place of."""
    with database.engine.connect() as connection:
        found = (table for name, table in ours(connection).tables.items() if name not in _NO_WORK)
        return any(connection.execute(select(text("1")).select_from(table).limit(1)).first() for table in found)


def refill(
    database: Database,
    revision: str,
    rows: Mapping[str, Callable[[], Iterable[Row]]],
    *,
    remade: Collection[str],
    without: Collection[str],
) -> int:
    """Make these rows the record, whatever was in it, bring the tables up to date, and have unfinished jobs go on.

    Args:
        database: Where to.
        revision: Whose tables the rows are of; this version must know it.
        rows: The rows by table.
        remade: Stages whose files are not kept with a record: jobs that are unfinished do them again.
        without: Ids of jobs to leave out.

    Returns:
        How many jobs are unfinished.

    Raises:
        Strange: These are no such rows; nothing has changed.
    """
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # As whoever upgrades: the lock of migrations/env.py.
            connection.execute(text("SELECT pg_advisory_xact_lock(20260101)"))
        _clear(connection)
        schema.upgrade(connection, revision)
        tables = ours(connection)
        if set(rows) != set(tables.tables):
            raise Strange("other tables than a record of its version has")
        for table in tables.sorted_tables:
            _fill(connection, table, rows[table.name](), frozenset(without))
        schema.upgrade(connection)
        unfinished = _set_going(connection, remade)
        connection.commit()
    return unfinished


def _clear(connection: Connection) -> None:
    ours(connection).drop_all(connection)
    Table("alembic_version", MetaData()).drop(connection, checkfirst=True)


def _fill(connection: Connection, table: Table, rows: Iterable[Row], without: frozenset[str]) -> None:
    # What a job was used for is remembered without it; what belongs to it is not.
    theirs = (key.parent.name for key in table.foreign_keys if key.column.table.name == Job.__tablename__)
    job = "id" if table.name == Job.__tablename__ else next(theirs, "")
    wanted = (row for row in rows if row.get(job) not in without)
    into = insert(table).values({column.name: _value(connection, column) for column in table.columns})
    for batch in _batches(wanted):
        connection.execute(into, [_parameters(table, row) for row in batch])


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while batch := list(islice(left, _AT_ONCE)):
        yield batch


def _value(connection: Connection, column: Column[Any]) -> Any:
    what, name = kind(column), f"the_{column.name}"
    if what is JSON:
        given = bindparam(name, type_=Text)
        # SQLite keeps JSON as the text it is, and would take a cast for one to a number.
        return given if connection.dialect.name == "sqlite" else cast(given, JSON)
    return bindparam(name, type_=UtcDateTime() if what is DateTime else column.type)


def _parameters(table: Table, row: Row) -> dict[str, Any]:
    if set(row) != set(table.columns.keys()):
        raise Strange(f"rows of another table than {table.name} of its version")
    times = {column.name for column in table.columns if kind(column) is DateTime}
    try:
        return {
            f"the_{name}": datetime.fromisoformat(value) if name in times and value is not None else value
            for name, value in row.items()
        }
    except (TypeError, ValueError) as error:
        raise Strange(f"a time in {table.name} that is none") from error


def _set_going(connection: Connection, remade: Collection[str]) -> int:
    """Take the work from workers that are not there, and have upkeep queue all of it the next time it looks."""
    active = select(Job.id).where(Job.status.in_(ACTIVE))
    other = Step.__table__.alias()
    unfinished = select(other.c.job_id).where(other.c.job_id == Step.job_id, other.c.status != "done").exists()
    undone = or_(Step.status != "done", and_(Step.stage.in_(remade), unfinished))
    fresh = dict.fromkeys(("claim", "task_id", "worker", "sent_at", "started_at", "alive_at", "finished_at"))
    connection.execute(
        update(Step).where(Step.job_id.in_(active), undone).values(status="pending", attempts=0, **fresh)
    )
    long_ago = datetime.fromtimestamp(0, UTC)
    return connection.execute(update(Job).where(Job.status.in_(ACTIVE)).values(submitted_at=long_ago)).rowcount
