"""The simulation behind docs/capacity.md: against what is known by arithmetic, and Longhand's own rules."""

import random
from collections import Counter
from functools import partial

import pytest

from benchmarks.demand import DAY, Demand, Recording, arrivals, mix, rate
from benchmarks.flow_model import Installation, Model, StageTime, chunks
from benchmarks.queueing import Message, Queue, Stations, erlang_c
from benchmarks.seen import QUEUES, Seen, Waits
from tasks.flow import LARGE_BYTES

TIMES = {
    name: StageTime(1.0) for name in ("normalise", "chunk", "detect_language", "merge", "export", "finish", "fetch")
}
TIMES |= {"transcribe": StageTime(0.0, 6.0), "diarise": StageTime(0.0, 6.0)}


def run(
    *recordings: Recording,
    cores: float = float("inf"),
    account_jobs: int = 0,
    until: float = float("inf"),
    **workers: int,
) -> Seen:
    has = Installation(
        {"cpu": 2, "gpu": 1, "diarise": 1, "net": 4} | workers, TIMES, cores=cores, account_jobs=account_jobs
    )
    return Model(has).run(recordings, until=until)


def nothing() -> None:
    pass


@pytest.mark.parametrize(("workers", "load"), [(1, 0.5), (2, 1.2), (5, 3.0), (10, 6.0)])
def test_waits_are_those_of_erlang_c(workers: int, load: float) -> None:
    """Poisson arrivals, exponential work of one second on average: M/M/c."""
    choose, waits = random.Random(7), []
    stations = Stations({"q": Queue(workers)})

    def come():
        at = 0.0
        for _ in range(60_000):
            at += choose.expovariate(load)
            work = Message("q", choose.expovariate(1.0), nothing, begins=waits.append)
            yield at, partial(stations.send, work)

    stations.run(come())
    must_wait = sum(wait > 0 for wait in waits) / len(waits)
    assert must_wait == pytest.approx(erlang_c(workers, load), rel=0.1)
    assert sum(waits) / len(waits) == pytest.approx(erlang_c(workers, load) / (workers - load), rel=0.15)
    assert stations.queues["q"].busy_seconds / stations.now == pytest.approx(load, rel=0.03)


def test_erlang_c_is_what_tables_say() -> None:
    assert erlang_c(1, 0.3) == pytest.approx(0.3)  # M/M/1: the utilisation
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)
    assert erlang_c(3, 3.0) == erlang_c(3, 9.0) == 1.0


def test_the_highest_priority_is_served_first_and_within_it_the_oldest() -> None:
    stations, order = Stations({"q": Queue(1)}), []
    for name, priority in (("first", 6), ("low", 6), ("normal 1", 3), ("normal 2", 3), ("high", 0)):
        stations.send(Message("q", 1.0, partial(order.append, name), priority))
    stations.run(iter(()))
    assert order == ["first", "high", "normal 1", "normal 2", "low"]


def test_too_few_cores_slow_everybody_down_but_those_who_need_none() -> None:
    stations, ends = Stations({"cpu": Queue(4), "net": Queue(4, cores=0.0)}, cores=2), {}
    for name in ("a", "b", "c", "d"):
        stations.send(Message("cpu", 3.0, lambda name=name: ends.update({name: stations.now})))
    stations.send(Message("net", 3.0, lambda: ends.update({"net": stations.now})))
    stations.run(iter([(4.0, partial(stations.send, Message("cpu", 1.0, lambda: ends.update(late=stations.now))))]))
    # Four on two cores at half the speed, and one of a second that comes at 4 and waits for a process until 6.
    assert ends == {"net": 3.0, "a": 6.0, "b": 6.0, "c": 6.0, "d": 6.0, "late": 7.0}


