"""Hold the simulation against a real installation: the same recordings at the same moments, sent to both.

A real stack (demo model with one thread, ``cpu`` with two processes) gets recordings so fast that work has to wait.
What was measured goes into a file (``benchmarks/profiles/checks``), from which the table can be made again without it:
``python -m benchmarks.capacity --check FILE`` does that where there is such a file, and measures where there is none.
"""

import json
import os
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks.demand import Recording
from benchmarks.flow_model import Installation, Model, StageTime, chunks
from benchmarks.machine import machine
from benchmarks.profile import WHOLE as STAGES
from benchmarks.queueing import share_below
from benchmarks.stage_times import Piece, gaps, lines, moment, pieces, times_of
from tests import recordings
from tests.stack import Stack

CHUNK_SECONDS = 60.0
MINUTES = (0.5, 1.0, 3.0)
LOAD = 0.8
"""How busy the workers of the model should be."""
CPU_PROCESSES = 2


def check(path: Path, *, seed: int, recordings: int, gpu_workers: int, keys: int, high: float) -> None:
    """Measure, unless that file has it, and print it beside what is simulated of the same."""
    if not path.exists():
        path.write_text(_text(_run(seed, recordings, gpu_workers, keys, high)))
    try:
        _print(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what a check wrote: {error!r}") from None


def _print(told: Mapping[str, Any]) -> None:
    came = [_recording(one) for one in told["jobs"]]
    print(told["machine"])
    lengths = ", ".join(sorted({f"{one.minutes:.2f}" for one in came}))
    high = sum(not one.priority for one in came)
    print(
        f"{len(came)} recordings of {lengths} minutes from {1 + max(one.account for one in came)} accounts in "
        f"{came[-1].at:.0f} s, {high} of them with the priority high; chunks of {CHUNK_SECONDS:g} s; "
        f"{told['gpu_workers']} gpu workers"
    )
    measured = {name: list(told[name]) for name in ("until work begins", "until done")}
    measured |= {
        f"wait on {queue}": [one["waited"] for one in told["pieces"] if one["queue"] == queue]
        for queue in ("cpu", "gpu")
    }
    table(measured, simulated(told))


def simulated(told: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """The same recordings in the simulation: with each piece's own time, with this run's times, with times alone."""
    came = [_recording(one) for one in told["jobs"]]
    own = {(came[one["job"]].at, one["stage"], one["chunk"]): one["seconds"] for one in told["pieces"]}
    during, before = ({name: StageTime(**time) for name, time in told[what].items()} for what in ("during", "before"))
    ways = {"its own times": (during, own, False), "this run's stage times": (during, {}, False)}
    found = {}
    # Times of this run have it in them already that cores were shared.
    for name, (times, each, shared) in (ways | {"stage times alone": (before, {}, True)}).items():
        installation = Installation(
            {"cpu": CPU_PROCESSES, "gpu": int(told["gpu_workers"]), "net": 16},
            dict.fromkeys(STAGES, StageTime(0.0)) | times,
            cores=float(told["cores"]) if shared else float("inf"),
            handover=float(told["handover"]),
            chunk_seconds=CHUNK_SECONDS,
        )
        seen = Model(installation, each).run(came)
        waits = {f"wait on {queue}": seen.waits[queue].all() for queue in ("cpu", "gpu")}
        found[name] = {"until work begins": seen.begins.all(), "until done": seen.latencies.all(), **waits}
    return found


def table(measured: Mapping[str, Sequence[float]], ways: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print them beside each other."""
    print(f"{'seconds: mean, 50 %, 95 %':28}{'measured':>24}" + "".join(f"{name:>26}" for name in ways))
    for what, found in measured.items():
        rows = [found, *(one[what] for one in ways.values())]
        told = ["".join(f"{value:8.2f}" for value in three(row)) for row in rows]
        print(f"{what:28}{told[0]}  " + "  ".join(told[1:]))


def three(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, median, and what 95 of 100 do not exceed."""
    return sum(values) / max(1, len(values)), share_below(values, 0.5), share_below(values, 0.95)


def _run(seed: int, number: int, gpu_workers: int, keys: int, high: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        sounds = _sounds(Path(folder))
        more: dict[str, Any] = {"WHISPER_CPU_THREADS": "1", "OMP_NUM_THREADS": "1", "LOG_FORMAT": "json"}
        with Stack(Path(folder) / "stack", gpu_workers=gpu_workers, cpu_children=CPU_PROCESSES, **more) as stack:
            before, handover = _alone(stack, sounds)
            plan = _plan(before, list(sounds), seed, number, gpu_workers, keys, high)
            known = {piece.job for piece in pieces(stack)}
            came = _send(stack, sounds, plan)
            found = [piece for piece in pieces(stack) if piece.job not in known]
            ended = {line["job"]: line for line in lines(stack, "job ended")}
    # The moments at which they were accepted, as the record has them.
    accepted = {job: moment(ended[job]) - ended[job]["latency_seconds"] for job in came}
    order = sorted(came, key=lambda job: accepted[job])
    first, minutes = accepted[order[0]], {job: one.minutes for job, one in came.items()}
    during = times_of(found, minutes, {}) | {"finish": before["finish"]}
    return {
        "machine": f"{machine()}; load {os.getloadavg()[0]:.1f} at the end; seed {seed}",
        "cores": len(os.sched_getaffinity(0)),
        "gpu_workers": gpu_workers,
        "handover": handover,
        "before": {name: asdict(one) for name, one in before.items()},
        "during": {name: asdict(one) for name, one in during.items()},
        "jobs": [_told(came[job], accepted[job] - first) for job in order],
        "until work begins": [ended[job]["queued_seconds"] for job in order],
        "until done": [ended[job]["latency_seconds"] for job in order],
        "pieces": [_piece(one, order) for one in found],
    }


def _text(told: Mapping[str, Any]) -> str:
    """JSON with a line for each job and each piece of work."""

    def one(value: Any) -> str:
        rows = isinstance(value, list) and value and isinstance(value[0], dict)
        return "[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if rows else json.dumps(value)

    return "{\n" + ",\n".join(f"{json.dumps(name)}: {one(value)}" for name, value in told.items()) + "\n}\n"


def _told(recording: Recording, at: float) -> dict[str, Any]:
    known = {"minutes": round(recording.minutes, 4), "account": recording.account, "priority": recording.priority}
    return {"at": round(at, 4), **known}


def _recording(told: Mapping[str, Any]) -> Recording:
    return Recording(**told)


def _piece(piece: Piece, order: Sequence[str]) -> dict[str, Any]:
    where = {"job": order.index(piece.job), "stage": piece.stage, "chunk": piece.chunk, "queue": piece.queue}
    return {**where, "waited": piece.waited, "seconds": piece.seconds}


def _sounds(folder: Path) -> dict[float, Path]:
    """Files by their real length in minutes: they end with a sentence, and a little more may be a chunk more."""
    made = [recordings.recording(60 * m, seed=70 + n) for n, m in enumerate(MINUTES)]
    return {sound.duration / 60: sound.write(folder / f"{n}.mp3") for n, sound in enumerate(made)}


def _alone(stack: Stack, sounds: Mapping[float, Path]) -> tuple[dict[str, StageTime], float]:
    """Stage times with nothing else to do, after one of each to warm up; and what lies between two pieces of work."""
    for sound in sounds.values():
        stack.run(sound, chunk_seconds=CHUNK_SECONDS)
    known = {piece.job for piece in pieces(stack)}
    jobs = {stack.run(sound, chunk_seconds=CHUNK_SECONDS)["id"]: m for _ in range(2) for m, sound in sounds.items()}
    found = [piece for piece in pieces(stack) if piece.job not in known]
    handover, ends = gaps(stack, found)
    return times_of(found, jobs, {}) | {"finish": ends}, handover


def _plan(
    times: Mapping[str, StageTime],
    minutes: Sequence[float],
    seed: int,
    number: int,
    gpu_workers: int,
    keys: int,
    high: float,
) -> list[Recording]:
    """Recordings at random, as often as keeps the workers of the model so busy."""
    choose = random.Random(seed)
    lengths = [choose.choice(minutes) for _ in range(number)]
    work = sum(
        times["detect_language"].seconds(m) + sum(times["transcribe"].seconds(c) for c in chunks(m, CHUNK_SECONDS))
        for m in lengths
    )
    at, plan = 0.0, []
    for m in lengths:
        plan.append(Recording(at, m, account=choose.randrange(keys), priority=0 if choose.random() < high else 3))
        at += choose.expovariate(LOAD * gpu_workers * number / work)
    return plan


def _send(stack: Stack, sounds: Mapping[float, Path], plan: Sequence[Recording]) -> dict[str, Recording]:
    """Send each at its moment, with the key of its account, and wait for all; by job."""
    content = {m: path.read_bytes() for m, path in sounds.items()}
    keys = {}
    for account in sorted({one.account for one in plan}):
        key = stack.client.post("/v1/keys", json={"name": f"account {account}"}).raise_for_status().json()["key"]
        keys[account] = {"Authorization": f"Bearer {key}"}
    began, came = time.monotonic(), {}
    for one in plan:
        time.sleep(max(0.0, one.at - (time.monotonic() - began)))
        options = {"chunk_seconds": str(CHUNK_SECONDS), "priority": "normal" if one.priority else "high"}
        files = {"file": ("a.mp3", content[one.minutes])}
        answer = stack.client.post("/v1/jobs", files=files, data=options, headers=keys[one.account])
        came[str(answer.raise_for_status().json()["id"])] = one
    for job_id, one in came.items():
        _wait(stack.client, job_id, keys[one.account])
    return came


def _wait(client: httpx.Client, job_id: str, key: Mapping[str, str]) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until:
        job = client.get(f"/v1/jobs/{job_id}", params={"wait": 10}, headers=key).raise_for_status().json()
        if job["status"] not in ("queued", "running"):
            assert job["status"] == "done", job
            return
    raise TimeoutError(f"job {job_id} was not done in 600 s")
