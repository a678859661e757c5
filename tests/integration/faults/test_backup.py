"""A running installation is backed up in the middle of a job; restored elsewhere, the job ends as if nothing was."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from store.database import Database
from store.models import WHOLE, Step
from tests.integration.faults.conftest import OPTIONS, Result, Traps, attempts, result
from tests.postgres_server import PostgresServer, postgres_lacks
from tests.stack import Stack, until


def longhand(stack: Stack, *arguments: str | Path) -> str:
    """What a command says, in an installation's surroundings."""
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    done = subprocess.run(command, env=stack.env, cwd=stack.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The database to restore into: of another kind, where there is one."""
    if postgres_lacks() is not None:
        return f"sqlite:///{tmp_path / 'elsewhere.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create()


def chunks(database: Database, job_id: str) -> list[Step]:
    with database.read() as session:
        query = select(Step).where(Step.job_id == job_id, Step.stage == "transcribe", Step.item != WHOLE)
        return list(session.scalars(query))


def test_a_job_goes_on_in_the_restored_installation(
    shaken: Stack, traps: Traps, undisturbed: Callable[[Path], Result], talk: Path, tmp_path: Path, elsewhere: str
) -> None:
    expected = undisturbed(talk)
    key = shaken.client.post("/v1/keys", json={"name": "Ada"}).raise_for_status().json()["key"]
    traps.set("transcribe", "asked", "wait")
    job_id = shaken.post(talk, **OPTIONS)["id"]
    child, _ = traps.wait("transcribe", "asked")
    source = Database(f"sqlite:///{shaken.folder / 'data' / 'longhand.db'}")
    until(lambda: [s.status for s in chunks(source, job_id)].count("done") == 2, 60, "the other worker to do the rest")
    source.engine.dispose()
    said = longhand(shaken, "backup", tmp_path / "kept")
    os.kill(child, signal.SIGKILL)
    assert "(0 bytes" not in said

    found = Stack(
        tmp_path / "found", cpu_children=1, net_threads=2, beat=True, UPKEEP_SECONDS="1", DATABASE_URL=elsewhere
    )
    found.folder.mkdir()
    assert "1 jobs were not finished" in longhand(found, "restore", tmp_path / "kept")
    restored = datetime.now(UTC)
    with found:
        assert found.wait(job_id)["status"] == "done"
        assert result(found, job_id) == expected
        listed = found.client.get("/v1/jobs").json()["jobs"]
        earlier = next(job["id"] for job in listed if job["id"] != job_id and job["status"] == "done")
        assert result(found, earlier) == result(shaken, earlier), "what was done is there"
        mine = {"Authorization": f"Bearer {key}"}
        assert found.client.get("/v1/jobs", headers=mine).raise_for_status().json()["jobs"] == []
    record = Database(elsewhere)
    again = [step for step in chunks(record, job_id) if step.finished_at and step.finished_at > restored]
    record.engine.dispose()
    assert len(again) == 1, "only what was not done is done again"
    assert shaken.wait(job_id)["status"] == "done", "and where the backup was made work went on"
    assert result(shaken, job_id) == expected and set(attempts(shaken, job_id).values()) == {1, 2}
