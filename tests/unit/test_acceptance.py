"""Jobs that are refused as soon as they are made: the same as failing one by one, at a price that does not add up."""

from typing import Any

import pytest
from sqlalchemy import event, select

from store import acceptance, deliveries, jobs, totals
from store.acceptance import Planned, Refusal
from store.database import Database
from store.models import Delivery, Job, Step, Usage

STAGES = ["fetch", "normalise", "chunk", "transcribe"]
HOOK = "https://hooks.example.org/longhand"


def planned(code: str | None, hook: str | None = None) -> Planned:
    new = jobs.NewJob(jobs.new_id(), "ada", {"model": "demo"}, STAGES, "talk.mp3", 0, "", webhook_url=hook)
    return Planned(new, ["transcribe"], Refusal(code, "It cannot be used.") if code else None)


def row(database: Database, found: Any, job_id: str) -> list[dict[str, Any]]:
    """The rows of a job without what differs between any two."""
    differs = {"id", "job_id", "created_at", "submitted_at", "finished_at", "since_at", "due_at", "at"}
    column = Job.id if found is Job else found.job_id
    with database.read() as session:
        rows = session.scalars(select(found).where(column == job_id).order_by(column)).all()
        names = [column.name for column in found.__table__.columns if column.name not in differs]
        return [{name: getattr(one, name) for name in names} for one in rows]


@pytest.mark.parametrize("hook", [None, HOOK])
def test_it_leaves_what_failing_leaves(database: Database, hook: str | None) -> None:
    refused, failed = planned("no_audio", hook), planned(None, hook)
    acceptance.accept(database, [refused, planned(None, hook)])
    before = totals.read(database)[totals.JOBS]
    acceptance.accept(database, [failed])
    assert jobs.fail(database, failed.new.id, code="no_audio", detail="It cannot be used.", stage=None)
    for found in (Job, Step, Delivery, Usage):
        assert row(database, found, refused.new.id) == row(database, found, failed.new.id), found
    assert before == [totals.Sum("failed", "no_audio", 1, 0.0)]
    assert totals.read(database)[totals.JOBS] == [totals.Sum("failed", "no_audio", 2, 0.0)]
    job = jobs.get(database, refused.new.id)
    assert job is not None and job.finished_at is not None and all(step.finished_at for step in job.steps)
    assert [d.event for d in deliveries.of_job(database, refused.new.id)] == ["job.failed"] * (hook is not None)
    assert not jobs.fail(database, refused.new.id, code="internal", detail="Again.", stage=None)
    assert jobs.retry(database, refused.new.id)


def test_what_many_have_in_common_is_counted_by_code(database: Database) -> None:
    acceptance.accept(database, [planned(code) for code in ("no_audio", "invalid_option", "no_audio", None)])
    found = {(one.label, one.detail): one.count for one in totals.read(database)[totals.JOBS]}
    assert found == {("failed", "no_audio"): 2, ("failed", "invalid_option"): 1}


def statements(database: Database, wanted: list[Planned]) -> int:
    """How often the database is asked for something."""
    seen: list[str] = []

    def look(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(database.engine, "after_cursor_execute", look)
    acceptance.accept(database, wanted)
    event.remove(database.engine, "after_cursor_execute", look)
    return len(seen)


@pytest.mark.parametrize("code", [None, "invalid_option"])
def test_a_thousand_cost_no_more_statements_than_ten(database: Database, code: str | None) -> None:
    ten = statements(database, [planned(code) for _ in range(10)])
    assert statements(database, [planned(code) for _ in range(1000)]) == ten
    mixed = [planned(which) for _ in range(200) for which in ("no_audio", None)]
    assert statements(database, mixed) <= ten + 4, (
        "the refused, the others, and what is counted here and of the account"
    )
    told = statements(database, [planned(code, HOOK) for _ in range(100)])
    assert told <= ten + 1 + (100 if code else 0), "one question for each that somebody is told of"
