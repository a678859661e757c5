"""Beyond a backlog that the operator chose, every way to make a job is refused, and nothing is left behind."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs
from tests.unit.webapp.conftest import AUTH, SOUND, begin, files_of
from webapp.services import Services

MOST = 3


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make(max_queued_jobs=MOST, allow_private_urls=True, sync_timeout_seconds=1)


def refused(answer: TestResponse) -> bool:
    body = answer.get_json()
    code = body["error"]["code"] if "error" in body else body["code"]
    assert (answer.status_code, code) == (503, "queue_full"), body
    return int(answer.headers["Retry-After"]) > 0


def fill(client: FlaskClient, count: int = MOST, **fields: Any) -> list[str]:
    data = {"file": [(io.BytesIO(SOUND), "talk.mp3") for _ in range(count)], **fields}
    answer = client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data")
    assert answer.status_code == 202, answer.text
    body = answer.get_json()
    return [job["id"] for job in body.get("jobs", [body])]


def form(client: FlaskClient, path: str, **fields: Any) -> TestResponse:
    data = {"file": (io.BytesIO(SOUND), "talk.mp3"), **fields}
    return client.post(path, headers=AUTH, data=data, content_type="multipart/form-data")


def test_every_way_to_make_a_job_is_refused(client: FlaskClient, services: Services) -> None:
    fill(client)
    before = files_of(services)
    assert refused(form(client, "/v1/jobs"))
    assert refused(client.post("/v1/jobs?language=en", headers={**AUTH, "Content-Type": "audio/mpeg"}, data=SOUND))
    assert refused(client.post("/v1/jobs", headers=AUTH, json={"url": "http://127.0.0.1/talk.mp3"}))
    assert refused(form(client, "/transcribe/demo"))
    assert refused(form(client, "/v1/audio/transcriptions", model="demo"))
    assert refused(form(client, "/v1/audio/translations", model="demo"))
    assert files_of(services) == before
    assert len(jobs.page(services.store.database)[0]) == MOST


def test_it_is_refused_before_the_recording_is_stored(client: FlaskClient, services: Services) -> None:
    fill(client)

    class Unread(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise AssertionError("the body was read")

    headers = {**AUTH, "Content-Type": "audio/mpeg", "Content-Length": "1000"}
    assert refused(client.post("/v1/jobs", headers=headers, input_stream=Unread()))
    form_headers = {**headers, "Content-Type": "multipart/form-data; boundary=x"}
    assert refused(client.post("/v1/audio/transcriptions", headers=form_headers, input_stream=Unread()))


def test_a_batch_goes_in_whole_or_not_at_all(client: FlaskClient, services: Services) -> None:
    fill(client, 2)
    data = {"file": [(io.BytesIO(SOUND), "a.mp3"), (io.BytesIO(SOUND), "b.mp3")]}
    assert refused(client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data"))
    assert len(jobs.page(services.store.database)[0]) == 2
    fill(client, 1)


def test_a_batch_that_never_fits_is_too_large(client: FlaskClient) -> None:
    data = {"file": [(io.BytesIO(SOUND), "a.mp3") for _ in range(MOST + 1)]}
    answer = client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data")
    assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")


def test_what_has_begun_makes_room(client: FlaskClient, services: Services) -> None:
    first, *_ = fill(client)
    begin(services, first, "normalise")
    assert form(client, "/v1/jobs").status_code == 202
    assert refused(form(client, "/v1/jobs"))


def test_the_same_request_again_needs_no_room(client: FlaskClient) -> None:
    key = {"Idempotency-Key": "k"}
    data = {"file": (io.BytesIO(SOUND), "talk.mp3")}
    first = client.post("/v1/jobs", headers={**AUTH, **key}, data=data, content_type="multipart/form-data")
    fill(client, MOST - 1)
    data = {"file": (io.BytesIO(SOUND), "talk.mp3")}
    again = client.post("/v1/jobs", headers={**AUTH, **key}, data=data, content_type="multipart/form-data")
    assert again.status_code == 202 and again.get_json()["id"] == first.get_json()["id"]
    data = {"file": (io.BytesIO(SOUND), "talk.mp3")}
    other = {"Idempotency-Key": "another"}
    assert refused(client.post("/v1/jobs", headers={**AUTH, **other}, data=data, content_type="multipart/form-data"))


def test_an_identical_call_shares_the_job_that_is_queued(client: FlaskClient) -> None:
    waited = form(client, "/transcribe/demo")
    assert waited.status_code == 504, "nobody works here"
    fill(client, MOST - 1)
    assert form(client, "/transcribe/demo").headers["X-Job-ID"] == waited.headers["X-Job-ID"]
    assert refused(form(client, "/transcribe/demo", prompt="another"))


def test_a_retry_needs_room_as_well(client: FlaskClient, services: Services) -> None:
    first, *_ = fill(client)
    assert client.post(f"/v1/jobs/{first}/cancel", headers=AUTH).status_code == 200
    fill(client, 1)
    assert refused(client.post(f"/v1/jobs/{first}/retry", headers=AUTH))
    job = jobs.get(services.store.database, first)
    assert job is not None and job.status == "cancelled"


def test_without_a_bound_nothing_is_refused(make: Callable[..., Flask]) -> None:
    client = make(max_queued_jobs=0).test_client()
    sent = fill(client, MOST + 2)
    listed = client.get("/v1/jobs?status=queued&limit=200", headers=AUTH).get_json()["jobs"]
    assert {job["id"] for job in listed} == set(sent) and len(sent) == MOST + 2


def of(client: FlaskClient, name: str) -> dict[str, str]:
    """The header of a new account's key."""
    made = client.post("/v1/keys", headers=AUTH, json={"name": name}).get_json()
    return {"Authorization": f"Bearer {made['key']}"}


def send_as(client: FlaskClient, key: dict[str, str], count: int = 1) -> TestResponse:
    data = {"file": [(io.BytesIO(SOUND), "talk.mp3") for _ in range(count)]}
    return client.post("/v1/jobs", headers=key, data=data, content_type="multipart/form-data")


def test_who_fills_the_backlog_shuts_out_nobody_else(make: Callable[..., Flask]) -> None:
    client = make(max_queued_jobs=4).test_client()
    fill(client, 4)
    ada, bob = of(client, "Ada"), of(client, "Bob")
    assert refused(form(client, "/v1/jobs")), "the one that filled it"
    assert refused(send_as(client, ada, 3)), "more than its fair part"
    assert send_as(client, ada, 2).status_code == 202
    assert refused(send_as(client, ada))
    # Three have jobs queued now, so that the fair part is one job.
    assert send_as(client, bob).status_code == 202
    assert refused(send_as(client, bob))
    cleo = of(client, "Cleo")
    assert send_as(client, cleo).status_code == 202
    # Eight are queued: twice as many as may be, so that nobody may.
    assert refused(send_as(client, of(client, "Dan")))


def test_a_retry_counts_for_the_account_of_the_job(make: Callable[..., Flask]) -> None:
    client = make(max_queued_jobs=4).test_client()
    ada = of(client, "Ada")
    job = send_as(client, ada).get_json()["id"]
    assert client.post(f"/v1/jobs/{job}/cancel", headers=ada).status_code == 200
    fill(client, 4)
    assert client.post(f"/v1/jobs/{job}/retry", headers=AUTH).status_code == 200
