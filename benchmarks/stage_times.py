"""Measure what stages, and jobs beyond them, take: recordings through a real installation, one after the other.

Redis, PostgreSQL, the API and the workers are real. The demo model has one thread, and times with it are on a core of
one's own: where a machine is busy with other things, a stage's seconds are multiplied by the share in which the
processes of its worker really were on a processor. With any other model, perhaps on a GPU, they are by the clock, so
the machine must have nothing else to do. Used by ``python -m benchmarks.capacity --measure FILE``.
"""

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.flow_model import StageTime
from benchmarks.machine import machine
from benchmarks.profile import Profile, fit
from benchmarks.server_costs import COSTS, IDLE, Counters, background, idle, kept, upload
from store.models import WHOLE
from tests import recordings
from tests.postgres_server import PostgresServer
from tests.stack import Stack

OPTIONS: dict[str, Any] = {"chunk_seconds": 600}


@dataclass(frozen=True)
class Piece:
    """One piece of work as the log tells of it."""

    job: str
    stage: str
    chunk: int
    queue: str
    waited: float
    begun: float
    ended: float
    seconds: float


def pieces(stack: Stack) -> list[Piece]:
    """What the workers' logs say, in the order of their ends."""
    begun: dict[tuple[str, str, Any], dict[str, Any]] = {}
    found = []
    for line in lines(stack, "work begins", "work ends"):
        key = (line["job"], line["stage"], line.get("chunk"))
        if line["event"] == "work begins":
            begun[key] = line
        elif line["outcome"] == "done" and (start := begun.get(key)):
            waited = float(start["waited_seconds"] or 0)
            ended = moment(line)
            chunk, seconds = line.get("chunk", WHOLE), float(line["seconds"])
            found.append(Piece(key[0], key[1], chunk, start["queue"], waited, ended - seconds, ended, seconds))
    return sorted(found, key=lambda one: one.ended)


def lines(stack: Stack, *events: str) -> Iterator[dict[str, Any]]:
    """Lines of the workers' logs."""
    for name in stack.processes:
        for text in stack.log(name).splitlines():
            if any(event in text for event in events):
                with suppress(ValueError):
                    line = json.loads(text)
                    if line.get("event") in events:
                        yield line


