"""Which version the tables are of, and how they get to another."""

import functools
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_alembic = threading.Lock()
"""Alembic keeps its state in module globals; between processes the lock is in the database (``migrations/env.py``)."""


class TooNew(Exception):
    """The tables are of a version that is newer than this one."""

    def __init__(self) -> None:
        super().__init__(
            "The record is of a newer version of Longhand: start that version, "
            "or restore the backup that was made before it."
        )


def upgrade(target: Engine | Connection, revision: str = "head") -> None:
    """Bring the tables to a revision, this version's unless another is named.

    Args:
        target: The database, where several processes may try at once; or a connection in a transaction that holds all
            others out, which then holds the change, too.
        revision: Whose tables.

    Raises:
        TooNew: They are of a version that this one does not know.
    """
    from alembic import command

    if isinstance(target, Engine) and revision == "head" and _is_there(target):
        return
    config = _config(**{"engine" if isinstance(target, Engine) else "connection": target})
    with _alembic:
        command.upgrade(config, revision)


def current(connection: Connection) -> str | None:
    """The revision of the tables that are there; None: there are none of ours."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def knows(revision: str) -> bool:
    """Whether this version can bring tables of this revision up to date: it is its own, or an older one."""
    from alembic.script import ScriptDirectory

    return any(one.revision == revision for one in ScriptDirectory.from_config(_config()).walk_revisions())


def _is_there(engine: Engine) -> bool:
    """Whether nothing is to be done: each process of a start asks, and only the first finds work."""
    with engine.connect() as connection:
        found = current(connection)
    if found == _head():
        return True
    if found is not None and not knows(found):
        raise TooNew
    return False


@functools.cache
def _head() -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def _config(**attributes: Any) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes.update(attributes)
    return config
