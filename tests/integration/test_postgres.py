"""PostgreSQL as the record: a real one, and what can happen to it while work goes on.

``LONGHAND_TEST_OUTAGE=30`` makes the outages of this file longer, in seconds.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from store.database import Database
from store.models import WHOLE, Step
from tests.postgres_server import PostgresServer
from tests.stack import ROOT, Stack, until

AWAY_SECONDS = float(os.environ.get("LONGHAND_TEST_OUTAGE", "8"))
ANSWER_SECONDS = 8
"""No answer takes longer while the database is away."""
OPTIONS: dict[str, Any] = {"chunk_seconds": 30, "temperature": 0.0}
CLIP = (ROOT / "models" / "demo" / "sample.flac").read_bytes()


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, record: Database) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("postgres")
    env = {
        "DATABASE_URL": record.url, "UPKEEP_SECONDS": "2", "VISIBILITY_TIMEOUT_SECONDS": "5",
        "LEASE_RENEWAL_SECONDS": "1", "PLUGINS": str(ROOT / "tests" / "plugins"), "WHISPER_ENGINE": "slow",
        "LONGHAND_TEST_SLOW": "0.4", "LONGHAND_TEST_SLOW_LOG": str(folder / "slow"),
    }  # fmt: skip
    with Stack(folder, cpu_children=1, net_threads=2, beat=True, **env) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(on_postgres: Stack, record: Database, talk: Path) -> dict[str, Any]:
    done = on_postgres.run(talk, **OPTIONS)
    assert done["status"] == "done", done
    assert set(begun(record, done["id"]).values()) == {1}
    return on_postgres.transcript(done["id"])


def begun(record: Database, job_id: str) -> dict[tuple[str, int], int]:
    """How often each piece of a job's work was begun."""
    with record.read() as session:
        rows = session.scalars(select(Step).where(Step.job_id == job_id)).all()
    cut = {row.stage for row in rows if row.item != WHOLE}
    return {(row.stage, row.item): row.attempts for row in rows if row.item != WHOLE or row.stage not in cut}


def at_work(record: Database) -> bool:
    """Whether a chunk is being transcribed."""
    with record.read() as session:
        query = select(Step.item).where(Step.stage == "transcribe", Step.item != WHOLE, Step.status == "running")
        return session.scalar(query.limit(1)) is not None


def test_jobs_batches_cancels_keys_and_repeated_requests(on_postgres: Stack, undisturbed: dict[str, Any]) -> None:
    client, again = on_postgres.client, {"Idempotency-Key": "the same"}
    assert len(undisturbed["segments"]) > 1
    files = [("file", (name, CLIP)) for name in ("a.flac", "b.flac")]
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(client.post("/v1/jobs", files=files, headers=again))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    made = client.post("/v1/jobs", files=files, headers=again).json()["jobs"]
    assert len(made) == 2 and len(client.get("/v1/jobs").json()["jobs"]) == 3
    key = client.post("/v1/keys", json={"name": "Ada", "audio_seconds_per_day": 1e6}).raise_for_status().json()["key"]
    other = {"Authorization": f"Bearer {key}"}
    stopped = client.post("/v1/jobs", files={"file": ("c.flac", CLIP)}, headers=other).raise_for_status().json()["id"]
    assert client.post(f"/v1/jobs/{stopped}/cancel", headers=other).json()["status"] == "cancelled"
    assert client.post(f"/v1/jobs/{stopped}/retry", headers=other).is_success
    for job_id in (*(job["id"] for job in made), stopped):
        assert on_postgres.wait(job_id)["status"] == "done"
    used = client.get("/v1/usage", params={"group_by": "key"}).raise_for_status().json()
    assert [row["jobs"] for row in used["rows"]] in ([3, 1], [1, 3])
    assert client.delete(f"/v1/jobs/{stopped}", headers=other).status_code == 204
    assert 'longhand_up{part="database"} 1.0' in client.get("/metrics").text


