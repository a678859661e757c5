"""How many workers keep a target, and at which load a set of workers breaks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import stdev

from benchmarks.demand import DAY, Demand, arrivals
from benchmarks.flow_model import Installation, Model
from benchmarks.seen import QUEUES, Seen, Waits
from tasks.flow import LARGE_BYTES

LATE = 0.01
"""Share of the work that may wait longer than the target."""
FIRST = "first chunks"
BEGIN = "begin"
"""From a job's arrival to its first work: its turn, and the queue."""
TURN = "turns"
"""For a job's turn, in all its lanes."""
ACCOUNT_JOBS = "turns of accounts (ACCOUNT_JOBS)"
MOST_WORKERS = 10_000
MOST_RECORDINGS = 200_000
"""Of all simulated days together; more take minutes."""
_ENOUGH = 20_000
_IN_VAIN = 5
"""Steps that do not lower lateness after which no further are tried."""
_LEAST_PART = 1000
_NEAR = 2.0
_SOON = 1.3
"""A set of workers that is that much too late halfway is not looked at any further."""


@dataclass(frozen=True)
class Case:
    """A demand on workers; ``judged()`` simulates it, several times with other random numbers."""

    demand: Demand
    installation: Installation
    target: float = 60.0
    """Seconds that work should wait at most."""
    seed: int = 1
    seeds: int = 5
    days: float | None = None
    """How long each is looked at; None: whole days, so that there are some ten thousand recordings in all."""

    def seen(self, seed: int) -> Seen:
        """What comes of it with these random numbers.

        Raises:
            ValueError: Nothing comes in, or too much to simulate.
        """
        if self.demand.a_day > MOST_RECORDINGS:
            raise ValueError(f"more than {self._most():.3g} hours a day cannot be simulated: divide all by ten")
        days = self.whole_days()
        if self.demand.a_day * days > MOST_RECORDINGS and days > 1:
            raise ValueError(f"that would be more than {MOST_RECORDINGS:,} recordings at a time: give fewer --days")
        come = arrivals(self.demand, days=days, seed=seed, large_bytes=LARGE_BYTES)
        found = Model(self.installation).run(come, until=(days + 1) * DAY)
        if not found.jobs:
            raise ValueError(f"nothing comes in within {days:.3g} days: give more (--days)")
        return found

    def judged(self, *, whole: bool = False) -> "Verdict":
        """Whether the target is kept in all simulations together.

        Args:
            whole: Look at all of them, even if the first ones leave no doubt.
        """
        found = Verdict(self)
        seeds = max(1, min(self.seeds, int(MOST_RECORDINGS / self.demand.a_day / self.whole_days())))
        for number in range(seeds):
            found.add(self.seen(self.seed + number))
            if not whole and found.hopeless(seeds):
                break
        return found

    def whole_days(self) -> float:
        """How long each simulation is."""
        return self.days or max(1.0, math.ceil(_ENOUGH / self.seeds / self.demand.a_day))

    def at(self, hours_a_day: float, *, days: float | None = None) -> "Case":
        """The same with another load."""
        more = replace(self.demand, hours_a_day=hours_a_day)
        return replace(self, demand=more, days=self.days or days)

    def with_workers(self, workers: Mapping[str, int]) -> "Case":
        """The same with other workers."""
        return replace(self, installation=replace(self.installation, workers=dict(workers)))

    def most_hours(self) -> float:
        """Greatest load that is looked at."""
        return max(self._most() / self.seeds / max(1.0, self.days or 1.0), self.demand.hours_a_day)

    def _most(self) -> float:
        return MOST_RECORDINGS * self.demand.mean_minutes / 60


@dataclass
class Verdict:
    """What was seen of a case, all together and each by itself."""

    case: Case
    seen: Seen = field(default_factory=Seen)
    each: list[Seen] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        """One more simulation."""
        self.each.append(seen)
        self.seen.join(seen)

    @property
    def kept(self) -> bool:
        """Whether the target is kept, in the worst hour of the day too, and what came in was done a day later."""
        return keeps(self.seen, self.case.target)

    def worst(self) -> tuple[str, int, float, float]:
        """Where and in which hour of the day the greatest share is late; that share; two standard errors of it."""
        shares = late(self.seen, self.case.target)
        place = max(shares, key=lambda one: shares[one])
        hour = places(self.seen)[place].worst_hour(self.case.target)
        each = [places(one)[place].late_in(hour, self.case.target) for one in self.each]
        return place, hour, shares[place], 2 * stdev(each) / math.sqrt(len(each)) if len(each) > 1 else 0.0

    @property
    def sure(self) -> bool:
        """Whether it is kept, or is not, by more than luck would explain."""
        _, _, share, doubt = self.worst()
        return abs(share - LATE) > doubt or self.seen.unfinished > LATE * self.seen.jobs

    def hopeless(self, seeds: int) -> bool:
        """Whether no luck in the simulations to come can make good what is late already."""
        share = LATE * seeds / len(self.each) * _SOON
        shares = late(self.seen, self.case.target)
        return max(shares.values()) > share or self.seen.unfinished > share * self.seen.jobs

    def blame(self) -> str:
        """What work waits for: workers of a queue, or turns.

        Jobs for whose turn it is not have nothing on any queue: they wait for those that have, which are at the work of
        the busiest queue.
        """
        shares, workers = late(self.seen, self.case.target), self.case.installation.workers
        first, _, turn = shares.pop(FIRST), shares.pop(BEGIN), shares.pop(TURN)
        shares["gpu"] = max(shares["gpu"], first)
        worst = max(shares, key=lambda one: shares[one])
        if shares[worst] > LATE:
            return worst
        if self.case.installation.account_jobs and turn > LATE:
            return ACCOUNT_JOBS
        return max((queue for queue in QUEUES if workers.get(queue) and queue != "net"), key=self.load)

    def load(self, queue: str) -> float:
        """How busy its processes are at the busiest moment of the day; 1: all the time."""
        workers = self.case.installation.workers.get(queue)
        return self.case.demand.peak * self.seen.busy[queue] / self.seen.days / DAY / workers if workers else 0.0


