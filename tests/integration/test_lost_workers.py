"""Children and whole workers that die in the middle of a chunk."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import parser

from tests.stack import ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, fuse: Path) -> Iterator[Stack]:
    env = {
        "PLUGINS": str(PLUGINS), "WHISPER_ENGINE": "deadly", "LONGHAND_TEST_DEADLY": str(fuse),
        "VISIBILITY_TIMEOUT_SECONDS": "6", "LEASE_RENEWAL_SECONDS": "1",
    }  # fmt: skip
    with Stack(tmp_path_factory.mktemp("mortal"), **env) as stack:
        yield stack


def told(stack: Stack, name: str, **labels: str) -> float:
    """One of the figures that are read from the record."""
    wanted, found = {*labels.items()}, []
    for family in parser.text_string_to_metric_families(stack.client.get("/metrics").raise_for_status().text):
        found += [s.value for s in family.samples if s.name == f"longhand_{name}" and wanted <= {*s.labels.items()}]
    return sum(found)


def counted(stack: Stack, name: str, at_least: float, **labels: str) -> None:
    # What a process of the API found is good for a second.
    until(lambda: told(stack, name, **labels) >= at_least, 60, f"{name} to be {at_least}")
    assert told(stack, name, **labels) == at_least


def test_a_child_killed_in_the_middle_of_a_chunk_costs_nothing(mortal: Stack, fuse: Path) -> None:
    undisturbed = mortal.transcript(mortal.run(SAMPLE)["id"])
    parent = mortal.processes["gpu1"].pid
    fuse.write_text("x")
    done = mortal.run(SAMPLE)
    assert fuse.read_text() == "", "the child was never killed"
    assert done["status"] == "done"
    assert mortal.transcript(done["id"]) == undisturbed
    attempts = {s["stage"]: s["attempts"] for s in done["steps"]}
    assert attempts == {**dict.fromkeys(attempts, 1), "transcribe": 2}, "only the interrupted work is done twice"
    counted(mortal, "leases_lost_total", 1, stage="transcribe", how="child")
    assert told(mortal, "stage_retries_total", stage="transcribe", reason="worker_lost") == 1
    assert told(mortal, "stage_retries_total") == told(mortal, "leases_lost_total") == 1, "and nothing else was lost"
    # Each piece has waited once, though one was begun twice: six stages of two jobs, of one chunk each.
    assert told(mortal, "queue_wait_seconds_count", priority="normal") == 12
    assert told(mortal, "queue_wait_seconds_count", queue="gpu") >= 2
    assert told(mortal, "transcription_real_time_factor_count") == told(mortal, "job_real_time_factor_count") == 2
    assert mortal.processes["gpu1"].pid == parent and mortal.processes["gpu1"].poll() is None


def test_a_chunk_that_always_kills_fails_its_job_and_not_the_worker(mortal: Stack, fuse: Path) -> None:
    fuse.write_text("x" * 50)
    failed = mortal.run(SAMPLE)
    killed = 50 - len(fuse.read_text())
    fuse.write_text("")
    assert failed["status"] == "failed"
    assert killed == 4, "as often as MAX_ATTEMPTS says"
    counted(mortal, "leases_lost_total", 1 + 4, stage="transcribe", how="child")
    assert failed["error"]["code"] == "worker_lost"
    assert failed["error"]["stage"] == "transcribe"
    assert "4 times" in failed["error"]["detail"]
    assert mortal.processes["gpu1"].poll() is None
    assert mortal.run(SAMPLE)["status"] == "done"


def test_a_decoder_that_hears_nothing_is_stopped_by_a_cancel(mortal: Stack, fuse: Path) -> None:
    parent = mortal.processes["gpu1"].pid
    fuse.write_text("h")
    accepted = mortal.post(SAMPLE)
    until(lambda: fuse.read_text() == "", 30, "the decoder to hang")
    assert mortal.client.post(f"/v1/jobs/{accepted['id']}/cancel").is_success
    # Far sooner than the decoder would have come back, and without its worker having been replaced.
    assert mortal.run(SAMPLE, seconds=60)["status"] == "done"
    assert mortal.client.get(f"/v1/jobs/{accepted['id']}").json()["status"] == "cancelled"
    assert not list((mortal.folder / "data" / "scratch").glob(f"{accepted['id']}-*")), "and nothing of it is left"
    assert mortal.processes["gpu1"].pid == parent and mortal.processes["gpu1"].poll() is None


def test_a_whole_worker_killed_is_replaced_by_another(mortal: Stack) -> None:
    undisturbed = mortal.transcript(mortal.run(SAMPLE)["id"])
    accepted = mortal.post(SAMPLE)

    def transcribing() -> bool:
        steps = mortal.client.get(f"/v1/jobs/{accepted['id']}").json()["steps"]
        return any(s["stage"] == "transcribe" and s["status"] == "running" for s in steps)

    # Stopped, not killed, at first: so that it cannot end the chunk between our look and the shot.
    until(transcribing, 30, "the chunk to begin", every=0.01)
    group = mortal.processes["gpu1"].pid
    os.killpg(group, signal.SIGSTOP)
    still = transcribing()
    mortal.kill("gpu1")
    mortal.start_worker("gpu2", "gpu", 1)
    done = mortal.wait(accepted["id"], 90)
    assert done["status"] == "done"
    assert mortal.transcript(done["id"]) == undisturbed
    if still:
        counted(mortal, "leases_lost_total", 1, stage="transcribe", how="silent")
        assert next(s["attempts"] for s in done["steps"] if s["stage"] == "transcribe") == 2
