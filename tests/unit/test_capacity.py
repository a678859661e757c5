"""What ``python -m benchmarks.capacity`` makes of the simulation."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import capacity_picture
from benchmarks.capacity import main
from benchmarks.demand import Demand
from benchmarks.flow_model import Installation, StageTime
from benchmarks.profile import FOLDER, fit, load, of_metrics
from benchmarks.sizing import BEGIN, LATE, Case, breaks_at, enough_workers, keeps, late, resources
from pipelines.stage import discover

TIMES = load("demo").with_factor(0.05).times


SLOW = {**TIMES, "transcribe": StageTime(6.0), "chunk": StageTime(0.0, 3.0)}


def case(hours: float, times: Mapping[str, StageTime] = TIMES, **workers: int) -> Case:
    demand = Demand(hours, minutes=((20.0, 1.0),), peak=2.0)
    return Case(demand, Installation({"net": 8, "diarise": 0, **workers}, times), days=1)


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


def test_an_installation_s_own_times_come_out_of_its_metrics() -> None:
    """Of 10 jobs with 50 minutes: the text of ``/metrics``, as far as it matters."""
    seconds = {"normalise": 5.0, "chunk": 10.0, "transcribe": 500.0, "merge": 1.0, "export": 1.0}
    lines = [f'longhand_stage_duration_seconds_sum{{stage="{stage}"}} {took}' for stage, took in seconds.items()]
    lines += [
        f'longhand_stage_duration_seconds_{what}{{stage="diarise"}} {n}' for what, n in (("sum", 30), ("count", 3))
    ]
    lines += [f'longhand_audio_seconds_total{{model="small",language="{one}"}} 1500' for one in ("de", "en")]
    lines += [f'longhand_jobs_ended_total{{outcome="{one}"}} {n}' for one, n in (("done", 10), ("failed", 9))]
    found = of_metrics("\n".join(lines) + "\n", costs={"a": 1.0}, name="ours")
    assert found.times["transcribe"] == StageTime(0.0, 10.0)
    assert found.times["diarise"] == StageTime(10.0)
    assert (found.mean_minutes, found.costs) == (5.0, {"a": 1.0})
    with pytest.raises(ValueError, match="ours has finished no job yet"):
        of_metrics("", costs={}, name="ours")


def test_enough_workers_are_just_enough() -> None:
    asked = case(200)
    workers = enough_workers(asked, {"net": 8})
    assert keeps(asked.with_workers(workers), asked.with_workers(workers).seen())
    fewer = asked.with_workers({**workers, "gpu": workers["gpu"] - 1})
    assert not keeps(fewer, fewer.seen())
    assert late(fewer.seen(), 60)["gpu"] > LATE or late(fewer.seen(), 60)[BEGIN] > LATE
    # 200 h a day are 8.3 at a time, 17 at the busiest, 0.8 GPUs at 0.05.
    assert 2 <= workers["gpu"] <= 4


def test_a_number_that_is_given_is_kept_and_what_cannot_be_is_said() -> None:
    assert enough_workers(case(50), {"net": 8, "cpu": 3})["cpu"] == 3
    with pytest.raises(ValueError, match="gpu is what work waits for"):
        enough_workers(case(600), {"net": 8, "gpu": 1})


def test_a_set_of_workers_breaks_somewhere_and_at_something() -> None:
    hours, what = breaks_at(case(50, cpu=2, gpu=1))
    assert 50 < hours < 24 / 0.05
    assert what == "gpu"
    assert breaks_at(case(50, SLOW, cpu=2, gpu=2))[1] == "cpu"
    assert breaks_at(case(1000, cpu=2, gpu=1))[0] == 0


def test_what_was_not_done_by_the_next_day_does_not_keep_a_target() -> None:
    asked = case(1000, cpu=4, gpu=1)
    seen = asked.seen()
    assert len(seen.latencies) < len(seen.begins)
    assert not keeps(replace(asked, target=1e9), seen)


def test_what_else_gives_out_is_told_in_order() -> None:
    demand = Demand(10_000)
    found = resources(demand, load("demo"), pieces=9, web=1, database_cores=2, megabits=1000)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    uploads = next(one for one in found if one.name == "network, uploads")
    # 417 hours in an hour on average, three times that at the busiest, 0.96 MB a minute.
    assert uploads.load == pytest.approx(10_000 / 24 * 3 * 60 * 0.96 * 8 / 3600)


def test_the_command_says_what_is_next(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = "capacity --hours-a-day 20 --factor 0.1 --recording-minutes 10 --cpu-workers 2 --gpu-workers 1 --days 3"
    monkeypatch.setattr("sys.argv", words.split())
    main()
    said = capsys.readouterr().out
    assert "20 hours a day: 120 recordings of 10 min on average" in said
    assert "next bottleneck: workers of gpu" in said
    assert "target of 60 s for 99% of the recordings: kept" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--hours-a-day 0", "--hours-a-day"),
        ("--recording-minutes none", "write minutes with commas"),
        ("--profile nowhere", "there is no profile nowhere"),
        ("--diarise 0.5", "no time for diarise: give --diarise-factor"),
        ("--fetched 0.5", "no time for fetch: give --fetch-factor"),
        ("--from-metrics http://127.0.0.1:9/", "gives no figures"),
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
    lines = {number: [(100.0 * number, 1.0), (200.0 * number, 5000.0)] for number in capacity_picture.GPUS}
    found = ET.fromstring("\n".join(capacity_picture.draw(lines, "0.022")))
    assert len([one for one in found if one.tag.endswith("polyline")]) >= len(capacity_picture.GPUS)
