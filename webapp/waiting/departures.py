"""Clients that left while their job was under way: the job ends too, unless somebody comes for it in time."""

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

GRACE_SECONDS = 15.0
"""A client that gave up waiting may ask for the same again: official clients do by themselves, within seconds."""
_UPLOADING_SECONDS = 2.0
_MOST_UPLOADING_SECONDS = 3600.0
_LONGEST_NAP = 1.0


@dataclass(frozen=True)
class Departure:
    """A client that left."""

    job_id: str
    owner: str
    size: int | None
    """Length of its request: sent again it has the same."""
    left: str
    """What ``store.waiters`` said when it left."""
    at: float
    """``time.monotonic``."""


class Departures:
    """Decides about the jobs of clients that left, once the time of grace is over, in a thread of its own.

    If the process ends before that, the jobs go on.

    Args:
        expects: Whether a departure's request is just being received again.
        end: Ends a departure's job unless somebody waits for it.
    """

    def __init__(self, expects: Callable[[Departure], bool], end: Callable[[Departure], None]) -> None:
        self.grace = GRACE_SECONDS
        self._expects = expects
        self._end = end
        self._lock = threading.Lock()
        self._due: list[tuple[float, int, Departure]] = []
        self._count = 0
        self._thread: threading.Thread | None = None

    def add(self, job_id: str, *, owner: str, size: int | None, left: str) -> None:
        """Note that a client left."""
        at = time.monotonic()
        with self._lock:
            self._push(at + self.grace, Departure(job_id, owner, size, left, at))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="departures", daemon=True)
                self._thread.start()

    def _push(self, due: float, departure: Departure) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, departure))

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._thread = None
                    return
                left = self._due[0][0] - time.monotonic()
                departure = heapq.heappop(self._due)[2] if left <= 0 else None
            if departure is None:
                time.sleep(min(left, _LONGEST_NAP))
            else:
                self._decide(departure)

    def _decide(self, departure: Departure) -> None:
        try:
            waited = time.monotonic() - departure.at
            if waited < _MOST_UPLOADING_SECONDS and self._expects(departure):
                with self._lock:
                    self._push(time.monotonic() + _UPLOADING_SECONDS, departure)
            else:
                self._end(departure)
        except Exception:  # the thread must live for the others; the job goes on
            log.exception("the job of a client that left could not be ended", job=departure.job_id)
