"""A record and the queues, with nobody working: what many tests begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from store import Store, open_store
from store.database import Database
from tasks.flow import Flow, open_flow


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty record."""
    found = Database(f"sqlite:///{tmp_path / 'record.db'}")
    found.upgrade()
    yield found
    found.engine.dispose()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The store of the ``settings`` that a test file has."""
    found = open_store(settings)
    found.database.upgrade()
    yield found
    found.database.engine.dispose()


@pytest.fixture
def flow(settings: Settings, store: Store) -> Iterator[Flow]:
    """What puts its work on the queues."""
    found = open_flow(settings, store)
    yield found
    found.app.close()
