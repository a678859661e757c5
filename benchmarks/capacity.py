"""How many workers it takes for so many hours a day, what gives out next, and when: ``docs/capacity.md``.

A simulation of Longhand's own queueing (``benchmarks.flow_model``) with measured stage times (``benchmarks/profiles``).
``python -m benchmarks.capacity`` with

    --hours-a-day 100 --factor 0.022                                how many workers?
    --hours-a-day 100 --gpu-workers 1 --cpu-workers 2               are these enough, and up to when?
    --hours-a-day 100 --from-metrics http://127.0.0.1:8081          with the times of an installation at work
    --measure FILE                                                  stage times of this machine, with the demo model
    --check                                                         simulated against a real installation

Numbers are for whoever keeps the target: 99 of 100 recordings find each queue, and the first of their work, within it.
"""

import argparse
import math
from pathlib import Path

from benchmarks import profile as profiles
from benchmarks.demand import Demand, mix
from benchmarks.flow_model import QUEUES, Installation, Seen
from benchmarks.profile import Profile
from benchmarks.queueing import share_below
from benchmarks.sizing import LATE, Case, breaks_at, enough_workers, keeps, resources
from benchmarks.stage_times import AUDIO_BYTES_A_MINUTE


def main() -> None:
    """Do what the command line says."""
    parser = _parser()
    asked = parser.parse_args()
    try:
        if asked.measure:
            from benchmarks.stage_times import measure

            measure((0.5, 3.0, 10.0), rounds=asked.rounds).save(asked.measure)
            print(asked.measure.read_text())
        elif asked.check:
            from benchmarks.capacity_check import check

            check(seed=asked.seed, recordings=asked.recordings)
        else:
            _size(asked)
    except ValueError as error:
        parser.error(str(error))


def _size(asked: argparse.Namespace) -> None:
    profile = profiles.load(asked.profile)
    if asked.from_metrics:
        profile = profiles.from_metrics(asked.from_metrics, profile.costs)
    lengths = asked.recording_minutes or (((profile.mean_minutes, 1.0),) if profile.mean_minutes else mix("5,30,60"))
    profile = profile.with_factor(asked.factor).with_factor(asked.diarise_factor, stage="diarise")
    profile = profile.with_factor(asked.fetch_factor, stage="fetch")
    shares = {"diarise": asked.diarise, "fetch": asked.fetched}
    for (stage, share), option in zip(shares.items(), ("--diarise-factor", "--fetch-factor"), strict=True):
        if share and not profile.knows(stage):
            raise ValueError(f"the profile has no time for {stage}: give {option}")
    demand = Demand(
        asked.hours_a_day, lengths, asked.peak_factor, asked.accounts,
        high=asked.high, fetched=asked.fetched, diarise=asked.diarise, megabytes_a_minute=asked.megabytes_a_minute,
    )  # fmt: skip
    fixed = {"cpu": asked.cpu_workers, "gpu": asked.gpu_workers, "diarise": asked.diarise_workers}
    fixed = {queue: number for queue, number in fixed.items() if number is not None} | {"net": asked.net_threads}
    installation = Installation(
        fixed, profile.times, asked.cores, asked.model_threads, profile.handover, asked.chunk_seconds,
        asked.account_jobs,
    )  # fmt: skip
    case = Case(demand, installation, asked.target, asked.seed, asked.days)
    given = {"cpu", "gpu"} <= set(fixed) and (not demand.diarise or "diarise" in fixed)
    print(f"times: {profile.machine}")
    if asked.factor is not None:
        print(f"       but transcription: {asked.factor:g} s for a second of audio, as given (--factor)")
    workers = {"diarise": 0, **fixed} if given else enough_workers(case, fixed)
    case = case.with_workers(workers)
    seen = case.seen()
    report(case, profile, seen)
    _next(case, profile, seen, asked)


def report(case: Case, profile: Profile, seen: Seen) -> None:
    """Print what was simulated, and what it takes."""
    demand, days = case.demand, max(seen.seconds, 1.0) / 86400
    print(
        f"\n{demand.hours_a_day:g} hours a day: {demand.a_day:.4g} recordings of {demand.mean_minutes:.3g} min on "
        f"average, {demand.peak:g} times the mean at the busiest; {demand.accounts} accounts\n"
        f"simulated: {days:.3g} days, {len(seen.begins)} recordings, seed {case.seed}\n"
    )
    print("queue    workers  busy: mean, busiest   waits 50 %    95 %    99 %   first of a job 99 %   over target")
    for queue in QUEUES:
        workers, waits = case.installation.workers.get(queue, 0), seen.waits[queue]
        if not waits:
            continue
        busy = seen.busy[queue] / max(seen.seconds, 1.0) / workers
        over = sum(one > case.target for one in waits) / len(waits)
        some = [share_below(waits, share) for share in (0.5, 0.95, 0.99)]
        times = "".join(f"{one:8.1f}" for one in some)
        print(
            f"{queue:9}{workers:7}{busy:13.1%}{min(9.99, busy * demand.peak):10.0%}   {times}"
            f"{share_below(seen.firsts[queue], 0.99):16.1f}{over:19.1%}"
        )
    for name, found in (("until a recording's work begins", seen.begins), ("until it is done", seen.latencies)):
        print(
            f"{name:32}{''.join(f'{share_below(found, share):8.1f}' for share in (0.5, 0.95, 0.99))} s (50, 95, 99 %)"
        )
    kept = "kept" if keeps(case, seen) else "NOT kept"
    print(f"target of {case.target:g} s for {1 - LATE:.0%} of the recordings: {kept}")
    chunk = case.installation.times["transcribe"].seconds(case.installation.chunk_seconds / 60)
    if chunk > case.target:
        print(
            f"  a full chunk takes {chunk:.0f} s: what a recording has in reserve waits that long behind its own, "
            "and counts as late in /metrics (take shorter chunks, or a higher target)"
        )


