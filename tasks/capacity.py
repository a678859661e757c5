"""How much can be done at the same time, which is what is put on the queues at the same time."""

import time

import redis

from config.settings import Settings
from store.events import Events
from store.turns import NET as NET_LANE
from store.turns import PREPARE, WORK
from tasks.app import CPU, NET

_KNOWN_SECONDS = 5.0
"""How long an answer is good for: workers come and go, but not all the time."""
_LEAST_WINDOW = 2
_LEAST_TURNS = 4


class Capacity:
    """What this process knows of the workers. While Redis does not tell, or none is there, what was known last counts.

    Args:
        events: Who knows the workers.
        settings: What the operator chose.
    """

    def __init__(self, events: Events, settings: Settings) -> None:
        self._events = events
        self._settings = settings
        self._asked = -_KNOWN_SECONDS
        self._by_queue: dict[str, int] = {NET: settings.net_threads}
        self._working = 0

    def window(self, queue: str) -> int:
        """How many chunks of one job may be on a queue at the same time: one for each process, and one in reserve."""
        self._look()
        return max(_LEAST_WINDOW, self._by_queue.get(queue, 0) + 1)

    def turns(self) -> dict[str, int]:
        """How many jobs of one account may be under way in each lane (``store.turns``)."""
        self._look()
        work = self._settings.account_jobs or max(_LEAST_TURNS, 2 * self._working)
        # One process stays free of large recordings: a clip that somebody waits for has to be decoded as well.
        return {WORK: work, PREPARE: self._but_one(CPU), NET_LANE: max(1, self._by_queue[NET] // 2)}

    def _but_one(self, queue: str) -> int:
        return max(1, self._by_queue.get(queue, 0) - 1)

    def _look(self) -> None:
        if time.monotonic() - self._asked < _KNOWN_SECONDS:
            return
        self._asked = time.monotonic()
        try:
            workers = self._events.workers()
        except redis.RedisError:
            return
        found: dict[str, int] = {}
        for worker in workers:
            for queue in worker.queues:
                found[queue] = found.get(queue, 0) + worker.children
        # A queue that nobody serves just now is likely to be served again as before: its worker is being restarted.
        self._by_queue = {**self._by_queue, **found}
        self._working = sum(worker.children for worker in workers if set(worker.queues) != {NET}) or self._working
