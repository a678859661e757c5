"""Queues with priorities, workers that take one message at a time, and cores that workers may have to share.

Nothing of Longhand is in here but how its broker serves: the highest priority first, within one the oldest message
first, one task a process and none in reserve. The same calls give the same times; nothing here is random.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

INFINITY = math.inf


@dataclass(slots=True)
class Message:
    """A piece of work on a queue."""

    queue: str
    seconds: float
    """What it takes on a core of its own; on a queue without cores, what it takes."""
    then: Callable[[], None]
    """What happens when it is done, before its process looks for more work."""
    priority: int = 3
    sent_at: float = 0.0
    begun_at: float = 0.0
    begins: Callable[[float], None] | None = None
    """Told how long it waited, when it begins."""


@dataclass
class Queue:
    """Messages that wait, and the processes that serve them."""

    workers: int
    cores: float = 1.0
    """Of each task; 0: it waits for others and needs none, so that it is never slowed down."""
    waiting: list[tuple[int, int, Message]] = field(default_factory=list)
    active: int = 0
    busy_seconds: float = 0.0
    """Of all its processes together."""


class Stations:
    """Simulated time, queues and what runs.

    Args:
        queues: By name.
        cores: That all tasks share, evenly; infinite: every process has its own.
    """

    def __init__(self, queues: Mapping[str, Queue], *, cores: float = INFINITY) -> None:
        self.queues = dict(queues)
        self.now = 0.0
        self._cores = cores
        self._demand = 0.0
        self._numbers = count()
        # Whoever needs a core ends by this clock, which goes slower while there are too few of them.
        self._shared = 0.0
        self._by_shared: list[tuple[float, int, Message]] = []
        self._by_time: list[tuple[float, int, Message]] = []

    def send(self, message: Message) -> None:
        """Put a message on its queue; it begins at once if a process is free."""
        message.sent_at = self.now
        queue = self.queues[message.queue]
        heapq.heappush(queue.waiting, (message.priority, next(self._numbers), message))
        self._serve(queue)

    def run(self, arrivals: Iterator[tuple[float, Callable[[], None]]], *, until: float = INFINITY) -> None:
        """Let time pass until there are no arrivals and no work any more, or until a moment."""
        coming = next(arrivals, None)
        while True:
            ends = self._next_end()
            arrives = coming[0] if coming is not None else INFINITY
            if min(ends, arrives) > until or ends == arrives == INFINITY:
                if until < INFINITY:
                    self._pass(until)
                return
            if coming is not None and arrives <= ends:
                self._pass(arrives)
                coming[1]()
                coming = next(arrivals, None)
            else:
                self._pass(ends)
                self._end(self._soonest())

    @property
    def _speed(self) -> float:
        return min(1.0, self._cores / self._demand) if self._demand > 0 else 1.0

    def _pass(self, to: float) -> None:
        self._shared += (to - self.now) * self._speed
        self.now = to

    def _next_end(self) -> float:
        ends = self._by_time[0][0] if self._by_time else INFINITY
        if self._by_shared:
            ends = min(ends, self.now + max(self._by_shared[0][0] - self._shared, 0.0) / self._speed)
        return ends

    def _soonest(self) -> Message:
        by_shared = self._by_shared and (not self._by_time or self._by_time[0][0] > self.now)
        return heapq.heappop(self._by_shared if by_shared else self._by_time)[2]

    def _end(self, message: Message) -> None:
        message.then()
        queue = self.queues[message.queue]
        queue.active -= 1
        queue.busy_seconds += self.now - message.begun_at
        self._demand = max(0.0, self._demand - queue.cores)
        self._serve(queue)

    def _serve(self, queue: Queue) -> None:
        while queue.waiting and queue.active < queue.workers:
            message = heapq.heappop(queue.waiting)[2]
            queue.active += 1
            message.begun_at = self.now
            if message.begins is not None:
                message.begins(self.now - message.sent_at)
            self._demand += queue.cores
            clock, ends = (self._shared, self._by_shared) if queue.cores else (self.now, self._by_time)
            heapq.heappush(ends, (clock + message.seconds, next(self._numbers), message))


def erlang_c(workers: int, load: float) -> float:
    """The chance that whoever comes must wait, where arrivals and times of work are exponential (M/M/c).

    Args:
        workers: How many there are.
        load: Work that comes in, in workers: arrivals a second times seconds of each.

    Returns:
        1 where the work is more than they can do.
    """
    if load >= workers:
        return 1.0
    blocked = 1.0
    for n in range(1, workers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / workers * (1 - blocked))


def share_below(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
