"""Hold the simulation against a real installation: the same recordings at the same moments, sent to both.

A real stack (demo model with one thread, one worker of ``gpu``, two processes of ``cpu``) gets recordings so fast that
work has to wait. Used by ``python -m benchmarks.capacity --check``.
"""

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.demand import Recording
from benchmarks.flow_model import QUEUES, Installation, Model, Seen, StageTime, chunks
from benchmarks.machine import machine
from benchmarks.profile import WHOLE as STAGES
from benchmarks.queueing import share_below
from benchmarks.stage_times import Piece, gaps, lines, moment, pieces, times_of
from tests import recordings
from tests.stack import Stack

CHUNK_SECONDS = 60.0
MINUTES = (0.5, 1.0, 3.0)
LOAD = 0.8
"""How busy the worker of the model should be."""
MEASURES = ("until work begins", "until done", *(f"wait on {name}" for name in ("cpu", "gpu")))


def check(*, seed: int, recordings: int) -> None:
    """Send so many recordings, and print what was measured and what is simulated of the same."""
    with tempfile.TemporaryDirectory() as folder:
        sounds = _sounds(Path(folder))
        more = {"WHISPER_CPU_THREADS": "1", "OMP_NUM_THREADS": "1", "LOG_FORMAT": "json"}
        with Stack(Path(folder) / "stack", **more) as stack:
            before, handover = _alone(stack, sounds)
            plan = _plan(before, list(sounds), seed, recordings)
            known = {piece.job for piece in pieces(stack)}
            came = _send(stack, sounds, plan)
            found = [piece for piece in pieces(stack) if piece.job not in known]
            ended = {line["job"]: line for line in lines(stack, "job ended")}
            minutes = {job: recording.minutes for job, recording in came.items()}
            during = times_of(found, minutes, {}) | {"finish": before["finish"]}
            # The moments at which they were accepted, as the record has them.
            accepted = {job: moment(ended[job]) - ended[job]["latency_seconds"] for job in came}
    measured = _measured([ended[job] for job in came], found)
    first = min(accepted.values())
    same = sorted(
        (Recording(accepted[job] - first, one.minutes, account=0) for job, one in came.items()), key=lambda one: one.at
    )
    between = _between(found)
    print(machine())
    print(f"between two pieces of work: alone {handover:.3f} s; while work waits {sum(between) / len(between):.3f} s")
    lengths = ", ".join(f"{m:.2f}" for m in sounds)
    print(f"{recordings} recordings of {lengths} minutes in {same[-1].at:.0f} s, chunks of 60 s")
    own = {(accepted[piece.job] - first, piece.stage, piece.chunk): piece.seconds for piece in found}
    ways = {
        "each piece's own time": _simulated(same, during, handover, own),
        "this run's stage times": _simulated(same, during, handover, {}),
        "stage times alone": _simulated(same, before, handover, {}),
    }
    _table(measured, ways)


def _measured(ended: Sequence[Mapping[str, float]], found: Sequence[Piece]) -> dict[str, list[float]]:
    return {
        "until work begins": [job["queued_seconds"] for job in ended],
        "until done": [job["latency_seconds"] for job in ended],
        **{f"wait on {name}": [piece.waited for piece in found if piece.queue == name] for name in ("cpu", "gpu")},
    }


def _between(found: Sequence[Piece]) -> list[float]:
    """Seconds between two pieces of work of the model's worker, of those where the second waited already."""
    own = sorted((piece for piece in found if piece.queue == "gpu"), key=lambda piece: piece.begun)
    gaps = [(later.begun - earlier.ended, later.waited) for earlier, later in pairwise(own)]
    return [gap for gap, waited in gaps if waited > gap]


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


def _plan(times: Mapping[str, StageTime], minutes: Sequence[float], seed: int, number: int) -> list[Recording]:
    """Recordings at random, as often as keeps the worker of the model so busy."""
    choose = random.Random(seed)
    lengths = [choose.choice(minutes) for _ in range(number)]
    work = sum(
        times["detect_language"].seconds(m) + sum(times["transcribe"].seconds(c) for c in chunks(m, CHUNK_SECONDS))
        for m in lengths
    )
    at, plan = 0.0, []
    for m in lengths:
        plan.append(Recording(at, m))
        at += choose.expovariate(LOAD * number / work)
    return plan


def _send(stack: Stack, sounds: Mapping[float, Path], plan: Sequence[Recording]) -> dict[str, Recording]:
    """Send each at its moment and wait for all; by job."""
    content = {m: path.read_bytes() for m, path in sounds.items()}
    began, came = time.monotonic(), {}
    for recording in plan:
        time.sleep(max(0.0, recording.at - (time.monotonic() - began)))
        job = stack.post(content[recording.minutes], name="a.mp3", chunk_seconds=CHUNK_SECONDS)
        came[str(job["id"])] = recording
    for job_id in came:
        done = stack.wait(job_id, 600)
        assert done["status"] == "done", done
    return came


def _simulated(
    same: Sequence[Recording],
    times: Mapping[str, StageTime],
    handover: float,
    own: Mapping[tuple[float, str, int], float],
) -> dict[str, list[float]]:
    every = dict.fromkeys(STAGES, StageTime(0.0)) | dict(times)
    workers = {"cpu": 2, "gpu": 1, "net": 16}
    has = Installation(workers, every, handover=handover, chunk_seconds=CHUNK_SECONDS)
    seen: Seen = Model(has, own).run(same)
    return {
        "until work begins": seen.begins,
        "until done": seen.latencies,
        **{f"wait on {name}": seen.waits[name] for name in QUEUES if name in ("cpu", "gpu")},
    }


def _table(measured: Mapping[str, list[float]], simulated: Mapping[str, Mapping[str, list[float]]]) -> None:
    print(f"{'seconds: mean, 50 %, 95 %':28}{'measured':>24}" + "".join(f"{name:>26}" for name in simulated))
    for what in MEASURES:
        rows = [measured[what], *(one[what] for one in simulated.values())]
        told = ["".join(f"{value:8.2f}" for value in _three(row)) for row in rows]
        print(f"{what:28}{told[0]}  " + "  ".join(told[1:]))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    return sum(values) / max(1, len(values)), share_below(values, 0.5), share_below(values, 0.95)
