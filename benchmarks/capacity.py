"""How many workers it takes for so many hours a day, what gives out next, and when: ``docs/capacity.md``.

A simulation of Longhand's own queueing (``benchmarks.flow_model``) with measured stage times (``benchmarks/profiles``).
``python -m benchmarks.capacity`` with

    --hours-a-day 100 --factor 0.022                                how many workers?
    --hours-a-day 100 --gpu-workers 1 --cpu-workers 2               are these enough, and up to when?
    --hours-a-day 100 --from-metrics http://127.0.0.1:8081          with the times of an installation at work
    --measure FILE                                                  stage times of this machine, with the demo model
    --check FILE                                                    simulated against a real installation

The target is kept where 99 of 100 wait no longer: pieces of work on each queue, first chunks, jobs for their turn and
for their first work; in all, and in the worst hour of the day.
"""

import argparse

from benchmarks import profile as profiles
from benchmarks.capacity_options import parser
from benchmarks.capacity_report import next_bottleneck, report, sources
from benchmarks.demand import Demand, mix
from benchmarks.flow_model import Installation
from benchmarks.profile import Profile
from benchmarks.sizing import Case, enough_workers


def main() -> None:
    """Do what the command line says."""
    options = parser(__doc__)
    asked = options.parse_args()
    try:
        if asked.measure:
            _measure(asked)
        elif asked.check:
            from benchmarks.capacity_check import check

            check(
                asked.check, seed=asked.seed, recordings=asked.recordings, gpu_workers=asked.gpu_workers or 1,
                keys=asked.keys, high=asked.high,
            )  # fmt: skip
        else:
            _size(asked)
    except (ValueError, OSError) as error:
        options.error(str(error))


def _measure(asked: argparse.Namespace) -> None:
    from benchmarks.stage_times import measure

    if asked.model != "demo" and not asked.sounds:
        raise ValueError("only the demo model understands the recordings made for it: give others with --sounds")
    measure((0.5, 3.0, 10.0), rounds=asked.rounds, model=asked.model, sounds=asked.sounds).save(asked.measure)
    print(asked.measure.read_text())


def _size(asked: argparse.Namespace) -> None:
    profile = _profile(asked)
    demand = _demand(asked, profile)
    fixed = {"cpu": asked.cpu_workers, "gpu": asked.gpu_workers, "diarise": asked.diarise_workers}
    fixed = {queue: number for queue, number in fixed.items() if number is not None} | {"net": asked.net_threads}
    installation = Installation(
        fixed, profile.times, asked.cores, asked.model_threads, profile.handover, asked.chunk_seconds,
        asked.account_jobs,
    )  # fmt: skip
    case = Case(demand, installation, asked.target, asked.seed, asked.seeds, asked.days)
    print("\n".join(sources(profile, demand, asked)))
    given = {"cpu", "gpu"} <= set(fixed) and (not demand.diarise or "diarise" in fixed)
    workers = {"diarise": 0, **fixed} if given else enough_workers(case, fixed)
    case = case.with_workers(workers)
    found = case.judged(whole=True)
    report(found)
    next_bottleneck(found, profile, asked)


def _profile(asked: argparse.Namespace) -> Profile:
    """Stage times, as the options change them."""
    profile = profiles.load(asked.profile)
    if asked.since and not asked.from_metrics:
        raise ValueError("--since belongs to --from-metrics")
    if asked.from_metrics:
        from benchmarks.scraped import from_metrics

        profile = from_metrics(asked.from_metrics, asked.since, profile)
    profile = profile.with_factor(asked.factor, overhead=asked.chunk_overhead).with_detection(asked.detect_seconds)
    profile = profile.with_factor(asked.diarise_factor, stage="diarise")
    return profile.with_factor(asked.fetch_factor, stage="fetch")


def _demand(asked: argparse.Namespace, profile: Profile) -> Demand:
    shares = {"fetched": asked.fetched, "diarise": asked.diarise, "language": asked.language}
    shares = {name: profile.shares.get(name, 0.0) if share is None else share for name, share in shares.items()}
    for name, stage, option in (("diarise", "diarise", "--diarise-factor"), ("fetched", "fetch", "--fetch-factor")):
        if shares[name] and not profile.knows(stage):
            raise ValueError(f"the profile has no time for {stage}: give {option}")
    return Demand(
        asked.hours_a_day,
        asked.recording_minutes or (((profile.mean_minutes, 1.0),) if profile.mean_minutes else mix("5,30,60")),
        asked.peak_factor, asked.accounts, asked.high,
        **shares, megabytes_a_minute=asked.megabytes_a_minute, burst=asked.burst,
    )  # fmt: skip


if __name__ == "__main__":
    main()
