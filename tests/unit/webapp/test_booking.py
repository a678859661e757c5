"""What a job that did not come to its end is booked with, and when a day's audio is used up."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from store import jobs, steps, usage
from store.models import Job, Usage
from tests.unit.webapp.conftest import do
from webapp.services import Services

Send = Callable[..., TestResponse]


def rows(services: Services) -> list[Usage]:
    with services.store.database.read() as session:
        return list(session.scalars(select(Usage)))


def begun(services: Services, send: Send, *, chunks: int, done: int) -> str:
    """A job of 100 seconds of which some chunks are transcribed."""
    job_id, database = str(send().json["id"]), services.store.database
    for stage in ("normalise", "chunk", "detect_language"):
        do(services, job_id, stage)
    jobs.describe(database, job_id, {"duration": 100.0})
    steps.scatter(database, job_id, "transcribe", count=chunks)
    for item in range(done):
        do(services, job_id, "transcribe", item)
    return job_id


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_what_was_transcribed_before_the_end_is_booked(services: Services, send: Send, end: str) -> None:
    job_id, database = begun(services, send, chunks=4, done=3), services.store.database
    if end == "cancel":
        assert jobs.cancel(database, job_id)
    else:
        assert jobs.fail(database, job_id, code="internal", detail="It broke.", stage="transcribe")
    assert [(row.job_id, row.audio_seconds) for row in rows(services)] == [(job_id, 75.0)]


def test_a_job_tried_again_is_booked_once_and_whole(services: Services, send: Send) -> None:
    job_id, database = begun(services, send, chunks=2, done=1), services.store.database
    jobs.cancel(database, job_id)
    assert jobs.retry(database, job_id)
    do(services, job_id, "transcribe", 1)
    for stage in ("merge", "export"):
        do(services, job_id, stage)
    assert jobs.finish(database, job_id)
    assert [(row.job_id, row.audio_seconds) for row in rows(services)] == [(job_id, 100.0)]


def test_what_never_got_to_the_model_costs_nothing(services: Services, send: Send) -> None:
    jobs.cancel(services.store.database, begun(services, send, chunks=3, done=0))
    jobs.fail(services.store.database, str(send().json["id"]), code="no_audio", detail="Silent.", stage="normalise")
    assert rows(services) == []


def test_a_day_is_used_up_by_the_others(services: Services, send: Send) -> None:
    first, second = (begun(services, send, chunks=1, done=0) for _ in range(2))
    database = services.store.database
    assert not usage.used_up(database, second), "its key has no limit"
    with database.write() as session:
        for job_id in (first, second):
            job = session.get(Job, job_id)
            assert job is not None
            job.audio_quota = 150.0
    assert not usage.used_up(database, second), "the others took 100 of 150 seconds: the job that passes the limit runs"
    third = begun(services, send, chunks=1, done=0)
    assert usage.used_up(database, second), "the others took 200 of 150 seconds"
    assert not usage.used_up(database, third)
