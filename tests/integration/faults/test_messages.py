"""Messages that come twice, are lost, or find their work done; several processes that look after the same."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from store import open_store
from tasks.flow import Flow, open_flow
from tests.integration.faults.conftest import OPTIONS, STAGES, Result, Traps, attempts, name_of, result, start
from tests.stack import Stack, until

Undisturbed = Callable[[Path], Result]


@pytest.fixture
def second_beat(shaken: Stack) -> Iterator[None]:
    shaken.start_beat(2)
    yield
    shaken.kill("beat2")


@pytest.fixture
def flow(shaken: Stack) -> Iterator[Flow]:
    """Puts messages on the queues of that installation."""
    settings = Settings(_env_file=None, data_dir=shaken.folder / "data", redis_url=shaken.redis.url)  # type: ignore[call-arg]
    store = open_store(settings)
    flow = open_flow(settings, store)
    yield flow
    flow.app.close()
    store.database.engine.dispose()


def _send(flow: Flow, stage: str, *args: object) -> None:
    queue = flow.stages[stage].queue
    flow.app.signature(f"stage.{stage}", args=args, immutable=True, queue=queue, priority=0).apply_async()


def test_every_message_comes_three_times(shaken: Stack, flow: Flow, talk: Path, undisturbed: Undisturbed) -> None:
    expected = undisturbed(talk)
    booked = _booked(shaken)
    accepted = shaken.post(talk, **OPTIONS)
    sent: set[tuple[str, str]] = set()

    def over() -> dict[str, Any] | None:
        """Send again whatever runs, and whatever is done."""
        job: dict[str, Any] = shaken.client.get(f"/v1/jobs/{accepted['id']}").raise_for_status().json()
        for step in job["steps"]:
            if step["status"] in {"running", "done"} and (step["stage"], step["status"]) not in sent:
                sent.add((step["stage"], step["status"]))
                for item in ([0], [1], [2]) if step["stage"] == "transcribe" else ([],):
                    _send(flow, step["stage"], accepted["id"], *item)
                flow.submit(accepted["id"])
        return job if job["status"] in {"done", "failed"} else None

    done = until(over, 120, "the job to end", every=0.01)
    assert done["status"] == "done", done["error"]
    assert {"transcribe", "merge"} <= {stage for stage, _ in sent}
    assert result(shaken, done["id"]) == expected
    # And once more when all is over.
    for stage in STAGES:
        _send(flow, stage, accepted["id"], *([0] if stage == "transcribe" else []))
    _send_last(flow, accepted["id"])
    until(lambda: flow.waiting() == 0, 30, "the queues to be empty")
    assert set(attempts(shaken, done["id"]).values()) == {1}, "no work is done twice"
    assert result(shaken, done["id"]) == expected
    assert _booked(shaken) == booked + 1, "booked once"


def _booked(stack: Stack) -> int:
    return int(stack.client.get("/v1/usage").raise_for_status().json()["total"]["jobs"])


def _send_last(flow: Flow, job_id: str) -> None:
    for name in ("job.finish", "job.advance"):
        flow.app.signature(name, args=[job_id], immutable=True, queue="cpu", priority=0).apply_async()


@pytest.mark.usefixtures("second_beat")
def test_messages_are_lost_and_upkeep_finds_the_jobs(
    shaken: Stack, flow: Flow, traps: Traps, clip: Path, undisturbed: Undisturbed
) -> None:
    """Two workers die and the queue forgets what they held; beat runs twice all the while."""
    expected = undisturbed(clip)
    stuck: dict[str, str] = {}
    workers = set()
    # The last takes the second process of the CPU worker.
    for stage in ("transcribe", "export", "normalise"):
        traps.set(stage, "worked", "wait")
        accepted = shaken.post(clip, **OPTIONS)
        pid, job_id = traps.wait(stage, "worked")
        assert job_id == accepted["id"]
        stuck[job_id] = stage
        workers.add(name_of(shaken, pid))
    for name in workers:
        shaken.kill(name)
    with flow.app.connection_for_write() as connection, connection.channel() as channel:
        # What was taken and not acknowledged.
        channel.client.delete("unacked", "unacked_index")
    for name in workers:
        start(shaken, name)
    for job_id, stage in stuck.items():
        done = shaken.wait(job_id, 150)
        assert done["status"] == "done", done["error"]
        assert result(shaken, job_id) == expected
        begun = attempts(shaken, job_id)
        assert [s for (s, _), times in begun.items() if times != 1] == [stage] and max(begun.values()) == 2


def test_a_worker_that_is_told_to_stop_finishes_its_chunk(
    shaken: Stack, traps: Traps, clip: Path, undisturbed: Undisturbed
) -> None:
    expected = undisturbed(clip)
    ids = [shaken.post(clip, **OPTIONS)["id"] for _ in range(4)]

    def transcribing() -> bool:
        jobs = [shaken.client.get(f"/v1/jobs/{job_id}").json() for job_id in ids]
        return any(s["stage"] == "transcribe" and s["status"] == "running" for j in jobs for s in j["steps"])

    until(transcribing, 60, "a chunk to begin", every=0.01)
    for name in ("gpu1", "gpu2"):
        process = shaken.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        start(shaken, name)
    for job_id in ids:
        assert shaken.wait(job_id)["status"] == "done"
        assert result(shaken, job_id) == expected
        assert set(attempts(shaken, job_id).values()) == {1}


def test_a_worker_that_must_stop_at_once_hands_its_chunk_back(
    shaken: Stack, traps: Traps, clip: Path, undisturbed: Undisturbed
) -> None:
    """SIGQUIT, as `longhand up` sends: what is not done within seconds is begun again elsewhere."""
    expected = undisturbed(clip)
    traps.set("transcribe", "worked", "wait")
    accepted = shaken.post(clip, **OPTIONS)
    pid, _ = traps.wait("transcribe", "worked")
    name = name_of(shaken, pid)
    process = shaken.processes.pop(name)
    process.send_signal(signal.SIGQUIT)
    assert process.wait(60) is not None
    start(shaken, name)
    done = shaken.wait(accepted["id"])
    assert done["status"] == "done", done["error"]
    assert result(shaken, done["id"]) == expected
    begun = attempts(shaken, done["id"])
    assert {s for (s, _), times in begun.items() if times > 1} <= {"transcribe"}
