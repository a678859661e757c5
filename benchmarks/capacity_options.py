"""The command line of ``python -m benchmarks.capacity``."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.demand import mix


def parser(text: str | None) -> argparse.ArgumentParser:
    """All options."""
    found = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = found.add_mutually_exclusive_group()
    what.add_argument("--measure", type=Path, metavar="FILE", help="measure stage times here and write them")
    what.add_argument(
        "--check", type=Path, metavar="FILE", help="hold it against a real installation; or print such a file again"
    )
    _comes_in(found)
    _there_is(found)
    _how(found)
    return found


def _comes_in(found: argparse.ArgumentParser) -> None:
    number = found.add_argument_group("what comes in")
    number.add_argument("--hours-a-day", type=POSITIVE, default=100.0)
    number.add_argument("--recording-minutes", type=lengths, help="with shares if they differ: 5:6,30:3,60:1")
    number.add_argument("--peak-factor", type=between(1, 12), default=3.0, help="busiest moment against the mean")
    number.add_argument("--accounts", type=COUNT, default=10)
    number.add_argument("--burst", type=COUNT, default=1, help="recordings that an account sends at the same moment")
    number.add_argument("--high", type=SHARE, default=0.0, help="share with the priority high")
    number.add_argument("--fetched", type=SHARE, help="share given by an address")
    number.add_argument("--diarise", type=SHARE, help="share whose speakers are told apart")
    number.add_argument("--language", type=SHARE, help="share whose request says the language")
    number.add_argument("--megabytes-a-minute", type=POSITIVE, default=0.96)


def _there_is(found: argparse.ArgumentParser) -> None:
    has = found.add_argument_group("what there is; numbers of workers that are not given are searched for")
    has.add_argument("--profile", default="demo", help="of benchmarks/profiles, or a file")
    has.add_argument("--from-metrics", metavar="URL", help="stage times of an installation at work (key: API_KEY)")
    has.add_argument("--since", metavar="FILE", help="an earlier answer of /metrics: only what came after it counts")
    has.add_argument("--factor", type=factor, help="seconds of transcription for a second of audio")
    has.add_argument("--chunk-overhead", type=AT_LEAST_0, help="seconds more for each chunk")
    has.add_argument("--detect-seconds", type=AT_LEAST_0, help="to find out the language of a recording")
    has.add_argument("--diarise-factor", type=factor, help="as --factor, of telling speakers apart")
    has.add_argument("--fetch-factor", type=factor, help="the same of fetching a recording from its address")
    for queue in ("gpu", "cpu", "diarise"):
        has.add_argument(f"--{queue}-workers", type=COUNT)
    has.add_argument("--net-threads", type=COUNT, default=32)
    has.add_argument("--cores", type=POSITIVE, default=math.inf, help="that all workers share; else each has its own")
    has.add_argument("--model-threads", type=POSITIVE, default=1.0, help="cores that a transcription wants")
    has.add_argument("--chunk-seconds", type=between(30, 1800), default=600.0)
    has.add_argument("--account-jobs", type=whole(0), default=0, help="ACCOUNT_JOBS; 0: by the number of workers")
    has.add_argument("--target", type=POSITIVE, default=60.0, help="QUEUE_WAIT_TARGET_SECONDS")
    has.add_argument("--web-workers", type=COUNT, default=1)
    has.add_argument("--database-cores", type=POSITIVE, default=2.0)
    has.add_argument("--database-connections", type=between(10, 1e6), default=100.0, help="max_connections")
    has.add_argument("--megabits", type=POSITIVE, default=1000.0, help="a second, of a network")
    has.add_argument("--disk-megabytes", type=POSITIVE, default=500.0, help="a second, of the disk of the recordings")
    has.add_argument("--retention-days", type=POSITIVE, default=30.0)


def _how(found: argparse.ArgumentParser) -> None:
    how = found.add_argument_group("how")
    how.add_argument("--seed", type=whole(0), default=1, help="of the first simulation; the others have the next ones")
    how.add_argument("--seeds", type=COUNT, default=5, help="simulations with other random numbers")
    how.add_argument("--days", type=POSITIVE, help="of each; else so many that there are 20,000 recordings in all")
    how.add_argument("--rounds", type=COUNT, default=2, help="of --measure")
    how.add_argument("--model", default="demo", help="of --measure; others need --sounds")
    how.add_argument("--sounds", type=Path, nargs="+", default=[], help="of --measure: recordings of people")
    how.add_argument("--keys", type=COUNT, default=1, help="of --check: accounts")
    how.add_argument("--recordings", type=COUNT, default=30, help="of --check")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def between(least: float, most: float) -> Callable[[str], float]:
    """A number with bounds, which it may have."""

    def read(text: str) -> float:
        if not least <= _number(text) <= most:
            raise argparse.ArgumentTypeError(f"give a number from {least:g} to {most:g}")
        return float(text)

    return read


def above_0(text: str) -> float:
    """A number above 0."""
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError("give a number above 0")
    return float(text)


def factor(text: str) -> float:
    """A real-time factor."""
    if not 0 < _number(text) <= 100:
        raise argparse.ArgumentTypeError("give seconds of work for a second of audio, above 0 and up to 100")
    return float(text)


def whole(least: int) -> Callable[[str], int]:
    """A whole number."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= 10**9:
            raise argparse.ArgumentTypeError(f"give a whole number of {least} or more")
        return int(text)

    return read


def lengths(text: str) -> tuple[tuple[float, float], ...]:
    """Lengths of recordings."""
    try:
        return mix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


POSITIVE: Any = above_0
COUNT, SHARE, AT_LEAST_0 = whole(1), between(0, 1), between(0, 1e6)