def late(seen: Seen, target: float) -> dict[str, float]:
    """Share of what waited longer than the target, in all or, where more, in the worst hour of the day, by place."""
    return {place: max(one.late(target), one.late_in_worst_hour(target)) for place, one in places(seen).items()}


def places(seen: Seen) -> dict[str, Waits]:
    """Where things wait: pieces of work on their queues, and jobs."""
    return {**seen.waits, FIRST: seen.first_chunks, BEGIN: seen.begins, TURN: seen.turns}


def keeps(seen: Seen, target: float) -> bool:
    """Whether 99 of 100 wait no longer anywhere, in the worst hour too, and what came in was done a day later."""
    return max(late(seen, target).values()) <= LATE and seen.unfinished <= LATE * seen.jobs


def enough_workers(case: Case, fixed: Mapping[str, int]) -> dict[str, int]:
    """The fewest workers of each queue that keep the target; those in ``fixed`` are taken as they are.

    Raises:
        ValueError: No number of workers does.
    """
    workers = {**_least(case), **fixed}
    best, in_vain = math.inf, 0
    while not (found := case.with_workers(workers).judged()).kept:
        place, shares = found.blame(), late(found.seen, case.target)
        worst = sum(shares.values())
        best, in_vain = (worst, 0) if worst < 0.98 * best else (best, in_vain + 1)
        queue = place if place in workers else max(set(workers) - set(fixed), key=found.load, default=place)
        if queue in fixed or queue not in workers or workers[queue] >= MOST_WORKERS or in_vain > _IN_VAIN:
            raise ValueError(f"no number of workers keeps the target: {place} is what work waits for")
        workers[queue] += max(1, workers[queue] // 16)
    for queue in ("gpu", "diarise", "cpu"):
        while queue not in fixed and workers[queue] > 1:
            fewer = {**workers, queue: workers[queue] - 1}
            if not case.with_workers(fewer).judged().kept:
                break
            workers = fewer
    return workers


def _least(case: Case) -> dict[str, int]:
    """Nearly as many as are busy at the busiest moment, from what all the work of some days takes."""
    plenty = case.with_workers({"cpu": 1000, "gpu": 1000, "diarise": 1000, "net": 1000})
    seen = replace(plenty, installation=replace(plenty.installation, cores=math.inf)).seen(case.seed)
    return {
        queue: max(1 if queue != "diarise" or case.demand.diarise else 0, math.ceil(0.9 * case.demand.peak * mean))
        for queue, mean in ((queue, busy / seen.days / DAY) for queue, busy in seen.busy.items())
    }


@dataclass(frozen=True)
class Break:
    """Where a set of workers breaks."""

    hours: float
    """Greatest load at which all simulations together keep the target, within 3 %; 0: none that was looked at."""
    place: str
    """What is late beyond: workers of a queue, or turns."""
    least: float
    """Greatest load at which that is surely so: with two standard errors more of the work late, too."""
    most: float
    """Least load at which it is surely not."""
    beyond: bool = False
    """Greater loads were not looked at."""


class _Search:
    """Loads that were tried."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.sure: dict[float, tuple[bool, bool]] = {}
        self.place = ""
        self.days: float | None = None

    def keeps(self, hours: float, *, whole: bool = True) -> bool:
        """Whether the target is kept at a load."""
        found = self.case.at(hours, days=self.days).judged(whole=whole)
        self.sure[hours] = found.sure, found.kept
        if not found.kept:
            self.place = found.blame()
        return found.kept

    def surely(self, hours: float, *, kept: bool) -> bool:
        """Whether it surely is, or surely is not."""
        if hours not in self.sure:
            self.keeps(hours)
        return self.sure[hours] == (True, kept)


def breaks_at(case: Case, found: Verdict) -> Break:
    """Up to how many hours a day a set of workers keeps the target.

    Args:
        case: Workers, and a load to begin with.
        found: What came of it.
    """
    search, hours, most = _Search(case), case.demand.hours_a_day, case.most_hours()
    busiest = max(1e-6, *(found.load(queue) for queue in QUEUES))
    low, high = hours, min(max(1.1 * hours / busiest, 1.15 * hours), most)
    if found.kept:
        while high > low and search.keeps(high, whole=False):
            low, high = high, min(1.5 * high, most)
        if high <= low:
            return Break(low, "", low, math.inf, beyond=True)
    else:
        low, high, search.place = min(hours / 2, 0.7 * hours / busiest), hours, found.blame()
        while not search.keeps(low, whole=False):
            low, high = low / 2, low
            if low < hours / _LEAST_PART:
                return Break(0.0, search.place, 0.0, high)
    search.sure.clear()
    while high / low > 1.03:
        if high / low < _NEAR and search.days is None:
            # From here on they are days with the same recordings, and some more.
            search.days = case.at(low).whole_days()
        middle = math.sqrt(low * high)
        low, high = (middle, high) if search.keeps(middle) else (low, middle)
    place, least, none = search.place, low, high
    while not search.surely(least, kept=True) and least > low / 2:
        least *= 0.94
    while not search.surely(none, kept=False) and none < min(2 * high, most):
        none *= 1.06
    return Break(low, place, least, none)