def _next(case: Case, profile: Profile, seen: Seen, asked: argparse.Namespace) -> None:
    """Print what else there is to pay for, and what gives out next."""
    demand, costs = case.demand, profile.costs
    pieces = seen.messages / max(1, len(seen.latencies))
    found = resources(
        demand,
        profile,
        pieces=pieces,
        web=asked.web_workers,
        database_cores=asked.database_cores,
        megabits=asked.megabits,
    )
    a_minute = demand.megabytes_a_minute * 1e6 + costs.get("kept_bytes_a_minute", 0)
    gigabytes = demand.hours_a_day * 60 * a_minute / 1e9
    messages = demand.a_day * demand.peak / 86400 * pieces
    under_way = demand.a_day / 86400 * demand.peak * math.fsum(seen.latencies) / max(1, len(seen.latencies))
    scratch = under_way * demand.mean_minutes * AUDIO_BYTES_A_MINUTE / 1e9
    print(
        f"\nkept: {gigabytes:.3g} GB a day, {gigabytes * asked.retention_days:.3g} GB in {asked.retention_days:g} days"
    )
    print(f"under way at the busiest (Little's law): {under_way:.3g} recordings, {scratch:.2g} GB decoded")
    print(
        f"Redis: {messages * costs.get('redis_commands', 0):.3g} commands/s; PostgreSQL: "
        f"{messages * costs.get('database_commits', 0):.3g} transactions/s, "
        f"{messages * costs.get('database_rows', 0):.3g} rows/s written"
    )
    for one in found:
        print(f"  {one.name:36}{one.load:10.3g} of {one.limit:g} {one.unit} ({one.share:.1%})")
    hours, queue = breaks_at(case)
    print(f"\nthese workers keep the target up to {hours:.3g} hours a day; then {queue} is late")
    full = demand.hours_a_day / found[0].share if found[0].share else math.inf
    print(f"of everything else {found[0].name} is full first: at {full:.3g} hours a day")
    first = f"workers of {queue}" if queue in QUEUES else queue
    print(f"next bottleneck: {first if hours <= full else found[0].name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--measure", type=Path, metavar="FILE", help="measure stage times here and write them")
    what.add_argument("--check", action="store_true", help="hold the simulation against a real installation")
    number = parser.add_argument_group("what comes in")
    number.add_argument("--hours-a-day", type=_positive, default=100.0)
    number.add_argument("--recording-minutes", type=_mix, help="lengths, with shares if they differ: 5:6,30:3,60:1")
    number.add_argument("--peak-factor", type=_peak, default=3.0, help="busiest moment of the day against the mean")
    number.add_argument("--accounts", type=_whole, default=10)
    number.add_argument("--high", type=_share, default=0.0, help="share with the priority high")
    number.add_argument("--fetched", type=_share, default=0.0, help="share given by an address")
    number.add_argument("--diarise", type=_share, default=0.0, help="share whose speakers are told apart")
    number.add_argument("--megabytes-a-minute", type=_positive, default=0.96)
    has = parser.add_argument_group("what there is; numbers of workers that are not given are searched for")
    has.add_argument("--profile", default="demo", help="of benchmarks/profiles, or a file")
    has.add_argument("--from-metrics", metavar="URL", help="stage times of an installation at work (key: API_KEY)")
    has.add_argument("--factor", type=_positive, help="seconds of transcription for a second of audio")
    has.add_argument("--diarise-factor", type=_positive, help="the same of telling speakers apart")
    has.add_argument("--fetch-factor", type=_positive, help="the same of fetching a recording from its address")
    for queue in ("gpu", "cpu", "diarise"):
        has.add_argument(f"--{queue}-workers", type=_whole)
    has.add_argument("--net-threads", type=_whole, default=32)
    has.add_argument("--cores", type=_positive, default=math.inf, help="that all workers share; else each has its own")
    has.add_argument("--model-threads", type=_positive, default=1.0, help="cores that a transcription wants")
    has.add_argument("--chunk-seconds", type=_positive, default=600.0)
    has.add_argument("--account-jobs", type=int, default=0)
    has.add_argument("--target", type=_positive, default=60.0, help="QUEUE_WAIT_TARGET_SECONDS")
    has.add_argument("--web-workers", type=_whole, default=1)
    has.add_argument("--database-cores", type=_positive, default=2.0)
    has.add_argument("--megabits", type=_positive, default=1000.0, help="a second, of a network")
    has.add_argument("--retention-days", type=_positive, default=30.0)
    how = parser.add_argument_group("how")
    how.add_argument("--seed", type=int, default=1)
    how.add_argument("--days", type=_positive)
    how.add_argument("--rounds", type=_whole, default=2, help="of --measure")
    how.add_argument("--recordings", type=_whole, default=30, help="of --check")
    return parser


def _positive(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise ValueError(text)
    return float(text)


def _whole(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise ValueError(text)
    return float(text)


def _peak(text: str) -> float:
    if not 1 <= float(text) <= 12:
        raise ValueError(text)
    return float(text)


def _mix(text: str) -> tuple[tuple[float, float], ...]:
    try:
        return mix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
