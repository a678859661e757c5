"""What is told of a job at its end."""

from datetime import UTC, datetime, timedelta
from typing import Any

from store.endings import figures
from store.models import WHOLE, Job, Step

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def step(stage: str, start: float | None, end: float | None, item: int = WHOLE, attempts: int = 1) -> Step:
    times = {"started_at": None if start is None else at(start), "finished_at": None if end is None else at(end)}
    return Step(stage=stage, item=item, attempts=attempts, **times)


def job(*steps: Step, **more: Any) -> Job:
    told: dict[str, Any] = {"owner": "admin", "priority": "normal", "status": "done", "options": {"model": "small"}}
    told |= {"source_name": "Notes on a divorce.mp3", "details": {"who": "Grace"}, "source_bytes": 9, "duration": 100.0}
    made = Job(**{"id": "a", **told, "created_at": BEGAN, "started_at": at(2), "error": None, **more})
    made.steps = list(steps)
    return made


def test_chunks_side_by_side_are_work_twice_and_time_once() -> None:
    told = figures(
        job(
            step("normalise", 2, 4),
            step("transcribe", 5, 15),
            step("transcribe", 5, 15, 0, attempts=3),
            step("transcribe", 10, 15, 1),
            step("merge", 16, 17),
        ),
        at(20),
    )
    assert told["stage_seconds"] == {"normalise": 2, "transcribe": 15, "merge": 1} and told["work_seconds"] == 18
    assert (told["latency_seconds"], told["queued_seconds"], told["waiting_seconds"]) == (20, 2, 7)
    assert (told["chunks"], told["restarts"], told["real_time_factor"]) == (2, 2, 0.18)
    assert "divorce" not in str(told) and "Grace" not in str(told)


def test_a_job_that_never_began_has_waited_all_the_time() -> None:
    told = figures(job(step("normalise", None, None), status="cancelled", started_at=None, duration=None), at(5))
    assert (told["queued_seconds"], told["waiting_seconds"], told["work_seconds"]) == (5, 5, 0)
    assert told["real_time_factor"] is None and told["stage_seconds"] == {}


def test_what_went_wrong_is_told_by_its_code_alone() -> None:
    error = {"code": "unreadable", "detail": "“Notes on a divorce.mp3” cannot be read.", "stage": "normalise"}
    told = figures(job(step("normalise", 2, None), status="failed", error=error, duration=None), at(5))
    assert (told["outcome"], told["code"], told["stage"]) == ("failed", "unreadable", "normalise")
    assert "divorce" not in str(told) and told["stage_seconds"] == {"normalise": 3}


def test_a_folder_of_the_operator_s_is_told_by_its_name() -> None:
    assert figures(job(options={"model": "/srv/models/ours/"}), at(1))["model"] == "ours"
    assert figures(job(options={"model": "org/name"}), at(1))["model"] == "org/name"
