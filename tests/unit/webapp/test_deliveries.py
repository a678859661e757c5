"""Webhooks over HTTP: asked for, listed, sent again. Without workers, so nothing is sent here."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from store import deliveries, jobs, keys, standing
from tests.stack import WEBHOOK_SECRET
from tests.unit.webapp.conftest import AUTH, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

URL = "https://example.org/hook?id=7"


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make(webhook_secret=WEBHOOK_SECRET)


@pytest.fixture
def job(send: Callable[..., TestResponse]) -> dict[str, Any]:
    answer = send(webhook_url=URL)
    assert answer.status_code == 202, answer.json
    found: dict[str, Any] = answer.json
    return found


def listed(client: FlaskClient, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/jobs/{job_id}/deliveries", headers=AUTH).json["deliveries"]
    return found


def settle(services: Services, delivery_id: str, **missed: Any) -> None:
    """What a worker does."""
    claimed = deliveries.claim(services.store.database, delivery_id)
    assert claimed is not None
    if missed:
        assert deliveries.missed(services.store.database, claimed, **missed)
    else:
        assert deliveries.arrived(services.store.database, claimed, response_status=204)


def test_a_job_says_who_is_told(client: FlaskClient, job: dict[str, Any], send: Callable[..., TestResponse]) -> None:
    assert job["options"]["webhook_url"] == URL
    assert "webhook_url" not in send().json["options"]
    spelt = send(webhook_url=" HTTPS://Example.ORG:443/hook#part ").json
    assert spelt["options"]["webhook_url"] == "https://example.org/hook"


@pytest.mark.parametrize(
    "url",
    [
        "example.org/hook", "ftp://example.org/", "https://", "http://127.0.0.1/", "http://[::1]:9/", "http://10.1.2.3/",
        "http://169.254.169.254/latest", "http://localhost:8081/v1/jobs", "http://user:word@example.org/",
        "https://example.org/" + "x" * 2048, "http://2130706433/", "https://exa mple.org/", "https://example.org:0/",
    ],
)  # fmt: skip
def test_what_is_no_public_address_is_refused(send: Callable[..., TestResponse], url: str) -> None:
    answer = send(webhook_url=url)
    assert is_problem(answer, 400, "invalid_option")
    assert answer.json["detail"].startswith("webhook_url")


def test_a_closed_network_may_have_private_ones(make: Callable[..., Flask]) -> None:
    client = make(webhook_secret=WEBHOOK_SECRET, allow_private_urls=True).test_client()
    data = {"file": (io.BytesIO(b"x"), "a.mp3"), "webhook_url": "http://10.1.2.3:8080/hook"}
    assert client.post("/v1/jobs", headers=AUTH, data=data).status_code == 202


def test_without_a_secret_there_are_no_webhooks(make: Callable[..., Flask], services: Services) -> None:
    client = make().test_client()
    data = {"file": (io.BytesIO(b"x"), "a.mp3"), "webhook_url": URL}
    answer = client.post("/v1/jobs", headers=AUTH, data=data)
    assert is_problem(answer, 400, "invalid_option") and "WEBHOOK_SECRET" in answer.json["detail"]
    assert standing.unfinished(services.store.database) == []


def test_a_key_of_the_record_has_its_own_secret(make: Callable[..., Flask]) -> None:
    app = make()
    services: Services = app.extensions["longhand"]
    _, key = keys.create(services.store.database, "one", scopes=["transcribe"])
    data = {"file": (io.BytesIO(b"x"), "a.mp3"), "webhook_url": URL}
    mine = app.test_client().post("/v1/jobs", headers={"Authorization": f"Bearer {key}"}, data=data)
    assert mine.status_code == 202, mine.json


def test_every_end_is_listed(client: FlaskClient, services: Services, job: dict[str, Any]) -> None:
    assert listed(client, job["id"]) == []
    assert client.post(f"/v1/jobs/{job['id']}/cancel", headers=AUTH).status_code == 200
    [first] = listed(client, job["id"])
    assert first["next_attempt_at"] == first["created_at"]
    assert {k: v for k, v in first.items() if k not in {"id", "created_at", "next_attempt_at"}} == {
        "event": "job.cancelled", "url": URL, "status": "pending", "attempts": 0, "response_status": None,
        "error": None, "tried_at": None, "delivered_at": None, "tries": [],
    }  # fmt: skip
    settle(services, first["id"], error="The server answered 410.", response_status=410, due_at=None)
    named = AUTH | {"X-Request-ID": "second"}
    assert client.post(f"/v1/jobs/{job['id']}/retry", headers=named).status_code == 200
    assert (found := jobs.get(services.store.database, job["id"])) is not None and found.request_id == "second"
    work_off(services, job["id"])
    second, again = listed(client, job["id"])
    assert (second["event"], again["id"], again["status"]) == ("job.done", first["id"], "failed")
    assert (again["response_status"], again["error"], again["attempts"]) == (410, "The server answered 410.", 1)
    assert again["next_attempt_at"] is None and again["tried_at"] is not None
    told = {"attempt": 1, "at": again["tried_at"], "response_status": 410, "error": "The server answered 410."}
    assert again["tries"] == [told]


@pytest.mark.parametrize("spelling", ["/redeliver", "/deliveries/{id}/redeliver"])
def test_it_is_sent_again(client: FlaskClient, services: Services, job: dict[str, Any], spelling: str) -> None:
    work_off(services, job["id"])
    [first] = listed(client, job["id"])
    settle(services, first["id"])
    assert listed(client, job["id"])[0]["delivered_at"] is not None
    waiting = services.flow.waiting()
    answer = client.post(f"/v1/jobs/{job['id']}{spelling.format(id=first['id'])}", headers=AUTH)
    assert (answer.status_code, answer.json["id"], answer.json["status"]) == (202, first["id"], "pending")
    assert answer.json["next_attempt_at"] is not None
    assert [(one["attempt"], one["response_status"]) for one in answer.json["tries"]] == [(1, 204)]
    assert services.flow.waiting() == waiting + 1
    assert deliveries.claim(services.store.database, first["id"]) is not None
    busy = client.post(f"/v1/jobs/{job['id']}{spelling.format(id=first['id'])}", headers=AUTH)
    assert is_problem(busy, 409, "conflict")


def test_there_may_be_nothing_to_send_again(
    client: FlaskClient, services: Services, job: dict[str, Any], send: Callable[..., TestResponse]
) -> None:
    for job_id, reason in ((job["id"], "not over"), (send().json["id"], "no webhook_url")):
        answer = client.post(f"/v1/jobs/{job_id}/redeliver", headers=AUTH)
        assert is_problem(answer, 409, "conflict") and reason in answer.json["detail"]
    other = send(webhook_url=URL).json["id"]
    jobs.cancel(services.store.database, other)
    theirs = listed(client, other)[0]["id"]
    for delivery_id in (theirs, "0" * 32, "nonsense"):
        answer = client.post(f"/v1/jobs/{job['id']}/deliveries/{delivery_id}/redeliver", headers=AUTH)
        assert is_problem(answer, 404, "not_found")


def test_another_tenant_finds_nothing(client: FlaskClient, services: Services, job: dict[str, Any]) -> None:
    _, key = keys.create(services.store.database, "other", scopes=["read", "transcribe"])
    jobs.cancel(services.store.database, job["id"])
    [one] = listed(client, job["id"])
    other = {"Authorization": f"Bearer {key}"}
    base = f"/v1/jobs/{job['id']}"
    assert is_problem(client.get(f"{base}/deliveries", headers=other), 404, "not_found")
    assert is_problem(client.post(f"{base}/redeliver", headers=other), 404, "not_found")
    assert is_problem(client.post(f"{base}/deliveries/{one['id']}/redeliver", headers=other), 404, "not_found")


def test_a_bad_recording_of_a_batch_is_told_too(client: FlaskClient) -> None:
    data = {"file": [(io.BytesIO(b"x"), "a.mp3"), (io.BytesIO(), "b.mp3")], "webhook_url": URL}
    good, bad = client.post("/v1/jobs", headers=AUTH, data=data).json["jobs"]
    assert [d["event"] for d in listed(client, bad["id"])] == ["job.failed"]
    assert listed(client, good["id"]) == []


def test_answers_are_what_the_document_says(client: FlaskClient, services: Services, job: dict[str, Any]) -> None:
    document = client.get("/openapi.json").json
    jobs.cancel(services.store.database, job["id"])
    for method, path, status in (("get", "deliveries", "200"), ("post", "redeliver", "202")):
        answer = getattr(client, method)(f"/v1/jobs/{job['id']}/{path}", headers=AUTH)
        content = document["paths"][f"/v1/jobs/{{job_id}}/{path}"][method]["responses"][status]["content"]
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        assert [e.message for e in Draft202012Validator(schema).iter_errors(answer.json)] == []
