"""Listing, looking, waiting, cancelling, deleting."""

import io
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from store import jobs, steps
from tests.unit.webapp.conftest import AUTH, SOUND, begin, do, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

Send = Callable[..., TestResponse]


def get(client: FlaskClient, path: str) -> Any:
    return client.get(path, headers=AUTH).json


def test_jobs_are_listed_newest_first_page_by_page(client: FlaskClient, services: Services, send: Send) -> None:
    ids = [send().json["id"] for _ in range(5)]
    jobs.cancel(services.store.database, ids[1])
    seen, path = [], "/v1/jobs?limit=2"
    for _ in range(3):
        page = get(client, path)
        assert set(page) == {"jobs", "next_cursor"}
        seen += [job["id"] for job in page["jobs"]]
        path = f"/v1/jobs?limit=2&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert page["next_cursor"] is None
    assert [job["id"] for job in get(client, "/v1/jobs?status=cancelled")["jobs"]] == [ids[1]]
    assert len(get(client, "/v1/jobs?status=queued")["jobs"]) == 4


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=two",
        "limit=1e2",
        "limit=²",
        "limit=" + "9" * 5000,
        "cursor=nonsense",
        "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsyMzowMHxh",  # 0001-01-01T00:00:00+23:00|a: before all time in UTC
        "cursor=OTk5OS0xMi0zMVQyMzo1OTo1OS0yMzowMHxh",  # 9999-12-31T23:59:59-23:00|a: after it
        "cursor=AAAA",
        "cursor=" + "%C3%A4" * 3,
        "status=finished",
        "colour=red",
    ],
)
def test_a_list_that_cannot_be_made_is_refused(client: FlaskClient, query: str) -> None:
    assert is_problem(client.get(f"/v1/jobs?{query}", headers=AUTH), 400, "invalid_option")


def test_a_running_job_shows_how_far_it_is(client: FlaskClient, services: Services, send: Send) -> None:
    first, second = send(language="en").json, send(priority="high").json
    database = services.store.database
    assert get(client, first["links"]["self"])["queue_position"] == 2
    assert get(client, second["links"]["self"])["queue_position"] == 1
    job_id = first["id"]
    for stage in ("normalise", "chunk"):
        do(services, job_id, stage)
    steps.scatter(database, job_id, "transcribe", count=4)
    do(services, job_id, "transcribe", 0)
    begin(services, job_id, "transcribe", 1)
    services.store.events.report(job_id, "transcribe", 1, 0.5)
    job = get(client, f"/v1/jobs/{job_id}")
    step = next(s for s in job["steps"] if s["stage"] == "transcribe")
    assert (step["status"], step["done"], step["total"], step["attempts"]) == ("running", 1, 4, 1)
    assert step["progress"] == 0.375 and step["seconds"] >= 0
    assert set(step) == {"stage", "status", "done", "total", "attempts", "seconds", "progress"}
    assert 0.3 < job["progress"] < 0.6
    assert job["status"] == "running" and job["started_at"].endswith("Z")
    assert job["queue_position"] is None and job["eta_seconds"] is not None


def test_a_page_says_of_each_job_what_the_job_says_with_as_few_questions(
    client: FlaskClient, services: Services, send: Send
) -> None:
    ids = [send(priority=priority, language="en").json["id"] for priority in ("low", "normal", "high", "low")]
    for job_id in ids[1:3]:
        do(services, job_id, "normalise")
        begin(services, job_id, "chunk")
        services.store.events.report(job_id, "chunk", -1, 0.5)
    ids += [send().json["id"] for _ in range(3)]
    asked: list[str] = []
    engine = services.store.database.engine
    event.listen(engine, "before_cursor_execute", lambda c, cursor, statement, *_: asked.append(statement))
    page = get(client, "/v1/jobs")["jobs"]
    assert len(asked) <= 6, asked
    assert [job["queue_position"] for job in page] == [3, 2, 1, 5, None, None, 4]
    steady = ("id", "status", "progress", "queue_position", "links")
    for job in page:
        alone = get(client, f"/v1/jobs/{job['id']}")
        assert {name: job[name] for name in steady} == {name: alone[name] for name in steady}


