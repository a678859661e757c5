"""The whole record at one moment, as rows that any database can take back (``store.refill``), read while others write.

The tables are read as they are found, not as this version would have them: a backup before an upgrade is one, too.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Connection, DateTime, MetaData, Text, cast, inspect, select, text
from sqlalchemy import type_coerce as coerce

from store import schema
from store.columns import Record, UtcDateTime
from store.database import Database
from store.models import Job

_AT_ONCE = 1000
Row = dict[str, Any]
"""Values that JSON can hold: times in ISO 8601, and columns of JSON as their text, which tells null from nothing."""


class NoRecord(Exception):
    """There are no tables of ours."""


@dataclass(frozen=True)
class Snapshot:
    """One moment of the record."""

    revision: str
    """Of its tables."""
    connection: Connection
    found: MetaData

    @property
    def tables(self) -> list[str]:
        """Their names."""
        return [table.name for table in self.found.sorted_tables]

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table, in no order; few of them are in memory at a time."""
        query = select(*(_told(column) for column in self.found.tables[table].columns))
        for row in self.connection.execute(query).mappings():
            yield {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}


@contextmanager
def taken(database: Database) -> Iterator[Snapshot]:
    """A moment of the record; nobody has to wait for it to be read.

    Raises:
        NoRecord: There is none.
        store.schema.TooNew: It cannot be known what is in it.
    """
    postgresql = database.engine.dialect.name == "postgresql"
    with database.engine.connect() as connection:
        if postgresql:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            # A disk that stands still for a minute, where the rows are written to, is no reason to end it.
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        else:
            connection.exec_driver_sql("BEGIN")
        connection.execution_options(yield_per=_AT_ONCE)
        revision = schema.current(connection)
        if revision is None:
            raise NoRecord
        if not schema.knows(revision):
            raise schema.TooNew
        yield Snapshot(revision, connection, ours(connection))
        connection.rollback()


def ours(connection: Connection) -> MetaData:
    """The tables of the record as they are there, whatever else the database has."""
    there = set(inspect(connection).get_table_names())
    found = MetaData()
    if names := sorted(there & set(Record.metadata.tables)):
        found.reflect(connection, only=names)
    return found


def kind(column: Column[Any]) -> type[Any] | None:
    """What a column holds that databases keep each in its own way; None: nothing of that."""
    kinds: tuple[type[Any], ...] = (JSON, DateTime)
    return next((one for one in kinds if isinstance(column.type, one)), None)


def still_there(database: Database, job_ids: Collection[str]) -> set[str]:
    """Which of a few jobs there are by now."""
    with database.read() as session:
        return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids))))


def _told(column: Column[Any]) -> Any:
    what = kind(column)
    if what is JSON:
        return cast(column, Text).label(column.name)
    return coerce(column, UtcDateTime()).label(column.name) if what is DateTime else column
