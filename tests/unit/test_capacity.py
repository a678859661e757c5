"""What ``python -m benchmarks.capacity`` makes of the simulation."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity_check, capacity_picture
from benchmarks.capacity import main
from benchmarks.demand import Demand
from benchmarks.flow_model import Installation, StageTime
from benchmarks.profile import FOLDER, Profile, fit, load
from benchmarks.scraped import from_metrics, of_metrics
from benchmarks.servers import Servers, connections, resources
from benchmarks.sizing import ACCOUNT_JOBS, LATE, Case, Verdict, breaks_at, enough_workers, late
from pipelines.stage import discover

TIMES = load("demo").with_factor(0.05).times


SLOW = {**TIMES, "transcribe": StageTime(6.0), "chunk": StageTime(0.0, 3.0)}


def case(hours: float, times: Mapping[str, StageTime] = TIMES, **workers: int) -> Case:
    demand = Demand(hours, minutes=((20.0, 1.0),), peak=2.0)
    return Case(demand, Installation({"net": 8, "diarise": 0, **workers}, times), days=1, seeds=2)


def breaking(asked: Case) -> Any:
    one = replace(asked, seeds=1)
    return breaks_at(one, one.judged())


def test_every_profile_tells_of_all_stages() -> None:
    for path in FOLDER.glob("*.json"):
        assert set(discover()) | {"finish"} <= set(load(path.stem).times)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"times": {"chunk": {}}}', '{"machine": "", "times": {}}'])
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json"):
        load(str(tmp_path / "mine.json"))
    with pytest.raises(ValueError, match="demo"):
        load("nowhere")


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    profile = replace(load("demo"), mean_minutes=3.0)
    profile.save(tmp_path / "mine.json")
    assert load(str(tmp_path / "mine.json")) == profile


def test_times_are_fixed_and_per_minute_and_never_negative() -> None:
    assert fit([(1, 3), (2, 5), (10, 21)]) == StageTime(1.0, 2.0)
    assert fit([(5, 2.0), (5, 4.0)]) == StageTime(3.0)
    assert fit([(1, 1), (2, 4)]).fixed == 0
    assert fit([(1, 4), (2, 1)]) == StageTime(2.5)


@pytest.mark.parametrize("wrong", ['"1"', "-1", "1e999", "true", "null", "[1]"])
def test_times_that_are_no_numbers_are_refused(tmp_path: Path, wrong: str) -> None:
    text = (FOLDER / "demo.json").read_text().replace('"fixed": 0.02778', f'"fixed": {wrong}')
    assert wrong in text
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json is not a profile: .* is no number of 0 or more"):
        load(str(tmp_path / "mine.json"))


def scrape(
    jobs: int, *, failed: int = 0, diarised: int = 0, fetched: int = 0, known: int = 0, slow: float = 1.0
) -> str:
    """What ``/metrics`` says, as far as it matters, after so many jobs of five minutes."""
    seconds = {"normalise": 0.5, "chunk": 1.0, "transcribe": 50.0 * slow, "merge": 0.1, "export": 0.1}
    rare = {"diarise": (10.0, diarised), "fetch": (2.0, fetched), "detect_language": (0.5, jobs - known)}
    of_stage = {name: (took * jobs, jobs) for name, took in seconds.items()}
    of_stage |= {name: (took * pieces, pieces) for name, (took, pieces) in rare.items()}
    lines = [
        f'longhand_stage_duration_seconds_{what}{{stage="{stage}"}} {value}'
        for stage, both in of_stage.items()
        for what, value in zip(("sum", "count"), both, strict=True)
    ]
    lines += [f'longhand_audio_seconds_total{{model="small",language="{one}"}} {jobs * 150}' for one in ("de", "en")]
    lines += [f'longhand_jobs_ended_total{{outcome="{one}"}} {n}' for one, n in (("done", jobs), ("failed", failed))]
    return "\n".join([*lines, "longhand_disk_free_bytes 5", ""])


def test_an_installation_s_own_times_come_out_of_its_metrics() -> None:
    demo = load("demo")
    found = of_metrics(scrape(10, failed=9, diarised=3, fetched=1, known=2), "", demo, name="ours")
    assert found.times["transcribe"] == StageTime(0.0, 10.0)
    assert found.times["diarise"] == StageTime(10.0)
    assert found.shares == {"diarise": 0.3, "fetched": 0.1, "language": pytest.approx(0.2)}
    assert (found.mean_minutes, found.longest_minutes) == (5.0, None)
    # What nobody tells there is the other profile's.
    assert (found.costs, found.handover, found.times["finish"]) == (demo.costs, demo.handover, demo.times["finish"])
    assert "9 that failed or were cancelled" in found.machine
    with pytest.raises(ValueError, match="ours has finished no job yet"):
        of_metrics("", "", demo, name="ours")


def test_only_what_was_done_since_an_earlier_look_counts(tmp_path: Path) -> None:
    (tmp_path / "earlier").write_text(scrape(10, slow=5.0))
    # Ten more jobs, at the usual speed: the sum of both.
    (tmp_path / "now").write_text(scrape(20, slow=3.0))
    demo = load("demo")
    found = from_metrics(str(tmp_path / "now"), str(tmp_path / "earlier"), demo)
    assert found.times["transcribe"].per_minute == pytest.approx(10.0)
    assert found.mean_minutes == 5.0 and ": 10 jobs" in found.machine
    with pytest.raises(ValueError, match="what was to be earlier is later"):
        from_metrics(str(tmp_path / "earlier"), str(tmp_path / "now"), demo)
    with pytest.raises(ValueError, match="no job yet since then"):
        from_metrics(str(tmp_path / "now"), str(tmp_path / "now"), demo)
    (tmp_path / "page").write_text("<html>")
    with pytest.raises(ValueError, match="no answer of /metrics"):
        from_metrics(str(tmp_path / "page"), None, demo)


def test_enough_workers_are_just_enough() -> None:
    asked = case(200)
    workers = enough_workers(asked, {"net": 8})
    assert asked.with_workers(workers).judged(whole=True).kept
    fewer = asked.with_workers({**workers, "gpu": workers["gpu"] - 1}).judged(whole=True)
    assert not fewer.kept
    assert late(fewer.seen, 60)["gpu"] > LATE
    # 200 h a day are 8.3 at a time, 17 at the busiest, 0.8 GPUs at 0.05.
    assert 2 <= workers["gpu"] <= 4


def test_a_number_that_is_given_is_kept_and_what_cannot_be_is_said() -> None:
    assert enough_workers(case(50), {"net": 8, "cpu": 3})["cpu"] == 3
    with pytest.raises(ValueError, match="gpu is what work waits for"):
        enough_workers(case(600), {"net": 8, "gpu": 1})


def test_no_worker_is_added_where_accounts_wait_for_their_turns() -> None:
    asked = case(40, {**TIMES, "transcribe": StageTime(300.0)})
    asked = replace(asked, target=290.0, demand=replace(asked.demand, accounts=1, minutes=((5.0, 1.0),)))
    few = replace(asked, installation=replace(asked.installation, account_jobs=1))
    with pytest.raises(ValueError, match="ACCOUNT_JOBS"):
        enough_workers(few, {"net": 8})
    verdict = few.with_workers({"net": 8, "cpu": 4, "gpu": 40, "diarise": 0}).judged()
    assert (verdict.kept, verdict.blame()) == (False, ACCOUNT_JOBS)
    assert asked.with_workers({"net": 8, "cpu": 4, "gpu": 40, "diarise": 0}).judged().kept


def test_a_set_of_workers_breaks_somewhere_and_at_something() -> None:
    found = breaking(case(25, cpu=2, gpu=1))
    assert 25 < found.hours < 24 / 0.05
    assert found.least <= found.hours < found.most
    assert found.place == "gpu"
    assert breaking(case(50, SLOW, cpu=2, gpu=2)).place == "cpu"


def test_where_workers_are_too_few_it_is_told_for_how_much_they_are_enough() -> None:
    enough, much = breaking(case(25, cpu=2, gpu=1)), breaking(case(200, cpu=2, gpu=1))
    assert much.hours == pytest.approx(enough.hours, rel=0.15)
    assert much.place == "gpu"


def test_no_load_is_small_enough_for_a_chunk_longer_than_the_target() -> None:
    """The one in reserve waits behind the recording's own."""
    found = breaking(replace(case(20, {**TIMES, "transcribe": StageTime(70.0)}, cpu=2, gpu=1), days=20))
    assert (found.hours, found.place) == (0, "gpu")