def test_a_done_job_says_so(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    work_off(services, job_id)
    job = get(client, f"/v1/jobs/{job_id}")
    assert (job["status"], job["progress"], job["eta_seconds"]) == ("done", 1, None)
    assert (job["source"]["duration"], job["source"]["format"]) == (30, "mp3")
    assert job["warnings"] == [{"code": "demo_model", "detail": "d"}]
    assert all(s["status"] == "done" and s["progress"] == 1 for s in job["steps"])


def test_a_failed_job_is_answered_with_its_reason(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    jobs.fail(services.store.database, job_id, code="no_audio", detail="There is none.", stage="normalise")
    response = client.get(f"/v1/jobs/{job_id}", headers=AUTH)
    assert response.status_code == 200
    assert response.json["error"] == {"code": "no_audio", "detail": "There is none.", "stage": "normalise"}


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "soon", "1s"])
def test_a_time_nobody_can_wait_is_refused(client: FlaskClient, send: Send, wait: str) -> None:
    job_id = send().json["id"]
    assert is_problem(client.get(f"/v1/jobs/{job_id}?wait={wait}", headers=AUTH), 400, "invalid_option")


def test_waiting_ends_with_the_job(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(get(client, f"/v1/jobs/{job_id}?wait=60")))
    began = time.monotonic()
    waiting.start()
    jobs.cancel(services.store.database, job_id)
    services.store.events.changed(job_id)
    waiting.join()
    assert answers[0]["status"] == "cancelled"
    assert time.monotonic() - began < 300


def test_waiting_ends_with_its_time(client: FlaskClient, send: Send) -> None:
    job_id = send().json["id"]
    began = time.monotonic()
    assert get(client, f"/v1/jobs/{job_id}?wait=0.3")["status"] == "queued"
    assert 0.3 <= time.monotonic() - began < 30


def test_when_too_many_wait_the_next_is_answered_at_once(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    while services.waiting.acquire(blocking=False):
        pass
    began = time.monotonic()
    assert get(client, f"/v1/jobs/{job_id}?wait=60")["status"] == "queued"
    assert time.monotonic() - began < 300


def test_a_job_is_cancelled_once(client: FlaskClient, send: Send) -> None:
    job_id = send().json["id"]
    response = client.post(f"/v1/jobs/{job_id}/cancel", headers=AUTH)
    assert (response.status_code, response.json["status"]) == (200, "cancelled")
    assert response.json["finished_at"]
    assert is_problem(client.post(f"/v1/jobs/{job_id}/cancel", headers=AUTH), 409, "conflict")


@pytest.mark.parametrize("over", [False, True])
def test_deleting_takes_everything(client: FlaskClient, services: Services, send: Send, over: bool) -> None:
    job_id, other = send().json["id"], send().json["id"]
    if over:
        work_off(services, job_id)
    response = client.delete(f"/v1/jobs/{job_id}", headers=AUTH)
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    assert is_problem(client.get(f"/v1/jobs/{job_id}", headers=AUTH), 404, "not_found")
    assert is_problem(client.delete(f"/v1/jobs/{job_id}", headers=AUTH), 404, "not_found")
    assert files_of(services) == {other, f"{other}/source"}


def test_metadata_comes_back_untouched(client: FlaskClient, send: Send) -> None:
    text = '{"z": [1, 2.5, null, true], "a": {"ü": "\\ud83d\\ude00"}, "": "x"}'
    job = send(metadata=text).json
    found = get(client, job["links"]["self"])["metadata"]
    assert found == {"z": [1, 2.5, None, True], "a": {"ü": "😀"}, "": "x"}
    assert list(found) == ["z", "a", ""]


def test_json_ends_with_its_line(client: FlaskClient, services: Services, send: Send) -> None:
    sent = send()
    assert sent.data.endswith(b"}\n")
    job_id = sent.json["id"]
    work_off(services, job_id)
    for path in ("", "/transcript", "/transcript.json"):
        assert client.get(f"/v1/jobs/{job_id}{path}", headers=AUTH).data.endswith(b"}\n"), path
    for path in ("/v1/jobs", f"/results/{job_id}", "/health", "/openapi.json"):
        assert client.get(path, headers=AUTH).data.endswith(b"}\n"), path


def test_a_job_says_its_batch_and_to_administrators_whose_it_is(client: FlaskClient) -> None:
    made = client.post("/v1/keys", headers=AUTH, json={"name": "Ada"}).json
    ada = {"Authorization": f"Bearer {made['key']}"}
    data = {"file": [(io.BytesIO(SOUND), "a.mp3"), (io.BytesIO(SOUND), "b.mp3")]}
    batch = client.post("/v1/jobs", headers=ada, data=data, content_type="multipart/form-data").json
    assert {job["batch"] for job in batch["jobs"]} == {batch["batch"]}
    job_id = batch["jobs"][0]["id"]
    for path in (f"/v1/jobs/{job_id}", "/v1/jobs", f"/v1/batches/{batch['batch']}"):
        for headers, account in ((ada, None), (AUTH, made["id"])):
            body = client.get(path, headers=headers).json
            for job in body.get("jobs", [body]):
                assert (job["batch"], job.get("account")) == (batch["batch"], account)
                assert ("account" in job) == (account is not None)
