"""Counts that the processes of the API keep together, in Redis: how often what happened, whichever of them it was.

A process adds up in its memory and hands over every few seconds, so nobody waits for it, and one that is killed takes
along the last seconds only. If Redis is emptied, counting begins anew.
"""

import contextlib
import logging
import threading
import uuid
from collections import Counter
from typing import cast

import redis

from store import impatient
from store.events import PREFIX

log = logging.getLogger(__name__)

HAND_OVER_SECONDS = 2.0
_REMEMBERED = 24 * 3600
"""Seconds for which Redis knows what it was handed. An answer may get lost on its way: what is handed over once more
because of that must not count twice."""
_ADD = """
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for n = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[n], ARGV[n + 1]) end
return 1
"""


class Tallies:
    """Counts under one name. ``add`` costs microseconds, whatever Redis does.

    Args:
        url: Address of Redis. Nothing is connected before something is counted.
        name: What is counted.
    """

    def __init__(self, url: str, name: str) -> None:
        self._client = impatient.client(url, decode_responses=True)
        self._script = self._client.register_script(_ADD)
        self._key = f"{PREFIX}{name}"
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._handing_over = threading.Lock()
        self._batch: tuple[str, Counter[str]] | None = None
        """What is being handed over, or was and nobody knows whether it arrived."""
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, counts: Counter[str]) -> None:
        """Count so many more of each."""
        with self._lock:
            self._counts.update(counts)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name=self._key, daemon=True)
                # Without room for one more thread, the next to count tries again.
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None

    def hand_over(self) -> bool:
        """Give Redis what was counted here; whether nothing is left. What it does not take now, it is given again."""
        with self._handing_over:
            if self._batch is None:
                with self._lock:
                    taken, self._counts = self._counts, Counter()
                if not taken:
                    return True
                self._batch = uuid.uuid4().hex, taken
            name, counts = self._batch
            pairs = [part for field, count in counts.items() for part in (field, count)]
            try:
                self._script(keys=[self._key, f"{self._key}:{name}"], args=[_REMEMBERED, *pairs])
            except redis.RedisError as error:
                log.debug("counts are handed over later: %s", type(error).__name__)
                return False
            self._batch = None
        with self._lock:
            return not self._counts

    def read(self) -> dict[str, int]:
        """All counts of all processes, as far as they were handed over.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        self.hand_over()
        found = cast("dict[str, str]", self._client.hgetall(self._key))
        return {field: int(count) for field, count in found.items()}

    def close(self) -> None:
        """Hand over the rest, and nothing more after it."""
        self._closed.set()
        self.hand_over()
        with contextlib.suppress(redis.RedisError):
            self._client.close()

    def _run(self) -> None:
        while not self._closed.wait(HAND_OVER_SECONDS):
            if self.hand_over():
                with self._lock:
                    if not self._counts:
                        self._thread = None
                        return
