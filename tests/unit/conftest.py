"""A record and the queues, with nobody working: what many tests begin with."""

import shutil
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def new_record(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts an empty record at a path, as a copy: making the tables takes longer than most tests."""
    template = tmp_path_factory.mktemp("record") / "record.db"
    made = Database(f"sqlite:///{template}")
    made.upgrade()
    made.engine.dispose()

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            shutil.copyfile(template, path)

    return put


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, new_record: Callable[[Path], None]) -> Iterator[Database]:
    """An empty record."""
    if request.param == "sqlite":
        new_record(tmp_path / "record.db")
        found = Database(f"sqlite:///{tmp_path / 'record.db'}")
        yield found
        found.engine.dispose()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    found = Database(server.create(migrated=True))
    yield found
    found.engine.dispose()
    server.drop(found.url)


@pytest.fixture
def store(settings: Settings, new_record: Callable[[Path], None]) -> Iterator[Store]:
    """The store of the ``settings`` that a test file has."""
    new_record(settings.data_dir / "longhand.db")
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
