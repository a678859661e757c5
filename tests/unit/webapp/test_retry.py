"""Trying a job again goes on from where it ended."""

from collections.abc import Callable

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs, steps
from store.steps import Piece
from tests.unit.webapp.conftest import AUTH, begin, do, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

Send = Callable[..., TestResponse]


def keep(services: Services, job_id: str, name: str, content: bytes) -> None:
    with services.store.files.create(job_id, name) as file:
        file.write(content)
        file.keep()


def retry(client: FlaskClient, job_id: str) -> TestResponse:
    return client.post(f"/v1/jobs/{job_id}/retry", headers=AUTH)


def test_what_is_done_stays_done_and_the_rest_begins_anew(client: FlaskClient, services: Services, send: Send) -> None:
    job_id, database = send().json["id"], services.store.database
    for stage in ("normalise", "chunk", "detect_language"):
        do(services, job_id, stage)
    keep(services, job_id, "audio.wav", b"RIFF")
    keep(services, job_id, "chunks.json", b'{"chunks": [{}, {}, {}]}')
    steps.scatter(database, job_id, "transcribe", count=3)
    do(services, job_id, "transcribe", 1)
    claim = begin(services, job_id, "transcribe", 2)
    assert jobs.fail(database, job_id, code="engine", detail="It broke.", stage="transcribe", claim=claim)
    waiting = services.flow.waiting()
    job = retry(client, job_id).json
    assert (job["status"], job["error"], job["finished_at"]) == ("queued", None, None)
    by_stage = {step["stage"]: step for step in job["steps"]}
    assert {by_stage[s]["status"] for s in ("normalise", "chunk", "detect_language")} == {"done"}
    assert (by_stage["transcribe"]["done"], by_stage["transcribe"]["total"], by_stage["transcribe"]["attempts"]) == (
        1,
        3,
        1,  # of the chunk that is done
    )
    assert services.flow.waiting() == waiting + 2, "the two chunks that are left"
    assert not steps.done(database, Piece(job_id, "transcribe", 2), claim), "the run that failed has no say any more"
    begin(services, job_id, "transcribe", 2)


def test_what_was_removed_in_the_meantime_is_made_again(client: FlaskClient, services: Services, send: Send) -> None:
    job_id, database = send().json["id"], services.store.database
    for stage in ("normalise", "chunk", "detect_language"):
        do(services, job_id, stage)
    keep(services, job_id, "chunks.json", b'{"chunks": [{}, {}]}')
    steps.scatter(database, job_id, "transcribe", count=2)
    do(services, job_id, "transcribe", 0)
    assert jobs.cancel(database, job_id)
    by_stage = {step["stage"]: step for step in retry(client, job_id).json["steps"]}
    assert by_stage["normalise"]["status"] == "pending", "upkeep removed the decoded audio"
    assert by_stage["chunk"]["status"] == "done" and by_stage["transcribe"]["done"] == 1
    do(services, job_id, "normalise")
    do(services, job_id, "transcribe", 1)


def test_a_cancelled_job_can_be_taken_up(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    client.post(f"/v1/jobs/{job_id}/cancel", headers=AUTH)
    assert retry(client, job_id).json["status"] == "queued"
    assert is_problem(retry(client, job_id), 409, "conflict"), "it is under way"
    work_off(services, job_id)
    response = retry(client, job_id)
    assert is_problem(response, 409, "conflict") and "done" in response.json["detail"]


def test_without_its_recording_it_cannot(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    client.post(f"/v1/jobs/{job_id}/cancel", headers=AUTH)
    services.store.files.delete(job_id)
    response = retry(client, job_id)
    assert is_problem(response, 409, "conflict") and "send it again" in response.json["detail"]
    assert jobs.status(services.store.database, job_id) == "cancelled"
