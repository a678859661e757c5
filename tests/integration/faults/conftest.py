"""An installation that things happen to, and what it makes of the same recordings while nothing does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.database import Database
from store.models import WHOLE, Job, Step
from tests import recordings
from tests.stack import ROOT, Stack, until

SOON = {"VISIBILITY_TIMEOUT_SECONDS": "5", "LEASE_RENEWAL_SECONDS": "1", "UPKEEP_SECONDS": "2"}
"""The faster a dead worker is noticed, the shorter the tests; the proportions are the defaults'."""
OPTIONS: dict[str, Any] = {"chunk_seconds": 30, "formats": "srt,vtt", "temperature": 0.0}
NAMES = ("web", "cpu", "net", "gpu1", "gpu2", "beat", "flower")
STAGES = ("normalise", "chunk", "detect_language", "transcribe", "merge", "export")


class Traps:
    """Sets traps for stages (``tests/plugins/ambush``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.env = {"PLUGINS": str(ROOT / "tests" / "plugins" / "ambush"), "LONGHAND_TEST_AMBUSH": str(folder)}

    def set(self, stage: str, moment: str, what: str) -> None:
        (self.folder / f"{stage}.{moment}.caught").unlink(missing_ok=True)
        (self.folder / f"{stage}.{moment}").write_text(what)

    def caught(self, stage: str, moment: str) -> tuple[int, str] | None:
        """Process and job of who was caught."""
        try:
            pid, job_id = (self.folder / f"{stage}.{moment}.caught").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid), job_id

    def clear(self) -> None:
        """Take away what nobody stepped into."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def wait(self, stage: str, moment: str) -> tuple[int, str]:
        found: tuple[int, str] = until(lambda: self.caught(stage, moment), 60, f"somebody to come to {stage}.{moment}")
        return found


@dataclass(frozen=True)
class Result:
    """What a client gets of a job, byte by byte."""

    transcript: bytes
    srt: bytes
    vtt: bytes


def result(stack: Stack, job_id: str) -> Result:
    """What is there of a finished job."""
    address = f"/v1/jobs/{job_id}/transcript"
    return Result(*(stack.client.get(address + end).raise_for_status().content for end in (".json", ".srt", ".vtt")))


def attempts(stack: Stack, job_id: str) -> dict[tuple[str, int], int]:
    """How often each piece of a job's work was begun, by stage and chunk, from the record itself."""
    with record(stack) as session:
        rows = session.scalars(select(Step).where(Step.job_id == job_id)).all()
    cut = {row.stage for row in rows if row.item != WHOLE}
    return {(row.stage, row.item): row.attempts for row in rows if row.item != WHOLE or row.stage not in cut}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: one chunk."""
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    recordings.recording(6, seed=8).write(path)
    return path


@pytest.fixture(scope="session")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Traps:
    return Traps(tmp_path_factory.mktemp("traps"))


@pytest.fixture(scope="session")
def _installation(tmp_path_factory: pytest.TempPathFactory, traps: Traps) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("shaken")
    with Stack(folder, gpu_workers=2, beat=True, flower=True, **SOON, **traps.env) as stack:
        yield stack


@pytest.fixture
def shaken(_installation: Stack, traps: Traps) -> Iterator[Stack]:
    """An installation with two GPU workers, whole again after each test."""
    yield _installation
    traps.clear()
    for name in NAMES:
        if name not in _installation.processes:
            start(_installation, name)
    _installation.wait_ready()


@pytest.fixture(scope="session")
def undisturbed(_installation: Stack) -> Callable[[Path], Result]:
    """What the installation makes of a recording while nothing happens to it; ask before anything does."""
    known: dict[Path, Result] = {}

    def undisturbed(path: Path) -> Result:
        if path not in known:
            done = _installation.run(path, **OPTIONS)
            assert done["status"] == "done", done
            assert set(attempts(_installation, done["id"]).values()) == {1}
            known[path] = result(_installation, done["id"])
        return known[path]

    return undisturbed


def start(stack: Stack, name: str) -> None:
    """Start a process of an installation again."""
    if name == "web":
        stack.start_web()
    elif name == "beat":
        stack.start_beat()
    elif name == "flower":
        stack.start_flower()
    elif name == "net":
        stack.start_worker(name, "net", stack.net_threads, pool="threads")
    else:
        stack.start_worker(name, name.rstrip("0123456789"), 1 if name.startswith("gpu") else stack.cpu_children)


def name_of(stack: Stack, child: int) -> str:
    """The worker that a process belongs to."""
    parent = psutil.Process(child).ppid()
    return next(name for name, process in stack.processes.items() if process.pid == parent)


def count(stack: Stack, status: str = "") -> int:
    """Jobs in a state, from the record itself."""
    query = select(func.count()).select_from(Job)
    with record(stack) as session:
        return session.scalar(query.where(Job.status == status) if status else query) or 0


@contextmanager
def record(stack: Stack) -> Iterator[Session]:
    """The record, to read."""
    database = Database(f"sqlite:///{stack.folder / 'data' / 'longhand.db'}")
    try:
        with database.read() as session:
            yield session
    finally:
        database.engine.dispose()
