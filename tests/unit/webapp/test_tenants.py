"""What one key makes does not exist for another, whatever the address."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from store import jobs, keys
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.openapi import operation_of, routes
from webapp.services import Services

Headers = dict[str, str]
NO_JOB = {"key_id", "name", "model", "model_id", "upload_id"}
"""What an address may name that is no job's; keys and uploads have tests of their own, the rest is everybody's."""
BODIES: dict[str, dict[str, Any]] = {"/v1/jobs/<job_id>/speakers": {"json": {"SPEAKER_00": "Ada"}}}
"""What a request to an address must bring to be a good one."""


@pytest.fixture
def ada(services: Services) -> Headers:
    return tenant(services, "Ada")


@pytest.fixture
def bob(services: Services) -> Headers:
    return tenant(services, "Bob")


def tenant(services: Services, name: str) -> Headers:
    _, key = keys.create(services.store.database, name, scopes=["read", "transcribe"])
    return {"Authorization": f"Bearer {key}"}


def send(client: FlaskClient, headers: Headers, *, count: int = 1, **more: str) -> TestResponse:
    files = [(io.BytesIO(SOUND), f"talk{n}.mp3") for n in range(count)]
    return client.post("/v1/jobs", headers={**headers, **more}, data={"file": files})


def of_jobs(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every address with something of a job in it, by method."""
    for rule, view in routes(app):
        operation = operation_of(view)
        if not rule.arguments or rule.arguments <= NO_JOB or (operation is not None and operation.public):
            continue
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield rule, method


def asked(
    app: Flask, client: FlaskClient, rule: Rule, method: str, headers: Headers, values: dict[str, str]
) -> TestResponse:
    missing = rule.arguments - set(values)
    assert not missing, f"{rule.rule} takes {missing}: say in this test what another tenant's would be"
    own = {name: values[name] for name in rule.arguments}
    address = app.url_map.bind("localhost").build(rule.endpoint, own, method=method)
    return client.open(address, method=method, headers=headers, **BODIES.get(rule.rule, {}))


@pytest.mark.parametrize("state", ["queued", "done", "failed"])
def test_no_address_knows_another_tenants_job(
    app: Flask, client: FlaskClient, services: Services, ada: Headers, bob: Headers, state: str
) -> None:
    batch = send(client, ada, count=2).json
    job_id = batch["jobs"][0]["id"]
    if state == "done":
        work_off(services, job_id)
    elif state == "failed":
        assert jobs.fail(services.store.database, job_id, code="no_audio", detail="None.", stage="normalise")
    before = client.get(f"/v1/jobs/{job_id}", headers=ada).json
    values = {"job_id": job_id, "batch_id": batch["batch"], "extension": "srt", "delivery_id": "0" * 32}
    tried = []
    for rule, method in of_jobs(app):
        answer = asked(app, client, rule, method, bob, values)
        assert answer.status_code == 404, (method, rule.rule, answer.status_code)
        if method != "HEAD":
            assert is_problem(answer, 404, "not_found")
        tried.append((method, rule.rule))
    assert len(tried) > 20  # it did look at something
    assert client.get(f"/v1/jobs/{job_id}", headers=ada).json == before
    assert any(name.startswith(f"{job_id}/") for name in files_of(services))


def test_the_owner_and_administrators_find_it(
    client: FlaskClient, services: Services, ada: Headers, bob: Headers
) -> None:
    job_id = send(client, ada).json["id"]
    work_off(services, job_id)
    for path in (
        f"/v1/jobs/{job_id}",
        f"/v1/jobs/{job_id}/transcript",
        f"/v1/jobs/{job_id}/audio",
        f"/results/{job_id}",
    ):
        found = {who: client.get(path, headers=headers).status_code for who, headers in
                 {"ada": ada, "bob": bob, "admin": AUTH}.items()}  # fmt: skip
        assert found == {"ada": 200, "bob": 404, "admin": 200}, path


def test_lists_hold_ones_own(client: FlaskClient, ada: Headers, bob: Headers) -> None:
    hers, his = send(client, ada).json["id"], send(client, bob).json["id"]
    operators = send(client, AUTH).json["id"]

    def listed(headers: Headers) -> set[str]:
        return {job["id"] for job in client.get("/v1/jobs", headers=headers).json["jobs"]}

    assert (listed(ada), listed(bob)) == ({hers}, {his})
    assert listed(AUTH) == {hers, his, operators}


def test_an_idempotency_key_is_ones_own(client: FlaskClient, ada: Headers, bob: Headers) -> None:
    first = send(client, ada, **{"Idempotency-Key": "k"})
    again = send(client, ada, **{"Idempotency-Key": "k"})
    other = send(client, bob, **{"Idempotency-Key": "k"})
    assert again.json["id"] == first.json["id"] != other.json["id"]
    assert "Idempotency-Replayed" not in other.headers


def test_a_cursor_shows_nothing_of_others(client: FlaskClient, ada: Headers, bob: Headers) -> None:
    for _ in range(3):
        send(client, ada)
    cursor = client.get("/v1/jobs?limit=1", headers=ada).json["next_cursor"]
    assert client.get("/v1/jobs", query_string={"cursor": cursor}, headers=bob).json["jobs"] == []
