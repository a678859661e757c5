"""What is particular about PostgreSQL: how long is waited for it, and what its errors mean and may tell."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError

CONNECT_SECONDS = 5
"""How long to wait for a server that does not answer."""
_SILENCE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A server that was cut off, and sends nothing any more, is given up after some 30 s, not after hours."""
IDLE_SECONDS = 60.0
"""How long the server keeps what a process holds that stands still in the middle of a transaction, or was cut off."""
_READ_ONLY = "25006"
"""The code for a write on a server that has become another's copy."""


def patience(address: URL) -> dict[str, Any]:
    """What the driver is told of waiting, but for what the address says itself."""
    if address.drivername not in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        return {}
    wanted = {"connect_timeout": CONNECT_SECONDS, **_SILENCE}
    return {name: value for name, value in wanted.items() if name not in address.query}


def prepare(engine: Engine, *, wait_seconds: float) -> None:
    """Let no connection wait for ever, nor others for it, and have errors say what they are and no more.

    Args:
        engine: Of a PostgreSQL.
        wait_seconds: How long a statement waits for another's lock.
    """

    @event.listens_for(engine, "connect")
    def _limit(connection: Any, _: Any) -> None:
        # As statements, for a pooler in between does not take them as options of the connection.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {round(wait_seconds * 1000)}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {round(IDLE_SECONDS * 1000)}")
        cursor.close()
        connection.commit()

    event.listen(engine, "handle_error", _understand, retval=True)


def _understand(context: ExceptionContext) -> BaseException | None:
    """Hide the values in an error's text; raise what is no fault of the statement as what is waited for."""
    said, error = context.original_exception, context.sqlalchemy_exception
    if not isinstance(error, DBAPIError):
        return None
    # The lines behind the first quote whole rows: file names, prompts, secrets.
    whole, first = str(said), str(said).partition("\n")[0]
    said.args = (first, *said.args[1:])
    error.args = tuple(str(part).replace(whole, first) for part in error.args)
    # The next try is on another connection, perhaps to the server that takes writes by then.
    context.is_disconnect = context.is_disconnect or getattr(said, "sqlstate", None) == _READ_ONLY
    if context.is_disconnect and not isinstance(error, OperationalError):
        return OperationalError(context.statement, None, said, hide_parameters=True)
    return None
