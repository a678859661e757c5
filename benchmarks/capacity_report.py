"""What ``python -m benchmarks.capacity`` prints."""

import argparse
from collections.abc import Iterator

from benchmarks.demand import AUDIO_BYTES_A_MINUTE, Demand
from benchmarks.profile import Profile
from benchmarks.seen import QUEUES, Seen, Waits
from benchmarks.servers import Servers, resources, traffic
from benchmarks.sizing import ACCOUNT_JOBS, LATE, Break, Verdict, breaks_at

_FEW = 5_000
"""Recordings below which a share of one in a hundred says little."""


def sources(profile: Profile, demand: Demand, asked: argparse.Namespace) -> Iterator[str]:
    """Where the times come from, and what of them is a guess."""
    yield f"times: {profile.machine}"
    given = {"--factor": asked.factor, "--chunk-overhead": asked.chunk_overhead}
    given |= {"--detect-seconds": asked.detect_seconds, "--diarise-factor": asked.diarise_factor}
    if changed := ", ".join(f"{name} {value:g}" for name, value in given.items() if value is not None):
        yield f"       but, as given: {changed}"
    if asked.from_metrics:
        yield "       between two pieces of work, at the end of a job, and what the servers do: of the profile " + (
            f"{asked.profile}; one mean length"
        )
    elif profile.model == "demo":
        chunk, detect = profile.times["transcribe"], profile.times["detect_language"]
        still = [] if asked.factor else [f"{chunk.per_minute:.3g} s of transcription for a minute (--factor)"]
        if asked.chunk_overhead is None:
            still.append(f"{chunk.fixed:.2g} s for each chunk (--chunk-overhead)")
        if asked.detect_seconds is None and demand.language < 1:
            still.append(
                f"{detect.fixed:.2g} s and {detect.per_minute:.2g} a minute for the language (--detect-seconds)"
            )
        if still:
            yield f"       of the demo model still: {', '.join(still)}"
    longest = max(minutes for minutes, _ in demand.minutes)
    if profile.longest_minutes and longest > profile.longest_minutes + 1:
        yield f"       extrapolated from {profile.longest_minutes:.3g} minutes to recordings of up to {longest:.3g}"


def report(found: Verdict) -> None:
    """Print what was simulated, and whether it keeps the target."""
    case, seen, demand = found.case, found.seen, found.case.demand
    print(
        f"\n{_hours(demand.hours_a_day)} hours a day: {_hours(demand.a_day)} recordings of "
        f"{demand.mean_minutes:.3g} min on average, {demand.peak:g} times the mean at the busiest; "
        f"{demand.accounts} accounts\n"
        f"simulated: {len(found.each)} times {found.each[0].days:.3g} days (seeds {case.seed} to "
        f"{case.seed + len(found.each) - 1}), {seen.jobs} recordings in all; in brackets the range of the simulations"
    )
    if seen.jobs < _FEW:
        print(f"  {seen.jobs} recordings are too few to tell 1 in 100: give more --days or --seeds")
    print(
        "\nqueue    workers   busy: mean, busiest   waits 50 %    95 %    99 %        [99 %]   over target   worst hour"
    )
    for queue in QUEUES:
        workers, waits = case.installation.workers.get(queue, 0), seen.waits[queue]
        if waits:
            load = found.load(queue)
            print(
                f"{queue:9}{workers:7}{load / demand.peak:13.1%}{min(9.99, load):10.0%}    "
                f"{_times(waits)}{_range(found, queue):>14}{waits.late(case.target):14.2%}"
                f"{waits.late_in_worst_hour(case.target):13.2%}"
            )
    print("\nseconds                                   50 %    95 %    99 %        [99 %]")
    for name, waits in _of_jobs(seen).items():
        print(f"{name:39}{_times(waits)}{_range(found, name):>14}")
    if seen.unfinished:
        print(f"NOT done a day later: {seen.unfinished} of {seen.jobs} recordings; their times are longer than that")
    share = f"{1 - LATE:.0%} within {case.target:g} s, in all and in the worst hour of the day"
    print(f"target ({share}): {'kept' if found.kept else 'NOT kept'}{'' if found.sure else ', narrowly'}")
    place, hour, worst, doubt = found.worst()
    print(f"  late at worst: {worst:.2%} ± {doubt:.2%}, {place}, from {hour} to {hour + 1} o'clock")
    _reserve(found)