def test_the_search_ends_where_no_load_that_can_be_simulated_is_too_much() -> None:
    asked = replace(case(100, cpu=4000, gpu=4000), seeds=1)
    found = Verdict(asked)
    found.add(asked.at(10).seen(1))
    assert asked.most_hours() > 10_000
    idle = replace(asked, demand=replace(asked.demand, hours_a_day=asked.most_hours()))
    assert breaks_at(idle, found).beyond
    with pytest.raises(ValueError, match="divide all by ten"):
        case(1e6).judged()
    with pytest.raises(ValueError, match="nothing comes in"):
        replace(case(0.001, cpu=1, gpu=1), days=0.001).judged()


def test_simulations_are_judged_together_and_doubt_is_told() -> None:
    asked = replace(case(120, cpu=2, gpu=1), seeds=3)
    found = asked.judged(whole=True)
    assert len(found.each) == 3 and found.seen.jobs == sum(one.jobs for one in found.each)
    assert found.each[1] == asked.seen(2) and found.each[0] != found.each[1]
    place, hour, share, doubt = found.worst()
    assert share == late(found.seen, 60)[place] and 0 <= hour < 24 and doubt > 0
    assert found.sure == (abs(share - LATE) > doubt)
    hopeless = case(2000, cpu=2, gpu=1).judged()
    assert not hopeless.kept and hopeless.sure and len(hopeless.each) == 1


