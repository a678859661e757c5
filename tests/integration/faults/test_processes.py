"""Each process of an installation killed in turn, with twenty jobs in flight."""

import threading
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.integration.faults.conftest import OPTIONS, Result, attempts, count, result, start
from tests.stack import Stack, until

JOBS = 20
Undisturbed = Callable[[Path], Result]


def _post(stack: Stack, path: Path, key: str) -> str:
    """Send a recording as a careful client does: again with the same key, until there is an answer."""

    def accepted() -> str:
        fields = {k: str(v) for k, v in OPTIONS.items()}
        files = {"file": (path.name, path.read_bytes())}
        answer = stack.client.post("/v1/jobs", headers={"Idempotency-Key": key}, files=files, data=fields)
        # 409: the request before it may still be worked at, or was killed in the middle.
        return str(answer.json()["id"]) if answer.status_code == 202 else ""

    found: str = until(accepted, 90, "the job to be accepted", (httpx.TransportError,))
    return found


def test_every_process_is_killed_while_twenty_jobs_run(shaken: Stack, clip: Path, undisturbed: Undisturbed) -> None:
    expected = undisturbed(clip)
    before, total = count(shaken, "done"), count(shaken)
    victims = ["web", "cpu", "gpu1", "gpu2", "net", "beat", "flower"]
    ids: list[str] = []
    sender = threading.Thread(target=lambda: ids.extend([_post(shaken, clip, f"in flight {n}") for n in range(JOBS)]))
    sender.start()
    for killed, name in enumerate(victims):
        # In the middle of the work, wherever that is just now: whenever two more jobs are done.
        over = before + 2 * killed
        until(lambda over=over: count(shaken, "done") >= over, 120, f"{2 * killed} jobs to be done")
        shaken.kill(name)
        start(shaken, name)
    sender.join()
    shaken.wait_ready()
    assert len(set(ids)) == JOBS
    for job_id in ids:
        done = shaken.wait(job_id)
        assert done["status"] == "done", done["error"]
        assert result(shaken, job_id) == expected
    assert count(shaken) == total + JOBS, "no job was made twice"
    begun = [times for job_id in ids for times in attempts(shaken, job_id).values()]
    assert set(begun) <= {1, 2, 3}
    # Two children of the CPU worker and one of each GPU worker were in the middle of something, at most.
    assert sum(begun) - len(begun) <= shaken.cpu_children + 2, "only what was interrupted is done twice"


def test_a_rolling_restart_while_twenty_jobs_run(shaken: Stack, clip: Path, undisturbed: Undisturbed) -> None:
    """Every process is told to stop and replaced, as an update does; the API's by a reload."""
    expected = undisturbed(clip)
    ids = [_post(shaken, clip, f"rolling {n}") for n in range(JOBS)]
    stop, refused, answers = threading.Event(), [], [0]

    def ask() -> None:
        while not stop.is_set():
            try:
                with httpx.Client(base_url=shaken.client.base_url, timeout=20, trust_env=False) as fresh:
                    fresh.get("/health/live").raise_for_status()
                    answers[0] += 1
            except httpx.HTTPError as error:
                refused.append(repr(error))
            stop.wait(0.02)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for name in ["cpu", "gpu1", "gpu2", "net", "beat", "flower"]:
            process = shaken.processes.pop(name)
            process.terminate()
            assert process.wait(60) is not None
            start(shaken, name)
        before = _pids(shaken, "web")
        shaken.reload_web()
        until(
            lambda: not before & {p.pid for p in shaken.children("web")} and shaken.children("web"),
            60,
            "new web processes",
        )
        for job_id in ids:
            assert shaken.wait(job_id)["status"] == "done"
            assert result(shaken, job_id) == expected
    finally:
        stop.set()
        asker.join()
    assert not refused and answers[0] > 20
    assert all(times == 1 for job_id in ids for times in attempts(shaken, job_id).values()), "nothing was interrupted"


def _pids(stack: Stack, name: str) -> set[int]:
    return {process.pid for process in stack.children(name)}
