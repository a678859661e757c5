"""How many workers keep a target, at which load a set of workers breaks, and what else gives out when."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.demand import DAY, Demand, arrivals
from benchmarks.flow_model import QUEUES, Installation, Model, Seen
from benchmarks.profile import Profile
from benchmarks.stage_times import AUDIO_BYTES_A_MINUTE
from tasks.flow import LARGE_BYTES

LATE = 0.01
"""Share of the work that may wait longer than the target."""
BEGIN = "begin"
"""From a job's arrival to its first work: its turn, and the queue."""
MOST_WORKERS = 10_000
_ENOUGH = 2_000


@dataclass(frozen=True)
class Case:
    """A demand on workers; ``seen()`` simulates it."""

    demand: Demand
    installation: Installation
    target: float = 60.0
    """Seconds that work should wait at most."""
    seed: int = 1
    days: float | None = None
    """How long it is looked at; None: whole days, so that there are some thousand recordings."""

    def seen(self) -> Seen:
        """What comes of it."""
        days = self.days or max(1.0, math.ceil(_ENOUGH / self.demand.a_day))
        return Model(self.installation).run(
            arrivals(self.demand, days=days, seed=self.seed, large_bytes=LARGE_BYTES), until=(days + 1) * DAY
        )

    def at(self, hours_a_day: float) -> "Case":
        """The same with another load."""
        return replace(self, demand=replace(self.demand, hours_a_day=hours_a_day))

    def with_workers(self, workers: Mapping[str, int]) -> "Case":
        """The same with other workers."""
        return replace(self, installation=replace(self.installation, workers=dict(workers)))


def late(seen: Seen, target: float) -> dict[str, float]:
    """Share of what waited longer than the target: of the first work of jobs on each queue, and of all beginnings."""
    places = {**seen.firsts, BEGIN: seen.begins}
    return {place: sum(one > target for one in waits) / max(1, len(waits)) for place, waits in places.items()}


def keeps(case: Case, seen: Seen) -> bool:
    """Whether the target is kept, and everything was done by the end of the day after."""
    unfinished = len(seen.begins) - len(seen.latencies)
    return max(late(seen, case.target).values()) <= LATE and unfinished <= LATE * len(seen.begins)


def enough_workers(case: Case, fixed: Mapping[str, int]) -> dict[str, int]:
    """The fewest workers of each queue that keep the target; those in ``fixed`` are taken as they are.

    Raises:
        ValueError: No number of workers does.
    """
    workers = {**_least(case), **fixed}
    seen = case.with_workers(workers).seen()
    while not keeps(case, seen):
        shares = late(seen, case.target)
        place = max(shares, key=lambda one: shares[one])
        if place == BEGIN:
            place = _holds_up(seen, workers, shares)
        if place in fixed or workers[place] >= MOST_WORKERS:
            raise ValueError(f"no number of workers keeps the target: {place} is what work waits for")
        workers[place] += max(1, workers[place] // 16)
        seen = case.with_workers(workers).seen()
    for queue in ("gpu", "diarise", "cpu"):
        while queue not in fixed and workers[queue] > 1:
            fewer = {**workers, queue: workers[queue] - 1}
            if not keeps(case, case.with_workers(fewer).seen()):
                break
            workers = fewer
    return workers


def _least(case: Case) -> dict[str, int]:
    """As many as are busy at the busiest moment, from what all the work of some days takes."""
    plenty = case.with_workers({"cpu": 1000, "gpu": 1000, "diarise": 1000, "net": 1000})
    seen = replace(plenty, installation=replace(plenty.installation, cores=math.inf)).seen()
    return {
        queue: max(1 if queue != "diarise" or case.demand.diarise else 0, math.ceil(0.9 * case.demand.peak * mean))
        for queue, mean in ((queue, busy / seen.seconds) for queue, busy in seen.busy.items())
    }


def breaks_at(case: Case) -> tuple[float, str]:
    """Up to how many hours a day a set of workers keeps the target, within 3 %, and what is late beyond; 0: not now."""
    low, high = 0.0, case.demand.hours_a_day
    shares: dict[str, float] = {}
    while high < 1e9:
        seen = case.at(high).seen()
        if not keeps(case, seen):
            shares = late(seen, case.target)
            break
        low, high = high, high * 1.5
    while low and high / low > 1.03:
        middle = math.sqrt(low * high)
        seen = case.at(middle).seen()
        if keeps(case, seen):
            low = middle
        else:
            high, shares = middle, late(seen, case.target)
    waiting = {place: share for place, share in shares.items() if place != BEGIN}
    worst = max(waiting, key=lambda one: waiting[one])
    return low, worst if waiting[worst] > LATE else _holds_up(seen, case.installation.workers, shares)


def _holds_up(seen: Seen, workers: Mapping[str, int], shares: Mapping[str, float]) -> str:
    """The queue for which jobs wait that have nothing on any queue, since it is not their turn.

    One that is late anyway; or the busiest, at whose work all that have a turn are.
    """
    served = [queue for queue in QUEUES if workers.get(queue) and queue != "net"]
    return max(served, key=lambda one: (shares[one] > LATE, seen.busy[one] / workers[one]))


@dataclass(frozen=True)
class Resource:
    """Something besides workers that can give out."""

    name: str
    load: float
    """At the busiest moment."""
    limit: float
    unit: str

    @property
    def share(self) -> float:
        """How much of it is used then."""
        return self.load / self.limit


def resources(
    demand: Demand, profile: Profile, *, pieces: float, web: float, database_cores: float, megabits: float
) -> list[Resource]:
    """What the servers have to do at the busiest moment of a day, in order of what gives out first.

    Args:
        demand: What comes in.
        profile: What it costs.
        pieces: Messages of a job.
        web: Processes of the API.
        database_cores: Cores of PostgreSQL.
        megabits: A second, of the network between the machines, and of that to the users.
    """
    costs = profile.costs
    jobs = demand.a_day * demand.peak / DAY
    minutes = jobs * demand.mean_minutes
    messages = jobs * pieces
    sent = minutes * demand.megabytes_a_minute
    decoded = minutes * AUDIO_BYTES_A_MINUTE / 1e6
    # Written and read once as it came; decoded once, read to find the speech and to transcribe it.
    moved = 2 * sent + 3 * decoded * (1 + demand.diarise / 3)
    uploads = jobs * costs.get("web_core_seconds", 0) + sent * costs.get("web_core_seconds_a_megabyte", 0)
    found = [
        Resource("API (WEB_WORKERS)", uploads, web, "cores"),
        Resource("Redis, which has one thread", messages * costs.get("redis_core_seconds", 0), 1, "cores"),
        Resource("PostgreSQL", messages * costs.get("database_core_seconds", 0), database_cores, "cores"),
        Resource("network, uploads", sent * 8, megabits, "Mbit/s"),
        Resource("network, storage on another machine", moved * 8, megabits, "Mbit/s"),
    ]
    return sorted(found, key=lambda one: one.share, reverse=True)
