"""A process that is killed in each stage in turn: alone, and with its whole worker."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.faults.conftest import OPTIONS, STAGES, Result, Traps, attempts, name_of, result, start
from tests.stack import Stack

Undisturbed = Callable[[Path], Result]


def _begun_twice(stack: Stack, job_id: str) -> list[str]:
    begun = attempts(stack, job_id)
    assert set(begun.values()) <= {1, 2}
    return [stage for (stage, _), times in begun.items() if times == 2]


@pytest.mark.parametrize("moment", ["worked", "kept"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_child_killed_in_a_stage(
    shaken: Stack, traps: Traps, clip: Path, undisturbed: Undisturbed, stage: str, moment: str
) -> None:
    expected = undisturbed(clip)
    workers = {name: process.pid for name, process in shaken.processes.items()}
    traps.set(stage, moment, "die")
    done = shaken.run(clip, **OPTIONS)
    assert traps.caught(stage, moment), "nobody was killed"
    assert done["status"] == "done", done["error"]
    assert result(shaken, done["id"]) == expected
    assert _begun_twice(shaken, done["id"]) == [stage], "only what was interrupted is done again"
    assert {name: p.pid for name, p in shaken.processes.items() if p.poll() is None} == workers


@pytest.mark.parametrize("stage", STAGES)
def test_a_whole_worker_killed_in_a_stage(
    shaken: Stack, traps: Traps, talk: Path, undisturbed: Undisturbed, stage: str
) -> None:
    expected = undisturbed(talk)
    traps.set(stage, "worked", "wait")
    accepted = shaken.post(talk, **OPTIONS)
    pid, _ = traps.wait(stage, "worked")
    name = name_of(shaken, pid)
    # What else it holds at this moment is interrupted, too.
    steps = shaken.client.get(f"/v1/jobs/{accepted['id']}").json()["steps"]
    held = {step["stage"] for step in steps if step["status"] == "running"}
    shaken.kill(name)
    start(shaken, name)
    done = shaken.wait(accepted["id"])
    assert done["status"] == "done", done["error"]
    assert result(shaken, done["id"]) == expected
    twice = _begun_twice(shaken, done["id"])
    assert stage in twice and set(twice) <= held
    assert len(twice) <= 2


def test_a_child_that_stops_without_a_word_is_replaced(
    shaken: Stack, traps: Traps, clip: Path, undisturbed: Undisturbed
) -> None:
    """A process that is alive and does nothing (a machine that swaps, a paused virtual one), and comes back later."""
    expected = undisturbed(clip)
    traps.set("transcribe", "worked", "wait")
    accepted = shaken.post(clip, **OPTIONS)
    pid, _ = traps.wait("transcribe", "worked")
    name = name_of(shaken, pid)
    worker = shaken.processes[name].pid
    os.killpg(worker, signal.SIGSTOP)
    done = shaken.wait(accepted["id"])
    os.killpg(worker, signal.SIGCONT)
    assert done["status"] == "done"
    assert result(shaken, done["id"]) == expected
    assert _begun_twice(shaken, done["id"]) == ["transcribe"]
    # It comes to itself, sees that its work is somebody else's, and serves on.
    for _ in range(2):
        again = shaken.run(clip, **OPTIONS)
        assert result(shaken, again["id"]) == expected
    assert shaken.processes[name].poll() is None
