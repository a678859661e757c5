"""What is going on right now, in Redis: live progress, wake-up calls, and which workers are there.

Nothing here is the truth. If Redis is emptied, progress jumps to the last finished step and nothing else is lost.
"""

import contextlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import redis

from store import impatient

PREFIX = "longhand:"
CHANNEL = f"{PREFIX}job:"
"""With a job's id behind it: where it is said that something happened to that job."""
PRESENCE_SECONDS = 30
"""A worker that has not been heard of for this long counts as gone."""
KNOWN_SECONDS = 7 * 24 * 3600
"""For so long after its last worker was heard of, a queue is expected to have one again."""
PROGRESS_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Worker:
    """A worker that is alive."""

    name: str
    queues: list[str]
    models: list[dict[str, str]]
    """``{"name", "device", "compute_type"}`` of each model in its memory."""
    children: int = 1
    """Tasks that it runs at the same time."""
    gpus: list[dict[str, Any]] = field(default_factory=list)
    """Those of its machine, as ``tasks.gpus`` tells of them."""


@dataclass(frozen=True)
class Live:
    """How far the running steps of a job were when last heard of."""

    fractions: dict[tuple[str, int], float] = field(default_factory=dict)
    """Stage and item → 0 to 1."""
    at: datetime | None = None
    """When the last of these reports came."""


@dataclass(frozen=True)
class Memory:
    """That of Redis, in bytes."""

    used: int
    most: int | None
    """It refuses what would take more; None: it has no limit of its own."""