def waits_on(stack: Stack, job_id: str) -> threading.Thread:
    """Somebody who waits for the end of a job when the database goes away, and gets some answer."""

    def wait() -> None:
        answer = stack.client.get(f"/v1/jobs/{job_id}", params={"wait": 60})
        assert answer.status_code in {200, 503}, answer.text

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def is_told(stack: Stack, job_id: str) -> None:
    """What clients get while the database is away."""
    began = time.monotonic()
    asked = [
        stack.client.post("/v1/jobs", files={"file": ("a.flac", CLIP)}),
        stack.client.post("/v1/audio/transcriptions", files={"file": ("a.flac", CLIP)}, data={"model": "whisper-1"}),
        stack.client.get(f"/v1/jobs/{job_id}"),
        stack.client.get("/v1/jobs"),
        stack.client.post(f"/v1/jobs/{job_id}/cancel"),
    ]
    for answer in asked:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert str(stack.folder) not in answer.text and "postgres" not in answer.text.lower()
    assert stack.client.get("/health/live").status_code == 200
    ready = stack.client.get("/health/ready")
    assert ready.status_code == 503 and not ready.json()["checks"]["database"]["ok"]
    assert 'longhand_up{part="database"} 0.0' in stack.client.get("/metrics").text
    assert time.monotonic() - began < ANSWER_SECONDS * len(asked)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_the_server_goes_away_in_the_middle_of_chunks(
    on_postgres: Stack, postgres: PostgresServer, record: Database, talk: Path, undisturbed: dict[str, Any], how: str
) -> None:
    ids = [on_postgres.post(talk, **OPTIONS)["id"] for _ in range(3)]
    until(lambda: at_work(record), 60, "a chunk to be begun")
    waiting = waits_on(on_postgres, ids[0])
    if how == "stopped":
        postgres.stop(signal.SIGINT)
    else:
        postgres.kill()
    away = time.monotonic()
    is_told(on_postgres, ids[0])
    # An outage has no event that could be waited for: it is a length of time.
    time.sleep(max(0.0, AWAY_SECONDS - (time.monotonic() - away)))
    postgres.start()
    assert on_postgres.client.get("/v1/jobs").status_code == 200, "no connection of before is in the way"
    starts: list[int] = []
    for job_id in ids:
        done = on_postgres.wait(job_id, 60 + 2 * AWAY_SECONDS)
        assert done["status"] == "done", done["error"]
        assert on_postgres.transcript(job_id) == undisturbed
        starts += begun(record, job_id).values()
    # None twice, but one whose start was recorded at the very last moment, so that its worker was not told.
    assert sum(starts) <= len(starts) + 1, starts
    waiting.join(10)
    assert not waiting.is_alive()
    assert all(process.poll() is None for process in on_postgres.processes.values()), "nobody ended over it"
    assert on_postgres.client.get("/health/ready").status_code == 200


def test_a_server_that_takes_no_writes_is_waited_for(
    on_postgres: Stack, postgres: PostgresServer, record: Database, talk: Path, undisturbed: dict[str, Any]
) -> None:
    """As one that has become the copy of another; its connections live on."""
    accepted = on_postgres.post(talk, **OPTIONS)["id"]
    until(lambda: at_work(record), 60, "a chunk to be begun")
    postgres.say("ALTER SYSTEM SET default_transaction_read_only = on")
    postgres.say("SELECT pg_reload_conf()")

    def refusal() -> httpx.Response | None:
        answer = on_postgres.client.post("/v1/jobs", files={"file": ("a.flac", CLIP)})
        return answer if answer.is_error else None

    try:
        refused = until(refusal, 30, "a refusal")
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0, refused.text
        assert on_postgres.client.get(f"/v1/jobs/{accepted}").status_code == 200, "what is there is served"
        time.sleep(2)  # a length of time, as above
    finally:
        postgres.say("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.say("SELECT pg_reload_conf()")
    assert on_postgres.wait(accepted, 60)["status"] == "done"
    assert on_postgres.transcript(accepted) == undisturbed
    assert set(begun(record, accepted).values()) == {1}
