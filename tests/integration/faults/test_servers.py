"""What our own work stands on goes away for a while: Redis, the database, the disk."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.faults.conftest import OPTIONS, Result, Traps, attempts, count, result
from tests.stack import Stack, until

JOBS = 20
DATABASE_AWAY_SECONDS = 31.0
"""Longer than anybody waits for a lock (``store.database.BUSY_SECONDS``)."""
Undisturbed = Callable[[Path], Result]


def test_redis_is_killed_and_comes_back_empty_while_twenty_jobs_run(
    shaken: Stack, clip: Path, undisturbed: Undisturbed
) -> None:
    expected = undisturbed(clip)
    before = count(shaken, "done")
    ids = [shaken.post(clip, **OPTIONS)["id"] for _ in range(JOBS)]
    total = count(shaken)
    until(lambda: count(shaken, "done") >= before + 3, 60, "the first to be done")
    finished = next(j["id"] for j in shaken.client.get("/v1/jobs", params={"status": "done"}).json()["jobs"])
    shaken.redis.kill()

    files = {"file": (clip.name, clip.read_bytes())}
    refused = shaken.client.post("/v1/jobs", files=files)
    assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
    assert refused.json()["detail"].endswith(".")
    called = shaken.client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"})
    assert called.status_code == 503 and int(called.headers["Retry-After"]) > 0
    assert result(shaken, finished) == expected, "what is finished is served"
    assert shaken.client.get("/v1/jobs").status_code == 200
    assert shaken.client.get("/health/live").status_code == 200
    assert shaken.client.get("/health/ready").status_code == 503
    assert count(shaken) == total, "what was refused left nothing behind"

    shaken.redis.start()
    for job_id in ids:
        done = shaken.wait(job_id)
        assert done["status"] == "done", done["error"]
        assert result(shaken, job_id) == expected
        assert set(attempts(shaken, job_id).values()) == {1}
    assert all(process.poll() is None for process in shaken.processes.values()), "nobody ended over it"
    assert shaken.run(clip, **OPTIONS)["status"] == "done"


def test_the_database_is_away_while_jobs_run(shaken: Stack, talk: Path, undisturbed: Undisturbed) -> None:
    expected = undisturbed(talk)
    ids = [shaken.post(talk, **OPTIONS)["id"] for _ in range(3)]
    until(lambda: count(shaken, "running"), 60, "work to begin")
    database = shaken.folder / "data" / "longhand.db"
    with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answered: list[int] = []
        asked = threading.Thread(
            target=lambda: answered.append(
                shaken.client.post("/v1/jobs", files={"file": ("a.wav", talk.read_bytes())}).status_code
            )
        )
        asked.start()
        # An outage has no event that could be waited for: it is a length of time.
        time.sleep(DATABASE_AWAY_SECONDS)
        other.execute("ROLLBACK")
    asked.join()
    assert answered == [503] or answered == [202]
    for job_id in ids:
        done = shaken.wait(job_id)
        assert done["status"] == "done", done["error"]
        assert result(shaken, job_id) == expected
        assert set(attempts(shaken, job_id).values()) == {1}


def test_the_disk_is_away_while_jobs_run(shaken: Stack, talk: Path, undisturbed: Undisturbed) -> None:
    """The folder vanishes, as one does that is no longer mounted, at a moment when every stage has work."""
    expected = undisturbed(talk)
    finished = shaken.run(talk, **OPTIONS)["id"]
    ids = [shaken.post(talk, **OPTIONS)["id"] for _ in range(4)]
    until(lambda: count(shaken, "running"), 60, "work to begin")
    failed = count(shaken, "failed")
    here = shaken.folder / "data" / "jobs"
    aside = shaken.folder / "data" / "unmounted"
    before = {name: len(shaken.log(name)) for name in ("cpu", "gpu1", "gpu2")}
    here.rename(aside)

    answer = shaken.client.get(f"/v1/jobs/{finished}/transcript")
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    refused = shaken.client.post("/v1/jobs", files={"file": ("a.wav", talk.read_bytes())})
    assert refused.status_code == 503, refused.text
    missed = ("tried again", "waits to be kept")

    def work_misses_it() -> bool:
        return any(word in shaken.log(name)[at:] for name, at in before.items() for word in missed)

    until(work_misses_it, 60, "work to miss the disk")
    assert not here.exists(), "nothing is written where the disk should be"
    assert shaken.client.get(f"/v1/jobs/{finished}").json()["status"] == "done"
    assert count(shaken, "failed") == failed

    aside.rename(here)
    for job_id in ids:
        done = shaken.wait(job_id)
        assert done["status"] == "done", done["error"]
        assert result(shaken, job_id) == expected
        assert set(attempts(shaken, job_id).values()) == {1}
    assert result(shaken, finished) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("stage", ["normalise", "chunk", "transcribe", "merge", "export"])
def test_the_disk_is_full(shaken: Stack, traps: Traps, clip: Path, undisturbed: Undisturbed, stage: str) -> None:
    # As often as it is tried: a disk does not become empty by itself.
    expected, full = undisturbed(clip), threading.Event()

    def fill() -> None:
        while not full.wait(0.02):
            if not (traps.folder / f"{stage}.asked").exists():
                traps.set(stage, "asked", "full")

    filler = threading.Thread(target=fill)
    filler.start()
    try:
        accepted = shaken.post(clip, **OPTIONS)
        failed = shaken.wait(accepted["id"])
    finally:
        full.set()
        filler.join()
        (traps.folder / f"{stage}.asked").unlink(missing_ok=True)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "storage_full" and failed["error"]["stage"] == stage
    assert "disk" in failed["error"]["detail"]
    assert max(attempts(shaken, accepted["id"]).values()) > 1
    # Room was made: it goes on from where it stood, and nothing that was half written is ever read.
    again = shaken.client.post(f"/v1/jobs/{accepted['id']}/retry")
    assert again.is_success, again.text
    assert shaken.wait(accepted["id"])["status"] == "done"
    assert result(shaken, accepted["id"]) == expected
