"""What everything beside the workers has to do: the API, Redis, PostgreSQL, networks and disks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.demand import AUDIO_BYTES_A_MINUTE, DAY, Demand
from benchmarks.profile import Profile

KEPT_CONNECTIONS = 10
"""Of PostgreSQL, that a process with many threads keeps open (``store.database.POOL``)."""
FREE_CONNECTIONS = 3
"""Of those PostgreSQL allows, kept for its superuser."""


@dataclass(frozen=True)
class Servers:
    """What there is of them."""

    web_processes: float = 1
    database_cores: float = 2.0
    connections: float = 100
    """max_connections of PostgreSQL."""
    megabits: float = 1000.0
    """A second, of the network between the machines, and of that to the users."""
    disk_megabytes: float = 500.0
    """A second, read and written, of the disk with the recordings."""


@dataclass(frozen=True)
class Resource:
    """Something besides workers that can give out."""

    name: str
    load: float
    """At the busiest moment."""
    limit: float
    unit: str
    fixed: float = 0.0
    """Of the load, what does not grow with the hours of audio but with the number of processes."""

    @property
    def share(self) -> float:
        """How much of it is used then."""
        return self.load / self.limit

    def full_at(self, hours_a_day: float) -> float:
        """Hours a day at which it is full, if it has that load at so many; infinite: more audio does not fill it."""
        grows = self.load - self.fixed
        return hours_a_day * max(self.limit - self.fixed, 0.0) / grows if grows > 0 else math.inf


@dataclass(frozen=True)
class Traffic:
    """What is asked of the servers, a second at the busiest moment."""

    messages: float
    redis_commands: float
    commits: float
    rows: float


def traffic(demand: Demand, profile: Profile, workers: Mapping[str, int], *, pieces: float) -> Traffic:
    """Of Redis and PostgreSQL: for the work, and what workers ask for while they have none."""
    messages, idle = demand.a_day * demand.peak / DAY * pieces, _workers(workers)
    costs = {name: profile.costs.get(name, 0.0) for name in (*profile.costs, *_NAMES)}
    return Traffic(
        messages,
        messages * costs["redis_commands"] + idle * costs["redis_idle_commands"],
        messages * costs["database_commits"] + idle * costs["database_idle_commits"],
        messages * costs["database_rows"],
    )


_NAMES = ("redis_commands", "redis_idle_commands", "database_commits", "database_idle_commits", "database_rows")


def resources(
    demand: Demand, profile: Profile, workers: Mapping[str, int], servers: Servers, *, pieces: float
) -> list[Resource]:
    """What the servers have to do at the busiest moment of a day, in order of what gives out first.

    Args:
        demand: What comes in.
        profile: What it costs.
        workers: By queue.
        servers: What there is.
        pieces: Messages of a job.
    """

    def cost(name: str) -> float:
        return profile.costs.get(name, 0.0)

    jobs = demand.a_day * demand.peak / DAY
    minutes, messages, idle = jobs * demand.mean_minutes, jobs * pieces, _workers(workers)
    sent, decoded = minutes * demand.megabytes_a_minute, minutes * AUDIO_BYTES_A_MINUTE / 1e6
    # Written and read once as it came; decoded once, read to find the speech and to transcribe it.
    moved = 2 * sent + 3 * decoded * (1 + demand.diarise / 3)
    asks, looks = idle * cost("redis_idle_core_seconds"), idle * cost("database_idle_core_seconds")
    redis = messages * cost("redis_core_seconds") + asks
    database = messages * cost("database_core_seconds") + looks
    uploads = jobs * cost("web_core_seconds") + sent * cost("web_core_seconds_a_megabyte")
    kept = connections(profile, workers, servers.web_processes)
    found = [
        Resource("API (WEB_WORKERS)", uploads, servers.web_processes, "cores"),
        Resource("Redis, which has one thread", redis, 1, "cores", asks),
        Resource("PostgreSQL", database, servers.database_cores, "cores", looks),
        Resource("connections of PostgreSQL", kept, servers.connections - FREE_CONNECTIONS, "", kept),
        Resource("network, uploads", sent * 8, servers.megabits, "Mbit/s"),
        Resource("network, storage on another machine", moved * 8, servers.megabits, "Mbit/s"),
        Resource("disk of the recordings", moved, servers.disk_megabytes, "MB/s"),
    ]
    return sorted(found, key=lambda one: one.share, reverse=True)


def connections(profile: Profile, workers: Mapping[str, int], web: float) -> float:
    """That are kept open: by processes with many threads all they may keep, by others as many as were measured."""
    each = max(1.0, profile.costs.get("database_connections", 0.0))
    tasks = sum(number for queue, number in workers.items() if queue != "net")
    return (web + 1) * KEPT_CONNECTIONS + each * (tasks + _workers(workers) - 1)


def _workers(workers: Mapping[str, int]) -> int:
    """How many there are that ask for work: one for each GPU, one for all processes of ``cpu``, one for the network."""
    return 2 + workers.get("gpu", 0) + workers.get("diarise", 0)
