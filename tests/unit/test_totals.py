"""Running totals of the record: what is counted once, in the transaction that makes it true. Real databases."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from store import deliveries, jobs, steps, totals
from store.database import Database
from store.models import WHOLE, Step
from store.steps import Begin, Piece, Wait
from store.totals import MOST_ACCOUNTS, Addition, Sum

STAGES = ["normalise", "transcribe", "merge"]


def job(database: Database, **values: Any) -> str:
    fields: dict[str, Any] = {
        "id": jobs.new_id(), "owner": "admin", "options": {"model": "small"}, "stages": STAGES, "source_name": "x",
        "source_bytes": 5, "source_sha256": "0" * 64, **values,
    }  # fmt: skip
    jobs.create(database, jobs.NewJob(**fields), each=["transcribe"])
    return str(fields["id"])


def begin(
    database: Database, piece: Piece, *, waited: float | None = None, stale: float = 30, most: int = 4
) -> tuple[Begin, str]:
    wait = None if waited is None else Wait("gpu", jobs.now().timestamp() - waited, 60)
    limits = {"max_attempts": most, "stale_seconds": stale}
    return steps.begin(database, piece, task_id="t", worker="w", wait=wait, **limits)  # type: ignore[arg-type]


def counts(database: Database, figure: str) -> dict[tuple[str, str], int]:
    return {(one.label, one.detail): one.count for one in totals.read(database)[figure]}


def test_a_wait_counts_once_and_under_its_priority(database: Database) -> None:
    piece = Piece(job(database, priority="high"), "normalise")
    _, claim = begin(database, piece, waited=59)
    assert begin(database, piece, waited=3)[0] is Begin.TAKEN
    steps.release(database, piece, claim, refund=True, reason="handed_back")
    assert begin(database, piece, waited=500)[0] is Begin.RUN, "it has begun before"
    late = Piece(job(database), "normalise")
    begin(database, late, waited=61.5)
    begin(database, Piece(job(database), "normalise"), waited=-5)  # a sender whose clock is ahead
    begin(database, Piece(job(database), "normalise"))  # a message that does not say when it was sent
    waits = {"high 60": 1, "normal 120": 1, "normal 0.1": 1}
    assert counts(database, totals.WAITS) == {("gpu", detail): 1 for detail in waits}
    assert counts(database, totals.LATE) == {("gpu", "normal"): 1}
    seconds = {one.detail: one.amount for one in totals.read(database)[totals.WAITS]}
    assert seconds["high 60"] == pytest.approx(59, abs=0.9) and seconds["normal 0.1"] == 0


def test_work_that_is_tried_again_by_hand_waits_anew(database: Database) -> None:
    piece = Piece(job(database), "normalise")
    begin(database, piece, waited=1)
    assert jobs.cancel(database, piece.job_id) and jobs.retry(database, piece.job_id)
    begin(database, piece, waited=2)
    assert sum(counts(database, totals.WAITS).values()) == 2


def test_what_waits_behind_its_own_recording_does_not_count(database: Database) -> None:
    job_id = job(database)
    steps.scatter(database, job_id, "transcribe", count=4)
    # They were sent at the same time, and one worker does them one after the other.
    for item, waited in ((1, 40.0), (0, 70.0), (2, 140.0)):
        _, claim = begin(database, piece := Piece(job_id, "transcribe", item), waited=waited)
        assert steps.done(database, piece, claim)
    assert counts(database, totals.WAITS) == {("gpu", "normal 60"): 1} and counts(database, totals.LATE) == {}
    # What is done by hand waits anew; a worker that is lost is another matter.
    assert jobs.cancel(database, job_id) and jobs.retry(database, job_id)
    begin(database, Piece(job_id, "transcribe", 3), waited=61)
    assert begin(database, Piece(job_id, "transcribe", 3), waited=900, stale=-1)[0] is Begin.RUN
    assert counts(database, totals.LATE) == {("gpu", "normal"): 1}
    begin(database, Piece(job_id, "merge"), waited=62)
    assert counts(database, totals.LATE) == {("gpu", "normal"): 2}, "a stage of its own"


def test_the_target_is_a_bound_of_the_waits() -> None:
    (within,) = totals.waited(queue="q", priority="low", seconds=44, target=45)
    assert within.detail == "low 45"
    beyond, late = totals.waited(queue="q", priority="low", seconds=46, target=45)
    assert (beyond.detail, late.figure, late.detail) == ("low 60", totals.LATE, "low")


def test_leases_are_lost_in_three_ways_and_each_counts_once(database: Database) -> None:
    piece = Piece(job(database), "normalise")
    begin(database, piece)
    for worker in ("another", "w", "w"):
        steps.free_dead(database, piece, task_id="t", worker=worker)
    assert counts(database, totals.LOST) == {("normalise", totals.CHILD): 1}
    begin(database, piece)
    for _ in range(2):
        steps.free(database, found := steps.silent(database, seconds=-1))
        assert steps.free(database, found) == []
    assert counts(database, totals.LOST)["normalise", totals.SILENT] == 1
    begin(database, piece)
    assert begin(database, piece, stale=-1)[0] is Begin.RUN, "whoever finds it stale takes it over"
    assert counts(database, totals.LOST) == {("normalise", totals.CHILD): 1, ("normalise", totals.SILENT): 2}
    assert counts(database, totals.AGAIN) == {("normalise", "worker_lost"): 3}


def test_a_lease_that_is_lost_for_the_last_time_counts_too(database: Database) -> None:
    piece = Piece(job(database), "normalise")
    assert begin(database, piece, most=1)[0] is Begin.RUN
    assert begin(database, piece, most=1)[0] is Begin.TAKEN
    assert begin(database, piece, most=1, stale=-1)[0] is Begin.EXHAUSTED
    assert begin(database, piece, most=1, stale=-1)[0] is Begin.EXHAUSTED
    assert counts(database, totals.LOST) == {("normalise", totals.SILENT): 1}
    assert begin(database, piece, most=99)[0] is Begin.RUN, "once more, to go on without it"


def test_a_chunk_that_is_left_undone_counts_with_its_reason(database: Database) -> None:
    job_id = job(database)
    steps.scatter(database, job_id, "transcribe", count=2)
    piece = Piece(job_id, "transcribe", 1)
    for reason in ("out_of_memory", "handed_back"):
        _, claim = begin(database, piece)
        steps.release(database, piece, claim, refund=False, reason=reason)
        steps.release(database, piece, claim, refund=False, reason=reason)
    begin(database, piece)
    steps.wear_out(database, piece, task_id="t", attempts=4)
    reasons = {("transcribe", reason): 1 for reason in ("out_of_memory", "handed_back", "timeout")}
    assert counts(database, totals.AGAIN) == reasons and counts(database, totals.LOST) == {}


def finish(database: Database, job_id: str, took: dict[tuple[str, int], float], **facts: Any) -> None:
    """Work a job off, each piece of which took so many seconds."""
    steps.scatter(database, job_id, "transcribe", count=2)
    at = jobs.now()
    for (stage, item), seconds in took.items():
        _, claim = begin(database, piece := Piece(job_id, stage, item))
        assert steps.done(database, piece, claim)
        with database.write() as session:
            here = (Step.job_id == job_id, Step.stage == stage, Step.item == item)
            session.execute(
                update(Step).where(*here).values(started_at=at - timedelta(seconds=seconds), finished_at=at)
            )
    jobs.describe(database, job_id, facts)
    assert jobs.finish(database, job_id)


TOOK = {("normalise", WHOLE): 2.0, ("transcribe", 0): 10.0, ("transcribe", 1): 14.0, ("merge", WHOLE): 1.0}


def test_real_time_factors_are_of_the_work_and_not_of_the_time_between(database: Database) -> None:
    job_id = job(database)
    with database.write() as session:
        session.execute(update(Step).where(Step.job_id == job_id).values(started_at=jobs.now() - timedelta(hours=1)))
    finish(database, job_id, TOOK, duration=60.0, language="en")
    read = totals.read(database)
    assert read[totals.FACTORS] == [Sum("small", "0.5", 1, pytest.approx(27 / 60))]
    assert read[totals.HEARD] == [Sum("small", "0.5", 1, pytest.approx(24 / 60))]
    finish(database, job(database), TOOK, duration=0.0)
    assert totals.read(database)[totals.FACTORS] == read[totals.FACTORS], "there was nothing to hear"


def test_an_account_has_its_own_sums(database: Database) -> None:
    for owner, seconds in (("ada", 60.0), ("ada", 30.0), ("bob", 5.0)):
        finish(database, job(database, owner=owner), TOOK, duration=seconds, language="de")
    failed = job(database, owner="bob")
    assert jobs.fail(database, failed, code="no_audio", detail="d", stage=None)
    found = {(s.owner, s.figure, s.label, s.detail): (s.count, s.amount) for s in totals.of_accounts(database)}
    assert found == {
        ("ada", "audio", "small", "de"): (2, 90), ("ada", "jobs", "done", ""): (2, 90),
        ("bob", "audio", "small", "de"): (1, 5), ("bob", "jobs", "done", ""): (1, 5),
        ("bob", "jobs", "failed", "no_audio"): (1, 0),
    }  # fmt: skip
    assert {one.owner for one in totals.of_accounts(database, most=1)} == {"ada"}, "who had the most audio"
    assert counts(database, totals.JOBS) == {("done", ""): 3, ("failed", "no_audio"): 1}


def test_accounts_without_number_make_no_figures_without_number(database: Database) -> None:
    with database.write() as session:
        for n in range(MOST_ACCOUNTS + 100):
            totals.add_all(session, [Addition(totals.JOBS, "done", "", float(n))], owner=f"{n:04d}")
    found = {one.owner for one in totals.of_accounts(database)}
    assert len(found) == MOST_ACCOUNTS and min(found) == "0100"


def test_warnings_count_once_a_job(database: Database) -> None:
    warnings = [{"code": code, "detail": detail} for code in ("diarisation_failed", "demo_model") for detail in "ab"]
    finish(database, job(database), TOOK, duration=1.0, warnings=warnings)
    assert counts(database, totals.WARNED) == {("diarisation_failed", ""): 1, ("demo_model", ""): 1}


def test_what_became_of_webhooks(database: Database) -> None:
    job_id = job(database, webhook_url="https://example.org/")
    assert jobs.cancel(database, job_id)
    (owed,) = deliveries.of_job(database, job_id)

    def claim() -> Any:
        found = deliveries.claim(database, owed.id)
        assert found is not None
        return found

    def lapse() -> None:
        with database.write() as session:
            session.execute(text("UPDATE deliveries SET lease_until = '2000-01-01 00:00:00'"))

    def miss(status: int | None, *, final: bool = False) -> None:
        due = None if final else jobs.now()
        assert deliveries.missed(database, claim(), error="e", response_status=status, due_at=due)
        with database.write() as session:  # or the server would be left alone for a while
            session.execute(text("UPDATE deliveries SET tried_at = '2000-01-01 00:00:00'"))

    miss(500)
    miss(None)
    claim()
    lapse()  # that worker died
    miss(404, final=True)
    assert deliveries.requeue(database, owed.id)
    arriving = claim()
    assert deliveries.arrived(database, arriving, response_status=200)
    assert not deliveries.arrived(database, arriving, response_status=200), "and counts once"
    expected = {"refused": 2, "unanswered": 1, "worker_lost": 1, "delivered": 1, "given_up": 1}
    assert counts(database, totals.WEBHOOKS) == {(outcome, ""): count for outcome, count in expected.items()}


def test_many_that_add_to_the_same_totals_lose_none_and_wait_for_each_other_in_one_order(database: Database) -> None:
    additions = [Addition("f", label, detail, 0.5) for label in "ab" for detail in "cd"]
    failed: list[BaseException] = []

    def add(turn: int) -> None:
        try:
            for _ in range(20):
                with database.write() as session:
                    totals.add_all(session, additions[::turn], owner="x")
                    totals.add_all(session, additions[::turn])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(turn,)) for turn in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {(s.count, s.amount) for s in totals.read(database)["f"]} == {(80, 40.0)}