def test_what_was_not_done_by_the_next_day_does_not_keep_a_target() -> None:
    found = replace(case(1000, cpu=4, gpu=1), target=1e9).judged()
    assert found.seen.unfinished > LATE * found.seen.jobs
    assert not found.kept


def test_what_else_gives_out_is_told_in_order() -> None:
    demand, workers = Demand(10_000), {"gpu": 30, "cpu": 5, "net": 32}
    found = resources(demand, load("demo"), workers, Servers(), pieces=9)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    by_name = {one.name: one for one in found}
    # 417 hours in an hour on average, three times that at the busiest, 0.96 MB a minute.
    assert by_name["network, uploads"].load == pytest.approx(10_000 / 24 * 3 * 60 * 0.96 * 8 / 3600)
    assert by_name["disk of the recordings"].load == by_name["network, storage on another machine"].load / 8
    full = by_name["network, uploads"].full_at(10_000)
    assert resources(Demand(full), load("demo"), workers, Servers(), pieces=9)[1].share > 0
    assert by_name["network, uploads"].load / 10_000 * full == pytest.approx(1000)


def test_more_workers_ask_more_of_redis_and_postgresql_even_if_they_do_nothing() -> None:
    def ask(gpus: int) -> dict[str, Any]:
        found = resources(Demand(0.001), load("demo"), {"gpu": gpus, "cpu": 1, "net": 8}, Servers(), pieces=9)
        return {one.name: one for one in found}

    few, many = ask(1), ask(100)
    for name in ("Redis, which has one thread", "PostgreSQL"):
        assert many[name].load > 30 * few[name].load
        assert many[name].fixed == pytest.approx(many[name].load, rel=0.1)
    assert many["connections of PostgreSQL"].share > 1 > few["connections of PostgreSQL"].share
    assert many["connections of PostgreSQL"].full_at(1) == float("inf")
    # API and network keep ten each, a process with one task at least one: 2 cpu, 2 gpu.
    assert connections(Profile("", {}), {"gpu": 1, "cpu": 1, "net": 8}, 1) == 20 + 4