def test_a_recording_goes_through_its_stages() -> None:
    seen = run(Recording(0.0, 5.0))
    # normalise, chunk, detect_language, 30 s of transcription, merge, export, finish.
    assert seen.latencies.all() == [pytest.approx(36.0)]
    assert {name: len(found) for name, found in seen.waits.items()} == {"cpu": 5, "gpu": 2, "diarise": 0, "net": 0}
    assert seen.busy == {"cpu": 5.0, "gpu": 31.0, "diarise": 0.0, "net": 0.0}


def test_speakers_are_told_apart_beside_the_transcription() -> None:
    assert run(Recording(0.0, 5.0, diarise=True)).latencies.all() == [pytest.approx(36.0)]
    assert run(Recording(0.0, 5.0, language=True)).latencies.all() == [pytest.approx(35.0)]
    assert run(Recording(0.0, 5.0, fetched=True)).latencies.all() == [pytest.approx(37.0)]


def test_chunks_are_shared_by_workers_and_no_more_sent_than_there_are_and_one() -> None:
    assert (
        chunks(5, 600) == [5]
        and len(chunks(60, 600)) == 6
        and len(chunks(31, 1800)) == 2
        and chunks(10.4, 600) == [10.4]
    )
    seen = run(Recording(0.0, 60.0), gpu=3)
    assert seen.latencies.all() == [pytest.approx(6 + 2 * 60.0)]
    # Three begin at once, the one in reserve after 60 s, and the last two, sent only then, do not wait any more.
    assert sorted(seen.waits["gpu"].all()) == [0] * 6 + [60]


def test_a_clip_waits_for_one_chunk_of_a_long_recording_if_it_is_urgent() -> None:
    long, clip = Recording(0.0, 120.0, account=1), Recording(10.0, 0.5, account=2, priority=0)
    seen = run(long, clip)
    # The second of the clip's two visits to the GPU comes right after the first.
    assert min(seen.latencies.all()) < 60 + 10
    usual = run(long, Recording(10.0, 0.5, account=2))
    assert min(usual.latencies.all()) > min(seen.latencies.all())


def test_an_account_has_so_many_turns_and_others_do_not_wait_for_them() -> None:
    many = [Recording(0.0, 5.0, account=1) for _ in range(40)]
    seen = run(*many, Recording(1.0, 5.0, account=2))
    assert seen.turns.below(0.05) == [0]  # six have their turn at once, and the other account's
    assert sum(turn == 0 for turn in seen.turns.all()) == 2 * 4 + 1  # cpu 2, gpu 1, diarise 1, twice
    assert sum(turn == 0 for turn in run(*many, account_jobs=10).turns.all()) == 10


def test_large_recordings_leave_a_process_free_for_clips() -> None:
    large = [Recording(0.0, 60.0, account=1, large=True) for _ in range(4)]
    clip = run(*large, Recording(0.5, 0.1, account=2, priority=0), cpu=2, gpu=8)
    assert max(clip.begins.all()[:2]) == 0  # one large one and, although all of the four were first, the clip
    assert sum(turn == 0 for turn in clip.turns.all()) == 2


def test_nobody_works_more_than_there_are() -> None:
    seen = run(*arrivals(Demand(60), days=1, seed=3, large_bytes=LARGE_BYTES))
    for name in QUEUES:
        assert seen.busy[name] <= seen.seconds * 1.05 * {"cpu": 2, "net": 4}.get(name, 1)
    assert len(seen.latencies) == len(seen.turns) == len(seen.begins) == len(seen.transcriptions) == seen.jobs
    assert not seen.unfinished


def test_what_never_began_or_ended_counts_as_until_then() -> None:
    """Two of an account that has one turn: the second is not begun when nobody looks any more."""
    seen = run(Recording(0.0, 60.0), Recording(10.0, 60.0), account_jobs=1, until=100.0)
    assert (seen.jobs, seen.unfinished) == (2, 2)
    assert sorted(seen.latencies.all()) == [90.0, 100.0]
    assert sorted(seen.begins.all()) == sorted(seen.turns.all()) == [0.0, 90.0]
    # The first one's chunk in reserve waits since the third second.
    assert sorted(seen.transcriptions.all()) == [3.0, 90.0]
    assert sorted(seen.waits["gpu"].all()) == [0.0, 0.0, 37.0, 60.0]


