"""What the whole test session shares: private servers, recordings, and the check that nothing is left running."""

import functools
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.nursery import Forked, is_nursery
from tests.postgres_server import PostgresServer, postgres_lacks
from tests.stack import ROOT, RedisServer, Stack

# How long an example takes says more about what else the machine does.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

Stack.launch = Forked


@functools.cache
def _trusting(_: str | None, *args: Any, **options: Any) -> ssl.SSLContext:
    return _made(*args, **options)


# Every HTTP client reads all certificates there are, for 30 ms, which most requests of tests do not take.
_made = ssl.create_default_context
ssl.create_default_context = lambda *args, **options: _trusting(os.environ.get("SSL_CERT_FILE"), *args, **options)

SKIPS = {
    "gpu": "needs a GPU: set LONGHAND_TEST_GPU=1 on a machine with one",
    "real_model": "needs a real Whisper model: set LONGHAND_TEST_MODEL to its name or folder",
    "docker": "needs a Docker engine: set LONGHAND_TEST_DOCKER=1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark, reason in SKIPS.items():
            variable = reason.split("set ")[1].split("=")[0].split()[0]
            if item.get_closest_marker(mark) and not os.environ.get(variable):
                item.add_marker(pytest.mark.skip(reason=reason))


OWN_STACK = re.compile(r"with \w*Stack\(")


class StacksApart(LoadScopeScheduling):
    """One process works off all tests that share an installation; other files go to whichever process is free."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if "/faults/" in file:
            return "faults"
        source = (ROOT / file).read_text()
        return "stack" if "stack: Stack" in source and not OWN_STACK.search(source) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> StacksApart:
    # In the order of the folders: what takes longest begins first.
    config.option.loadscopereorder = False
    return StacksApart(config, log)


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    left = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    left = [p for p in left if not is_nursery(p.cmdline())]
    assert not left, f"processes left running: {[(p.pid, p.name()) for p in left]}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis of this session."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A private PostgreSQL of this session; whoever asks for it is skipped where there is none."""
    if (why := postgres_lacks()) is not None:
        pytest.skip(why)
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running installation with two GPU workers and Flower, shared by the tests that do it no harm."""
    # Webhooks and recordings by address: the servers of the tests are on this machine.
    private = {"ALLOW_PRIVATE_URLS": "true"}
    with Stack(tmp_path_factory.mktemp("stack"), gpu_workers=2, beat=True, flower=True, **private) as running:
        yield running


@pytest.fixture(scope="session")
def samples() -> Path:
    """Recordings that nobody of us made."""
    return Path(__file__).parent / "samples"