def moment(line: dict[str, Any]) -> float:
    """When a line was written, in seconds since 1970."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def measure(minutes: Sequence[float], *, rounds: int, model: str = "demo", sounds: Sequence[Path] = ()) -> Profile:
    """Send recordings of these lengths, one after the other, and see what they take.

    Args:
        minutes: Of recordings made for this; the demo model understands them.
        rounds: How often each is sent.
        model: Another one than the demo model, which then has this machine as it is: its GPU, or all of its cores.
        sounds: Recordings of people, for such a model.
    """
    demo = model == "demo"
    with tempfile.TemporaryDirectory() as folder, closing(PostgresServer().start()) as postgres:
        url = postgres.create(migrated=True)
        made = (recordings.recording(60 * m, seed=40 + n) for n, m in enumerate(minutes))
        sent = list(sounds) or [sound.write(Path(folder) / f"{n}.mp3") for n, sound in enumerate(made)]
        with Stack(Path(folder) / "stack", DATABASE_URL=url, LOG_FORMAT="json", **_environment(model)) as stack:
            counters = Counters(stack, postgres, url.partition("?")[0].rpartition("/")[2])
            stack.run(sent[0], seconds=600)  # loads what is loaded once
            costs = {"redis_idle_bytes": counters.idle_bytes()}
            costs["redis_message_bytes"] = counters.message_bytes(sent[0].read_bytes())
            quiet = background(counters)
            known = len(pieces(stack))
            before = counters.look()
            done = [stack.run(sound, seconds=600, **OPTIONS) for _ in range(rounds) for sound in sent]
            after = counters.look()
            costs["database_connections"] = counters.connections()
            found = [piece for piece in pieces(stack)[known:] if piece.job in {job["id"] for job in done}]
            spent = {name: after[name] - before[name] for name in before}
            spent = {name: value - quiet.get(name, 0.0) * spent["at"] for name, value in spent.items()}
            costs["web_core_seconds_a_megabyte"] = upload(stack, counters)
            costs["kept_bytes_a_minute"] = kept(stack, done)
            handover, ends = gaps(stack, found)
            workers = len(stack.processes) - 1
            megabytes = sum(sound.stat().st_size for sound in sent) / len(sent) / 1e6
    costs |= {name: spent[name] / (len(found) + len(done)) for name in (*IDLE, "database_rows")} | idle(quiet, workers)
    web = spent["web_core_seconds"] / len(done)
    costs["web_core_seconds"] = max(web - costs["web_core_seconds_a_megabyte"] * megabytes, 0.0)
    shares = _shares(found, spent) if demo else {}
    lengths = {job["id"]: job["source"]["duration"] / 60 for job in done}
    times = times_of(found, lengths, shares) | {"finish": ends}
    return Profile(
        _told(model, sorted(lengths.values()), shares), times, round(handover, 5),
        {name: float(f"{costs[name]:.4g}") for name in COSTS}, longest_minutes=round(max(lengths.values()), 2),
        model=model,
    )  # fmt: skip


def _environment(model: str) -> dict[str, str]:
    """The demo model has one thread, so that its time can be told from that of the rest; others have what there is."""
    if model == "demo":
        return {"WHISPER_CPU_THREADS": "1", "OMP_NUM_THREADS": "1"}
    ours = ("WHISPER_", "HF_", "CUDA_", "LD_LIBRARY_PATH", "MODEL_CACHE")
    given = {name: value for name, value in os.environ.items() if name.startswith(ours)}
    return {"HF_HOME": str(Path.home() / ".cache/huggingface"), **given, "WHISPER_MODELS": model}


def _told(model: str, minutes: Sequence[float], shares: Mapping[str, float]) -> str:
    on = "; on a processor for " + " and ".join(f"{share:.0%} ({name})" for name, share in shares.items())
    return (
        f"{machine()}; {model} model{', one thread' if model == 'demo' else ''}; load {os.getloadavg()[1]:.1f}; "
        f"{len(minutes)} recordings of {minutes[0]:.2g} to {minutes[-1]:.3g} minutes"
        + (f"{on} of the time" if shares else "; seconds by the clock")
    )


def times_of(found: Sequence[Piece], minutes: dict[str, float], shares: dict[str, float]) -> dict[str, StageTime]:
    """Seconds of each stage, of a recording or chunk, by how many minutes it has."""
    number: defaultdict[tuple[str, str], int] = defaultdict(int)
    for piece in found:
        number[piece.job, piece.stage] += 1
    points: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for piece in found:
        share = shares.get(piece.queue, 1.0)
        points[piece.stage].append((minutes[piece.job] / number[piece.job, piece.stage], piece.seconds * share))
    return {stage: fit(some) for stage, some in sorted(points.items())}


def _shares(found: Sequence[Piece], spent: dict[str, float]) -> dict[str, float]:
    """How much of the time of a queue's work its processes were on a processor; at most all of it."""
    took: defaultdict[str, float] = defaultdict(float)
    for piece in found:
        took[piece.queue] += piece.seconds
    return {queue: min(1.0, spent[f"on {name}"] / took[queue]) for queue, name in (("cpu", "cpu"), ("gpu", "gpu1"))}


def gaps(stack: Stack, found: Sequence[Piece]) -> tuple[float, StageTime]:
    """Seconds between the end of a piece of work and the begin of the next, and from the last to the job's end."""
    over = {line["job"]: moment(line) for line in lines(stack, "job ended")}
    by_job: defaultdict[str, list[Piece]] = defaultdict(list)
    for piece in found:
        by_job[piece.job].append(piece)
    between = [
        max(later.begun - earlier.ended, 0.0)
        for one in by_job.values()
        for earlier, later in pairwise(one)
        if later.begun > earlier.ended
    ]
    ends = [over[job] - one[-1].ended for job, one in by_job.items() if job in over]
    handover = sum(between) / len(between)
    return handover, StageTime(round(max(sum(ends) / len(ends) - handover, 0.0), 5))