def test_when_the_first_chunk_waits_is_seen_even_if_the_language_is_known() -> None:
    seen = run(Recording(0.0, 5.0, language=True), Recording(0.0, 5.0, account=1, language=True))
    assert seen.first_chunks.all() == [0.0, 30.0]
    assert seen.transcriptions.all() == [2.0, 32.0]


def test_waits_are_told_by_the_hour() -> None:
    waits = Waits()
    for hour, seconds in [(1, 90.0)] + [(13, 10.0)] * 30 + [(14, 100.0)] * 10 + [(38, 10.0)] * 10:
        waits.add(hour * 3600.0, seconds)
    assert len(waits) == 51 and waits.late(60) == 11 / 51
    # One in the small hours says nothing; the hours of all days are one.
    assert (waits.worst_hour(60), waits.late_in_worst_hour(60)) == (14, 0.5)
    assert waits.below(0.5, 0.99) == [10.0, 100.0] and Waits().below(0.5) == [0.0]


def test_work_under_way_counts_long_recordings_for_as_long_as_they_take() -> None:
    """Little's law by minutes: decoded audio is on the disk until a recording is done."""
    seen = run(Recording(0.0, 5.0, account=1, language=True), Recording(0.0, 60.0, account=2), gpu=8)
    latencies = sorted(seen.latencies.all())
    jobs, minutes = seen.under_way()
    assert jobs == pytest.approx(sum(latencies) / 3600)
    assert minutes == pytest.approx((5 * latencies[0] + 60 * latencies[1]) / 3600)


def test_a_greater_load_has_all_of_a_smaller_one() -> None:
    def come(hours: float) -> list[Recording]:
        return list(arrivals(Demand(hours), days=2, seed=1, large_bytes=LARGE_BYTES))

    some, more = come(70), come(100)
    assert set(some) < set(more)
    assert len(some) / len(more) == pytest.approx(0.7, abs=0.1)
    assert more == sorted(more, key=lambda one: one.at)


def test_accounts_send_several_at_once() -> None:
    found = list(arrivals(Demand(400, burst=10), days=10, seed=1, large_bytes=LARGE_BYTES))
    together = Counter((one.at, one.account) for one in found)
    assert set(together.values()) == {10}
    assert sum(one.minutes for one in found) / 60 / 10 == pytest.approx(400, rel=0.1)


def test_a_seed_gives_the_same_day_again() -> None:
    def one(seed: int) -> Seen:
        return run(
            *arrivals(Demand(40, diarise=0.2, fetched=0.2, high=0.1), days=1, seed=seed, large_bytes=LARGE_BYTES)
        )

    assert one(1) == one(1)
    assert one(1) != one(2)


def test_as_much_comes_in_as_was_asked_for_and_most_of_it_by_day() -> None:
    demand = Demand(1000, minutes=((5, 6), (60, 1)), peak=3)
    found = list(arrivals(demand, days=5, seed=1, large_bytes=LARGE_BYTES))
    assert sum(one.minutes for one in found) / 60 / 5 == pytest.approx(1000, rel=0.05)
    by_hour = Counter(int(one.at % DAY // 3600) for one in found)
    assert by_hour[12] / (len(found) / 24) == pytest.approx(3, rel=0.1)
    assert by_hour[1] < by_hour[12] / 10
    assert all(one.large == (one.minutes == 60) for one in found)
    assert rate(13 * 3600, 0.0) == 1.0


def test_lengths_are_read_as_people_write_them() -> None:
    assert mix("5,30, 60:2") == ((5, 1), (30, 1), (60, 2))
    for wrong in ("", "0", "5:0", "-1", "inf", "five"):
        with pytest.raises(ValueError):
            mix(wrong)
