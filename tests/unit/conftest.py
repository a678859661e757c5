"""A record and the queues, with nobody working: what many tests begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from store import Store, open_store
from store.database import Database
from tasks.flow import Flow, open_flow
from tests.postgres_server import PostgresServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is asked of the record alone is asked of each database that it can be in."""
    if "database" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("sqlite") is not None
        metafunc.parametrize("database", ["sqlite"] if only else ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty record."""
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path / 'record.db'}")
        found.upgrade()
        yield found
        found.engine.dispose()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    found = Database(server.create(migrated=True))
    yield found
    found.engine.dispose()
    server.drop(found.url)


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