@pytest.mark.parametrize("name", sorted(one.name for one in (FOLDER / "checks").glob("*.json")))
def test_the_simulation_does_what_real_installations_did(name: str) -> None:
    """With each piece's own time: whatever is different is a matter of queues and turns."""
    told = json.loads((FOLDER / "checks" / name).read_text())
    found = capacity_check.simulated(told)["its own times"]
    measured = sum(told["until done"]) / len(told["until done"])
    assert sum(found["until done"]) / len(found["until done"]) == pytest.approx(measured, rel=0.1)
    waits = [one["waited"] for one in told["pieces"] if one["queue"] == "gpu"]
    assert sum(found["wait on gpu"]) / len(waits) == pytest.approx(sum(waits) / len(waits), rel=0.15)


def test_the_command_says_what_is_next(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = "capacity --hours-a-day 20 --factor 0.05 --recording-minutes 10 --cpu-workers 2 --gpu-workers 1"
    words += " --days 4 --seeds 1"
    monkeypatch.setattr("sys.argv", words.split())
    main()
    said = capsys.readouterr().out
    assert "20 hours a day: 120 recordings of 10 min on average" in said
    assert "next bottleneck: workers of gpu" in said
    assert "target (99% within 60 s, in all and in the worst hour of the day): kept" in said
    assert "of the demo model still: 0.086 s for each chunk (--chunk-overhead), 0.32 s" in said
    assert "extrapolated" not in said


def test_the_command_takes_an_installation_s_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "now").write_text(scrape(10, known=10))
    words = f"capacity --hours-a-day 10 --from-metrics {tmp_path / 'now'} --cpu-workers 1 --gpu-workers 1"
    words += " --days 2 --seeds 1"
    monkeypatch.setattr("sys.argv", words.split())
    main()
    said = capsys.readouterr().out
    assert "120 recordings of 5 min on average" in said
    assert "between two pieces of work, at the end of a job, and what the servers do: of the profile demo" in said
    assert "of the demo model still" not in said


def test_a_check_is_printed_again_from_its_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity", "--check", str(FOLDER / "checks" / "two-workers.json")])
    main()
    said = capsys.readouterr().out
    assert "from 2 accounts" in said and "2 gpu workers" in said and "until done" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--hours-a-day 0", "--hours-a-day"),
        ("--recording-minutes none", "write minutes with commas"),
        ("--profile nowhere", "there is no profile nowhere"),
        ("--diarise 0.5", "no time for diarise: give --diarise-factor"),
        ("--fetched 0.5", "no time for fetch: give --fetch-factor"),
        ("--from-metrics http://127.0.0.1:9/", "gives no figures"),
        ("--since earlier", "--since belongs to --from-metrics"),
        ("--chunk-seconds 1e-4", "a number from 30 to 1800"),
        ("--account-jobs -5", "a whole number of 0 or more"),
        ("--factor nan", "seconds of work for a second of audio"),
        ("--hours-a-day 0.1 --days 0.01", "nothing comes in within 0.01 days"),
        ("--hours-a-day 1e7", "divide all by ten"),
        ("--hours-a-day 1000 --days 1000", "give fewer --days"),
        ("--check pyproject.toml", "pyproject.toml is not what a check wrote"),
        ("--measure mine.json --model small", "give others with --sounds"),
    ],
)
def test_the_command_says_what_is_wrong(
    words: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity", *words.split()])
    with pytest.raises(SystemExit):
        main()
    assert told in capsys.readouterr().err


def test_the_picture_is_one() -> None:
    lines = {
        number: [(100.0 * number, 2.0, 1.0, 3.0), (200.0 * number, 5000.0, 4000.0, 6000.0)]
        for number in capacity_picture.GPUS
    }
    found = ET.fromstring("\n".join(capacity_picture.draw(lines, "0.022")))
    for shape in ("polyline", "polygon"):
        assert len([one for one in found if one.tag.endswith(shape)]) >= len(capacity_picture.GPUS)


def test_the_picture_s_options_are_read_as_the_command_s(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity_picture", "--factor", "0"])
    with pytest.raises(SystemExit):
        capacity_picture.main()
    assert "above 0 and up to 100" in capsys.readouterr().err
