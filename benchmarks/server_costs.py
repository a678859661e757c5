"""What jobs cost the servers beside the workers: Redis, PostgreSQL and the API, by their own counters."""

import signal
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil

from benchmarks.demand import AUDIO_BYTES_A_MINUTE
from tests import recordings
from tests.postgres_server import PostgresServer
from tests.stack import Stack

COSTS = {
    "redis_commands": "commands that Redis carries out for a piece of work",
    "redis_core_seconds": "seconds of a core that it takes for them",
    "redis_message_bytes": "memory of a message that waits",
    "redis_idle_bytes": "memory of Redis with nothing to do",
    "redis_idle_commands": "commands a second for each worker with nothing to do",
    "redis_idle_core_seconds": "seconds of a core a second that it takes for them",
    "database_commits": "transactions of PostgreSQL for a piece of work that wrote or read",
    "database_rows": "rows that they wrote",
    "database_core_seconds": "seconds of a core that they take",
    "database_idle_commits": "transactions a second for each worker with nothing to do",
    "database_idle_core_seconds": "seconds of a core a second that they take",
    "database_connections": "connections that a process keeps after its work",
    "web_core_seconds": "seconds of a core of the API for a job: sending it, waiting for it, reading it",
    "web_core_seconds_a_megabyte": "seconds of a core of the API for each MB of an upload",
    "kept_bytes_a_minute": "what a job leaves beside its recording, for a minute of audio",
}
IDLE = ("redis_commands", "redis_core_seconds", "database_commits", "database_core_seconds")
_QUIET_SECONDS = 30.0


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

    def connections(self) -> float:
        """Connections of PostgreSQL that are open to the record, for each process that may open some."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self._database}'"
        workers = [name for name in self._stack.processes if name != "web"]
        # The processes of a worker's tasks, and the one that they come from; those of the API, without gunicorn's own.
        processes = sum(len(self._stack.children(name)) + 1 for name in workers) + len(self._stack.children("web"))
        return float(self._postgres.say(query)[0][0]) / processes

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


def background(counters: Counters) -> dict[str, float]:
    """What the servers do each second while nothing is to be done."""
    before = counters.look()
    time.sleep(_QUIET_SECONDS)
    after = counters.look()
    return {name: (after[name] - before[name]) / (after["at"] - before["at"]) for name in before if name != "at"}


def upload(stack: Stack, counters: Counters, megabytes: int = 100) -> float:
    """Seconds of a core of the API for each MB of an upload."""
    noise = recordings.white_noise(60.0)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        path = noise.write(file.name, times=int(megabytes * 1e6 / AUDIO_BYTES_A_MINUTE))
        before = counters.look()
        job = stack.post(path)
        after = counters.look()
        stack.client.delete(f"/v1/jobs/{job['id']}")
        return (after["web_core_seconds"] - before["web_core_seconds"]) / (path.stat().st_size / 1e6)


def idle(quiet: Mapping[str, float], workers: int) -> dict[str, float]:
    """What of it each worker costs: nearly all is theirs, who ask for work and say that they are there."""
    return {name.replace("_", "_idle_", 1): quiet[name] / workers for name in IDLE}


def kept(stack: Stack, done: Sequence[dict[str, Any]]) -> float:
    """Bytes for a minute of audio that a job leaves beside its recording."""
    total = 0
    for job in done:
        folder = stack.folder / "data" / "jobs" / job["id"]
        total += sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and one.name != "source")
    return total / sum(job["source"]["duration"] / 60 for job in done)