def _of_jobs(seen: Seen) -> dict[str, Waits]:
    return {
        "until a recording's turn": seen.turns,
        "until its work begins": seen.begins,
        "its first chunk waits on gpu": seen.first_chunks,
        "until its transcription begins": seen.transcriptions,
        "until it is done": seen.latencies,
    }


def _times(waits: Waits) -> str:
    return "".join(f"{one:8.1f}" for one in waits.below(0.5, 0.95, 0.99))


def _range(found: Verdict, name: str) -> str:
    every = [{**one.waits, **_of_jobs(one)}[name].below(0.99)[0] for one in found.each]
    return f"{min(every):.0f} to {max(every):.0f}"


def _reserve(found: Verdict) -> None:
    case = found.case
    chunk = case.installation.times["transcribe"].seconds(case.installation.chunk_seconds / 60)
    if chunk > case.target:
        print(
            f"  a full chunk takes {chunk:.0f} s: what a recording has in reserve may wait that long behind its "
            "own, and is late then (take shorter chunks, --chunk-seconds, or a higher target)"
        )


def next_bottleneck(found: Verdict, profile: Profile, asked: argparse.Namespace) -> None:
    """Print what else there is to pay for, and what gives out next."""
    demand, seen, workers = found.case.demand, found.seen, found.case.installation.workers
    pieces = seen.messages / seen.jobs
    a_minute = demand.megabytes_a_minute * 1e6 + profile.costs.get("kept_bytes_a_minute", 0)
    gigabytes = demand.hours_a_day * 60 * a_minute / 1e9
    days = asked.retention_days
    print(f"\nkept: {_hours(gigabytes)} GB a day, {_hours(gigabytes * days)} GB in {days:g} days")
    every = [one.under_way() for one in found.each]
    jobs, minutes = (sum(one) / len(every) for one in zip(*every, strict=True))
    decoded = minutes * AUDIO_BYTES_A_MINUTE / 1e9
    print(f"under way at the busiest hour (Little's law): {jobs:.3g} recordings, {decoded:.2g} GB decoded")
    asks = traffic(demand, profile, workers, pieces=pieces)
    print(
        f"at the busiest: Redis {asks.redis_commands:.3g} commands/s; PostgreSQL {asks.commits:.3g} transactions/s, "
        f"{asks.rows:.3g} rows/s written"
    )
    servers = Servers(
        asked.web_workers, asked.database_cores, asked.database_connections, asked.megabits, asked.disk_megabytes
    )
    rest = resources(demand, profile, workers, servers, pieces=pieces)
    for one in rest:
        print(f"  {one.name:36}{_hours(one.load):>10} of {one.limit:g} {one.unit} ({one.share:.1%})")
    full, growing = min((one.full_at(demand.hours_a_day), one.name) for one in rest)
    breaks = breaks_at(found.case, found)
    print(f"\n{_told(breaks, demand.hours_a_day, doubted=len(found.each) > 1)}")
    print(f"of what grows with the hours {growing} is full first: at {_hours(full)} hours a day")
    for one in rest:
        if one.share > 1:
            print(f"TOO LITTLE already: {one.name}")
    mine = breaks.place if breaks.place == ACCOUNT_JOBS or not breaks.place else f"workers of {breaks.place}"
    print(f"next bottleneck: {mine if mine and breaks.hours <= full else growing}")


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _told(breaks: Break, asked: float, *, doubted: bool) -> str:
    if breaks.beyond:
        return f"these workers keep the target at {_hours(breaks.hours)} hours a day; more was not simulated"
    if not breaks.hours:
        return f"these workers keep the target at no load that was looked at; {breaks.place} is late"
    sure = f" (surely up to {_hours(breaks.least)}, surely not from {_hours(breaks.most)})" if doubted else ""
    less = "only " if breaks.hours < asked else ""
    hours = _hours(breaks.hours)
    return f"these workers keep the target {less}up to {hours} hours a day{sure}; then {breaks.place} is late"
