"""What several tests with installations of their own share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store.database import Database
from tests import recordings
from tests.postgres_server import PostgresServer

if TYPE_CHECKING:
    from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def fuse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine ``deadly`` reads: how often it still kills its process. Empty: never."""
    path = tmp_path_factory.mktemp("fuse") / "lives"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def record(postgres: PostgresServer) -> Iterator[Database]:
    """A new database on PostgreSQL."""
    found = Database(postgres.create())
    yield found
    found.engine.dispose()


@pytest.fixture(scope="module")
def s3() -> Iterator["S3Server"]:
    """A private S3 with an empty bucket."""
    from tests.s3_server import S3Server  # a library that takes its time, of those only who need it

    server = S3Server()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy seconds: three chunks."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    recordings.recording(70, seed=7).write(path)
    return path
