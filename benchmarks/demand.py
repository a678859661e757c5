"""What is sent to an installation, and when: recordings at random, more of them by day."""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

DAY = 86400.0
BUSIEST_HOUR = 13.0
_LEAST_HOURS = 2.0**-10
AUDIO_BYTES_A_MINUTE = 16_000 * 2 * 60
"""Of the decoded recording, which is there as long as the job is under way."""

_Drawn = tuple[float, float, int, tuple[float, float, float, float]]


@dataclass(frozen=True)
class Recording:
    """One recording as it comes in."""

    at: float
    """Seconds since the beginning."""
    minutes: float
    account: int = 0
    priority: int = 3
    """The broker's number: 0 is served first."""
    fetched: bool = False
    """Whether it is given by an address that Longhand fetches it from."""
    diarise: bool = False
    language: bool = False
    """Whether the request says the language."""
    large: bool = False
    """Whether its file is one that only some processes prepare at a time."""


@dataclass(frozen=True)
class Demand:
    """How much of what."""

    hours_a_day: float
    minutes: tuple[tuple[float, float], ...] = ((5.0, 1.0), (30.0, 1.0), (60.0, 1.0))
    """Lengths of recordings and their shares, by number of recordings; the shares may be anything positive."""
    peak: float = 3.0
    """How many times the mean the busiest moment of a day has."""
    accounts: int = 10
    high: float = 0.0
    """Share of the recordings with the priority high."""
    fetched: float = 0.0
    diarise: float = 0.0
    language: float = 0.0
    megabytes_a_minute: float = 0.96
    """Of an average file (MB of 1,000,000 bytes): 0.96 is 128 kbit/s."""
    burst: int = 1
    """Recordings that an account sends at the same moment."""

    @property
    def mean_minutes(self) -> float:
        """Of a recording."""
        return sum(m * share for m, share in self.minutes) / sum(share for _, share in self.minutes)

    @property
    def a_day(self) -> float:
        """Recordings."""
        return self.hours_a_day * 60 / self.mean_minutes


def arrivals(demand: Demand, *, days: float, seed: int, large_bytes: int) -> Iterator[Recording]:
    """Recordings in the order they come in: Poisson with a rate that goes up and down with the hour of the day.

    A greater demand has all of a smaller one's, at the same moments, and more: so that loads can be compared.
    """
    layers, low = [], 0.0
    high = _LEAST_HOURS
    while low < demand.hours_a_day:
        part = min(1.0, (demand.hours_a_day - low) / (high - low))
        layers.append(_layer(demand, high - low, part, seed=f"{seed} {high:g}", until=days * DAY))
        low, high = high, 2 * high
    for at, minutes, account, chances in heapq.merge(*layers):
        yield Recording(
            at=at,
            minutes=minutes,
            account=account,
            priority=0 if chances[0] < demand.high else 3,
            fetched=chances[1] < demand.fetched,
            diarise=chances[2] < demand.diarise,
            language=chances[3] < demand.language,
            large=minutes * demand.megabytes_a_minute * 1e6 >= large_bytes,
        )


def _layer(demand: Demand, hours_a_day: float, part: float, *, seed: str, until: float) -> Iterator[_Drawn]:
    """That part of so many hours a day."""
    choose = random.Random(seed)
    shape = _shape(demand.peak)
    lengths, shares = [m for m, _ in demand.minutes], [share for _, share in demand.minutes]
    busiest = hours_a_day * 60 / demand.mean_minutes / demand.burst / DAY * demand.peak
    at = 0.0
    while (at := at + choose.expovariate(busiest)) < until:
        # As many are drawn as at the busiest moment of the day, and as many are left out as fits the hour.
        if choose.random() * demand.peak > rate(at, shape):
            continue
        taken, account = choose.random() < part, choose.randrange(demand.accounts)
        for minutes in choose.choices(lengths, shares, k=demand.burst):
            chances = choose.random(), choose.random(), choose.random(), choose.random()
            if taken:
                yield at, minutes, account, chances


def rate(at: float, shape: float) -> float:
    """How many times the mean comes in at a moment."""
    return math.exp(shape * math.cos(2 * math.pi * (at / 3600 - BUSIEST_HOUR) / 24)) / _mean(shape)


@cache
def _shape(peak: float) -> float:
    """How pointed a day must be so that its busiest moment is so many times the mean."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.exp(middle) / _mean(middle) < peak else (low, middle)
    return low


@cache
def _mean(shape: float) -> float:
    return math.fsum(math.exp(shape * math.cos(2 * math.pi * n / 1440)) for n in range(1440)) / 1440


def mix(text: str) -> tuple[tuple[float, float], ...]:
    """Lengths in minutes as people write them: ``5,30,60``, or with shares ``5:6,30:3,60:1``.

    Raises:
        ValueError: It is not that.
    """
    parts: Sequence[str] = [part for part in text.split(",") if part.strip()]
    try:
        found = tuple((float(m), float(share or 1)) for m, _, share in (part.partition(":") for part in parts))
    except ValueError:
        found = ()
    if not found or any(not 0 < m < math.inf or not 0 < share < math.inf for m, share in found):
        raise ValueError("write minutes with commas between them, such as 5,30,60 or 5:6,30:3,60:1")
    return found
