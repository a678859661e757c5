"""Measure what stages, and jobs beyond them, take: recordings through a real installation, one after the other.

Redis, PostgreSQL, the API and the workers are real; a model has one thread. Times are on a core of one's own: where a
machine is busy with other things, a stage's seconds are multiplied by the share in which its worker's processes really
were on a processor. Used by ``python -m benchmarks.capacity --measure FILE``.
"""

import json
import os
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.flow_model import StageTime
from benchmarks.machine import machine
from benchmarks.profile import Profile, fit
from store.models import WHOLE
from tests import recordings
from tests.postgres_server import PostgresServer
from tests.stack import Stack

COSTS = {
    "redis_commands": "commands that Redis carries out for a piece of work",
    "redis_core_seconds": "seconds of a core that it takes for them",
    "redis_message_bytes": "memory of a message that waits",
    "redis_idle_bytes": "memory of Redis with nothing to do",
    "database_commits": "transactions of PostgreSQL for a piece of work that wrote or read",
    "database_rows": "rows that they wrote",
    "database_core_seconds": "seconds of a core that they take",
    "web_core_seconds": "seconds of a core of the API for a job: sending it, waiting for it, reading it",
    "web_core_seconds_a_megabyte": "seconds of a core of the API for each MB of an upload",
    "kept_bytes_a_minute": "what a job leaves beside its recording, for a minute of audio",
}
AUDIO_BYTES_A_MINUTE = 16_000 * 2 * 60
"""Of the decoded recording, which is there as long as the job is under way."""
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


def on_processor(pids: Iterable[int]) -> float:
    """Seconds that processes, their children and those of them that have ended were on a processor."""
    seconds = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(pid)
            for one in (main, *main.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


class Counters:
    """Figures of the servers that only grow."""

    def __init__(self, stack: Stack, postgres: PostgresServer, database: str) -> None:
        import redis

        self._stack, self._postgres, self._database = stack, postgres, database
        self._redis: Any = redis.Redis.from_url(stack.redis.url)

    def look(self) -> dict[str, float]:
        """All of them."""
        info = self._redis.info()
        time.sleep(1.2)  # PostgreSQL's processes tell their figures once a second
        query = f"SELECT xact_commit, tup_inserted + tup_updated + tup_deleted FROM pg_stat_database WHERE datname = '{self._database}'"  # noqa: E501
        commits, rows = self._postgres.say(query)[0]
        server = self._postgres.process
        assert server is not None
        return {
            "at": time.monotonic(),
            "redis_commands": info["total_commands_processed"],
            "redis_core_seconds": info["used_cpu_user"] + info["used_cpu_sys"],
            "database_commits": float(commits),
            "database_rows": float(rows),
            "database_core_seconds": on_processor([server.pid]),
            "web_core_seconds": on_processor([self._stack.processes["web"].pid]),
            **{f"on {name}": on_processor([self._stack.processes[name].pid]) for name in ("cpu", "gpu1")},
        }

    def idle_bytes(self) -> float:
        """Memory of Redis now."""
        return float(self._redis.info()["used_memory"])

    def message_bytes(self, clip: bytes) -> float:
        """Memory of a message: some are sent while nobody takes them."""
        worker = self._stack.processes["cpu"]
        worker.send_signal(signal.SIGSTOP)
        try:
            jobs = [self._stack.post(clip)["id"] for _ in range(4)]
            key = next(name for name in ("cpu\x06\x163", "cpu") if self._redis.llen(name))
            size = float(self._redis.memory_usage(key, samples=0)) / self._redis.llen(key)
        finally:
            worker.send_signal(signal.SIGCONT)
        for job in jobs:
            self._stack.wait(job)
        return size


def measure(minutes: Sequence[float], *, rounds: int) -> Profile:
    """Send recordings of these lengths, one after the other, and see what they take."""
    with tempfile.TemporaryDirectory() as folder, closing(PostgresServer().start()) as postgres:
        url = postgres.create(migrated=True)
        sounds = [
            recordings.recording(60 * m, seed=40 + n).write(Path(folder) / f"{n}.mp3") for n, m in enumerate(minutes)
        ]
        more = {"DATABASE_URL": url, "WHISPER_CPU_THREADS": "1", "OMP_NUM_THREADS": "1", "LOG_FORMAT": "json"}
        with Stack(Path(folder) / "stack", **more) as stack:
            counters = Counters(stack, postgres, url.partition("?")[0].rpartition("/")[2])
            stack.run(sounds[0])  # loads what is loaded once
            idle = counters.idle_bytes()
            message = counters.message_bytes(sounds[0].read_bytes())
            background = _background(counters)
            known = len(pieces(stack))
            before = counters.look()
            done = [stack.run(sound, seconds=600, **OPTIONS) for _ in range(rounds) for sound in sounds]
            after = counters.look()
            found = [piece for piece in pieces(stack)[known:] if piece.job in {job["id"] for job in done}]
            spent = {name: after[name] - before[name] for name in before}
            spent = {name: value - background.get(name, 0.0) * spent["at"] for name, value in spent.items()}
            megabyte = _upload(stack, counters)
            kept = _kept(stack, done)
            handover, ends = gaps(stack, found)
        costs = {name: spent[name] / (len(found) + len(done)) for name in COSTS if name.startswith(("redis_c", "data"))}
        sent = sum(sound.stat().st_size for sound in sounds) * rounds / 1e6
        web = (spent["web_core_seconds"] - megabyte * sent) / len(done)
        costs |= {"redis_message_bytes": message, "redis_idle_bytes": idle, "web_core_seconds": max(web, 0.0)}
        costs |= {"web_core_seconds_a_megabyte": megabyte, "kept_bytes_a_minute": kept}
        shares = _shares(found, spent)
    return Profile(
        machine=f"{machine()}; demo model, one thread; load {os.getloadavg()[1]:.1f} with other work; "
        f"{len(done)} recordings of "
        f"{', '.join(f'{m:g}' for m in minutes)} minutes; on a processor for {shares['cpu']:.0%} (cpu) and "
        f"{shares['gpu']:.0%} (gpu) of the time",
        times=times_of(found, {job["id"]: job["source"]["duration"] / 60 for job in done}, shares) | {"finish": ends},
        handover=round(handover, 5),
        costs={name: float(f"{value:.4g}") for name, value in costs.items()},
        mean_minutes=None,
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


def _background(counters: Counters) -> dict[str, float]:
    """What the servers do each second while nothing is to be done."""
    before = counters.look()
    time.sleep(6)
    after = counters.look()
    return {name: (after[name] - before[name]) / (after["at"] - before["at"]) for name in before if name != "at"}


def _upload(stack: Stack, counters: Counters, megabytes: int = 100) -> float:
    """Seconds of a core of the API for each MB of an upload."""
    noise = recordings.white_noise(60.0)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        path = noise.write(file.name, times=int(megabytes * 1e6 / AUDIO_BYTES_A_MINUTE))
        before = counters.look()
        job = stack.post(path)
        after = counters.look()
        stack.client.delete(f"/v1/jobs/{job['id']}")
        return (after["web_core_seconds"] - before["web_core_seconds"]) / (path.stat().st_size / 1e6)


def _kept(stack: Stack, done: Sequence[dict[str, Any]]) -> float:
    """Bytes for a minute of audio that a job leaves beside its recording."""
    kept = 0
    for job in done:
        folder = stack.folder / "data" / "jobs" / job["id"]
        kept += sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and one.name != "source")
    return kept / sum(job["source"]["duration"] / 60 for job in done)


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