class Events:
    """Progress, wake-ups and presence over Redis.

    Args:
        url: Address of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = self._connect()

    def _connect(self) -> "redis.Redis":
        return impatient.client(self._url, decode_responses=True)

    def reopen(self) -> None:
        """Start over with new connections (after a fork)."""
        self._client = self._connect()

    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._client.ping()

    def report(self, job_id: str, stage: str, item: int, fraction: float) -> None:
        """Say how far a running step is, 0 to 1, and wake whoever watches the job."""
        key = f"{PREFIX}progress:{job_id}"
        with contextlib.suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.hset(
                key, mapping={f"{stage}/{item}": f"{min(max(fraction, 0.0), 1.0):.4f}", "at": f"{time.time():.3f}"}
            )
            pipe.expire(key, PROGRESS_SECONDS)
            pipe.publish(f"{CHANNEL}{job_id}", "progress")
            pipe.execute()

    def live(self, job_id: str) -> Live:
        """How far each running step is; nothing if Redis cannot tell."""
        return self.lives([job_id])[job_id]

    def lives(self, job_ids: Sequence[str]) -> dict[str, Live]:
        """The same of several jobs, asked for at once."""
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for job_id in job_ids:
                    pipe.hgetall(f"{PREFIX}progress:{job_id}")
                found = cast("list[dict[str, str]]", pipe.execute() if job_ids else [])
        except redis.RedisError:
            return dict.fromkeys(job_ids, Live())
        return {job_id: _live(values) for job_id, values in zip(job_ids, found, strict=True)}

    def changed(self, job_id: str) -> None:
        """Wake whoever waits for this job. Best effort: waiters also look by themselves."""
        with contextlib.suppress(redis.RedisError):
            self._client.publish(f"{CHANNEL}{job_id}", "changed")

    def forget(self, job_id: str) -> None:
        """Drop a job's progress."""
        with contextlib.suppress(redis.RedisError):
            self._client.delete(f"{PREFIX}progress:{job_id}")

    def here(self, worker: str, queues: Sequence[str], *, children: int = 1) -> bool:
        """Say that a worker is alive, which queues it serves, and how many tasks it runs at the same time.

        Repeat it well within ``PRESENCE_SECONDS``.

        Returns:
            Whether Redis has taken it.
        """
        said = json.dumps({"queues": sorted(queues), "children": children})
        with contextlib.suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.set(f"{PREFIX}worker:{worker}", said, ex=PRESENCE_SECONDS)
            pipe.sadd(f"{PREFIX}workers", worker)
            for queue in queues:
                pipe.set(f"{PREFIX}served:{queue}", "1", ex=PRESENCE_SECONDS)
                pipe.set(f"{PREFIX}known:{queue}", "1", ex=KNOWN_SECONDS)
            pipe.execute()
            return True
        return False

    def gone(self, worker: str) -> None:
        """Say that a worker is leaving."""
        with contextlib.suppress(redis.RedisError):
            self._client.srem(f"{PREFIX}workers", worker)
            self._client.delete(f"{PREFIX}worker:{worker}")

    def holds(self, worker: str, models: Sequence[dict[str, str]]) -> None:
        """Say which models a worker's process has in memory; repeat well within ``PRESENCE_SECONDS``."""
        with contextlib.suppress(redis.RedisError):
            # One child at a time holds models (concurrency 1); a new child's word replaces a dead one's.
            self._client.set(f"{PREFIX}models:{worker}", json.dumps(list(models)), ex=PRESENCE_SECONDS)

    def sees(self, worker: str, gpus: Sequence[dict[str, Any]]) -> None:
        """Say what the GPUs of a worker's machine do; repeat well within ``PRESENCE_SECONDS``."""
        with contextlib.suppress(redis.RedisError):
            self._client.set(f"{PREFIX}gpus:{worker}", json.dumps(list(gpus)), ex=PRESENCE_SECONDS)

    def workers(self) -> list[Worker]:
        """The workers that are alive.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        found = []
        for name in sorted(cast("set[str]", self._client.smembers(f"{PREFIX}workers"))):
            keys = (f"{PREFIX}worker:{name}", f"{PREFIX}models:{name}", f"{PREFIX}gpus:{name}")
            said, models, gpus = cast("list[str | None]", self._client.mget(keys))
            if said is None:
                self._client.srem(f"{PREFIX}workers", name)
            else:
                known = json.loads(said)
                if isinstance(known, list):  # of a worker of an earlier version, during an update
                    known = {"queues": known, "children": 1}
                held, seen = (json.loads(text) if text else [] for text in (models, gpus))
                found.append(Worker(name, known["queues"], held, known["children"], seen))
        return found

    def served(self, queues: Sequence[str]) -> list[str]:
        """Those queues that a worker has served within ``PRESENCE_SECONDS``, though it may be restarting just now.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        found = cast("list[str | None]", self._client.mget([f"{PREFIX}served:{queue}" for queue in queues]))
        return [queue for queue, mark in zip(queues, found, strict=True) if mark]

    def known(self, queues: Sequence[str]) -> list[str]:
        """Those queues that a worker has served within ``KNOWN_SECONDS``.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        found = cast("list[str | None]", self._client.mget([f"{PREFIX}known:{queue}" for queue in queues]))
        return [queue for queue, mark in zip(queues, found, strict=True) if mark]

    def unserved_for(self, queue: str) -> float:
        """Seconds since it was first asked here in vain whether a worker serves a queue; 0 while one does.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        key = f"{PREFIX}unserved:{queue}"
        if self.served([queue]):
            self._client.delete(key)
            return 0.0
        at = time.time()
        self._client.set(key, repr(at), nx=True, ex=KNOWN_SECONDS)
        return max(0.0, at - float(cast("str | None", self._client.get(key)) or at))

    def emptied(self) -> bool:
        """Whether Redis has lost (or never had) what ``remember`` wrote.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        return not self._client.exists(f"{PREFIX}epoch")

    def remember(self) -> None:
        """Leave a mark that is gone if Redis is emptied or replaced."""
        self._client.set(f"{PREFIX}epoch", f"{time.time():.0f}", nx=True)

    def looked_after(self) -> None:
        """Note that upkeep has just looked after all jobs."""
        self._client.set(f"{PREFIX}upkeep", self._time())

    def since_looked_after(self) -> float:
        """Seconds since then; infinitely many if it has not happened since Redis began.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        at = cast("str | None", self._client.get(f"{PREFIX}upkeep"))
        return math.inf if at is None else max(0.0, self._time() - float(at))

    def memory(self) -> Memory:
        """How full Redis is.

        Raises:
            redis.RedisError: Redis cannot be asked, or does not tell.
        """
        told = self._client.info("memory")
        return Memory(int(told["used_memory"]), int(told.get("maxmemory", 0)) or None)

    def _time(self) -> float:
        """By the clock of Redis, which is everybody's."""
        seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6


def _live(found: dict[str, str]) -> Live:
    at = found.pop("at", None)
    parts = ((*name.rpartition("/")[::2], value) for name, value in found.items())
    fractions = {(stage, int(item)): float(value) for stage, item, value in parts}
    return Live(fractions, datetime.fromtimestamp(float(at), UTC) if at else None)
