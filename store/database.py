"""The database connection: SQLite (WAL) on one machine, PostgreSQL on many."""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, Delete, Engine, Update, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from store import postgres, schema

BUSY_SECONDS = 30
"""How long a writer waits for another before it gives up."""
POOL = {"pool_size": 10, "max_overflow": 20, "pool_timeout": 10}
"""Connections of one process, however many threads it has.

Threads that wait, send or receive hold none: a session lasts milliseconds. More at once would not be faster (SQLite has
one writer, PostgreSQL as many cores as it has), while each costs SQLite two open files and PostgreSQL, which allows 100
in all unless told otherwise, a process. Ten stay open; twenty more are for bursts, and for readers while writers wait.
Whoever gets none in ten seconds is told to come again.
"""


class Database:
    """Sessions on the record.

    Args:
        url: SQLAlchemy address, e.g. ``sqlite:////data/longhand.db`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    def reopen(self) -> None:
        """Forget pooled connections without closing them for the process they came from."""
        self.engine.dispose(close=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A short session that changes nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, patience: float = BUSY_SECONDS) -> Iterator[Session]:
        """A short transaction, committed at the end of the block.

        Args:
            patience: How many seconds to wait for other writers, if less than usual.

        Raises:
            sqlalchemy.exc.OperationalError: They did not end.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if self.engine.dialect.name == "sqlite":
                _begin(session, patience)
            elif self.engine.dialect.name == "postgresql" and patience < BUSY_SECONDS:
                session.execute(text(f"SET LOCAL lock_timeout = {round(patience * 1000)}"))
            yield session

    def upgrade(self) -> None:
        """Bring the tables to this version's schema; several processes may try at once."""
        schema.upgrade(self.engine)

    def ping(self) -> None:
        """Raise unless the database answers."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))


def changed(session: Session, statement: Update | Delete) -> bool:
    """Run a change; whether it changed anything. This is how a compare-and-swap learns who won."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)  # noqa: S101  # for the type checker: every UPDATE and DELETE gives one
    return result.rowcount > 0


def hold(session: Session, name: str) -> None:
    """Let nobody else who holds this name go on until the transaction ends; where there is one writer, nobody does."""
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def _begin(session: Session, patience: float) -> None:
    # Taking the write lock first makes a busy database wait; taking it later, after a read, would fail.
    if patience >= BUSY_SECONDS:
        session.execute(text("BEGIN IMMEDIATE"))
        return
    session.execute(text(f"PRAGMA busy_timeout = {round(patience * 1000)}"))
    try:
        session.execute(text("BEGIN IMMEDIATE"))
    finally:  # the connection goes back to the pool; with the lock there is nothing more to wait for
        session.execute(text(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}"))


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _server(parsed)


def _server(parsed: URL) -> Engine:
    ours = parsed.get_backend_name() == "postgresql"
    # Parameters are secrets of webhooks, signed addresses, prompts: an error's text, which is logged, has none.
    engine = create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=postgres.patience(parsed) if ours else {},
        **POOL,
    )
    if ours:
        postgres.prepare(engine, wait_seconds=BUSY_SECONDS)
    return engine


def _sqlite(parsed: URL) -> Engine:
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    pool = POOL if parsed.database and parsed.database != ":memory:" else {}
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}, **pool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # SQLAlchemy's session says BEGIN itself (see `write`), so the driver must not.
        connection.isolation_level = None
        _write_ahead(connection)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _write_ahead(connection: Any) -> None:
    """Choose the journal with which readers and a writer do not wait for each other.

    Of several processes that open a new database at once, one makes the change. SQLite does not have the others wait
    for that, as it does for everything else, so they do it themselves.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)
