"""Alembic's entry: upgrades over the engine it is handed, one process at a time."""

from alembic import context
from sqlalchemy import text

from store.models import Record

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    if engine.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # However long the other process takes to upgrade.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        # Any number will do, as long as every version uses the same: it is the name of the lock.
        connection.execute(text("SELECT pg_advisory_xact_lock(20260101)"))
    context.configure(connection=connection, target_metadata=Record.metadata, render_as_batch=True)
    context.run_migrations()
    connection.commit()
