"""Alembic's entry: upgrades over what it is handed.

Of an engine one process at a time uses it; a connection is in a transaction whose owner has seen to that, and ends it.
"""

from alembic import context
from sqlalchemy import Connection, Engine, text

from store.models import Record


def run(connection: Connection) -> None:
    """Upgrade in the connection's transaction."""
    context.configure(connection=connection, target_metadata=Record.metadata, render_as_batch=True)
    context.run_migrations()


def run_alone(engine: Engine) -> None:
    """Upgrade when nobody else does."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # However long the other process takes to upgrade.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            # Any number will do, as long as every version uses the same: it is the name of the lock.
            connection.execute(text("SELECT pg_advisory_xact_lock(20260101)"))
        run(connection)
        connection.commit()


given = context.config.attributes
if "connection" in given:
    run(given["connection"])
else:
    run_alone(given["engine"])
