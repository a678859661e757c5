"""Who is served when: a clip beside a long recording, and one account beside another's two hundred jobs."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from store import Store, jobs, open_store
from store.models import WHOLE, Job, Step
from tests import recordings
from tests.stack import ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
PLUGINS = ROOT / "tests" / "plugins"
CHUNKS = 6
BACKLOG = 200
TURNS = 6
"""Two processes of the queue cpu and one of gpu, twice."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One GPU worker, whose every chunk takes most of a second longer."""
    folder = tmp_path_factory.mktemp("fairness")
    env = {
        "PLUGINS": str(PLUGINS), "WHISPER_ENGINE": "slow", "LONGHAND_TEST_DEADLY": str(folder / "fuse"),
        "LONGHAND_TEST_SLOW": "0.8", "LONGHAND_TEST_SLOW_LOG": str(folder / "slow.txt"),
    }  # fmt: skip
    with Stack(folder, **env) as running:
        yield running


@pytest.fixture
def store(stack: Stack) -> Iterator[Store]:
    found = open_store(Settings(_env_file=None, data_dir=stack.folder / "data", redis_url=stack.redis.url))  # type: ignore[call-arg]
    yield found
    found.database.engine.dispose()


def record(store: Store, job_id: str) -> Job:
    job = jobs.get(store.database, job_id)
    assert job is not None
    return job


def chunks(job: Job) -> list[Step]:
    return [step for step in job.steps if step.stage == "transcribe" and step.item != WHOLE]


def began(step: Step) -> datetime:
    assert step.started_at is not None
    return step.started_at


def test_a_clip_waits_for_one_chunk_of_a_long_recording(stack: Stack, store: Store, tmp_path: Path) -> None:
    path = recordings.recording(30 * CHUNKS, seed=8).write(tmp_path / "long.wav")
    long = stack.post(path, language="en", chunk_seconds=30)["id"]
    until(lambda: any(step.status == "done" for step in chunks(record(store, long))), 60, "the first chunk to be done")
    for form in ({"language": "en"}, {}):
        answer = stack.client.post("/transcribe/demo", files={"file": SAMPLE.read_bytes()}, data=form)
        assert answer.status_code == 200 and answer.json()["text"], answer.text
        clip = record(store, answer.headers["X-Job-ID"])
        cut = next(step.finished_at for step in clip.steps if step.stage == "chunk")
        assert cut is not None
        heard = [began(step) for step in chunks(clip)]
        others = [step.started_at for step in chunks(record(store, long)) if step.started_at is not None]
        # From when it could go to the GPU on; the language takes a place of its own there, if it has to be found out.
        assert len([at for at in others if cut < at < max(heard)]) <= 1
    assert record(store, long).status == "running", "it was still at it"
    assert stack.wait(long)["status"] == "done"
    pieces = chunks(record(store, long))
    assert len(pieces) >= CHUNKS - 1 and {(step.status, step.attempts) for step in pieces} == {("done", 1)}


def test_two_hundred_jobs_of_one_account_do_not_starve_another(stack: Stack, store: Store) -> None:
    key = stack.client.post("/v1/keys", json={"name": "Ada"}).raise_for_status().json()["key"]
    tiny = recordings.silence(0.2).write(stack.folder / "tiny.wav")
    files = [("file", (f"{n}.wav", tiny.read_bytes())) for n in range(BACKLOG)]
    batch = stack.client.post("/v1/jobs", files=files, data={"formats": "none"}).raise_for_status().json()["jobs"]
    with httpx.Client(base_url=stack.client.base_url, trust_env=False, timeout=60) as ada:
        headers = {"Authorization": f"Bearer {key}"}
        single = ada.post("/v1/jobs", headers=headers, files={"file": SAMPLE.read_bytes()}).raise_for_status().json()
        assert single["queue_position"] is None or single["queue_position"] <= 2, "the accounts take turns"
        done = ada.get(f"/v1/jobs/{single['id']}", params={"wait": 60}, headers=headers).json()
    assert done["status"] == "done"
    mine, others = record(store, single["id"]), [record(store, job["id"]) for job in batch]
    assert mine.started_at is not None and mine.finished_at is not None
    begun = [job.started_at for job in others if job.started_at is not None]
    assert len([at for at in begun if mine.created_at < at < mine.started_at]) <= TURNS
    assert len(begun) < BACKLOG, "it was done long before them"
    spans = [(job.started_at, job.finished_at) for job in others if job.started_at is not None]
    assert max(sum(a <= at and (b is None or at < b) for a, b in spans) for at in begun) <= TURNS
