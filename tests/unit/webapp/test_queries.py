"""Parameters in addresses: none is ignored, none counts twice; and what is said where nothing is."""

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs
from tests.unit.webapp.conftest import AUTH, SOUND, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.openapi import operation_of, routes
from webapp.queries import documented
from webapp.services import Services

Send = Callable[..., TestResponse]


def test_no_address_ignores_a_parameter_that_it_has_not(app: Flask, client: FlaskClient) -> None:
    tried = 0
    for rule, view in routes(app):
        operation = operation_of(view)
        if operation is None or operation.public or operation.takes_job or operation.form is not None:
            continue
        values = {name: "srt" if name == "extension" else "0" * 32 for name in rule.arguments}
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            address = app.url_map.bind("localhost").build(rule.endpoint, values, method=method)
            answer = client.open(f"{address}?foo=1", method=method, headers=AUTH)
            assert answer.status_code == 400 and "'foo'" in answer.text, (method, rule.rule)
            tried += 1
    assert tried > 25


@pytest.mark.parametrize(
    "address",
    [
        "/v1/jobs?status=done&status=failed",
        "/v1/jobs?limit=1&limit=2",
        f"/v1/jobs/{'0' * 32}?wait=1&wait=2",
        f"/v1/jobs/{'0' * 32}/transcript?format=srt&format=vtt",
        "/v1/usage?format=csv&format=csv",
    ],
)
def test_a_parameter_counts_once(client: FlaskClient, address: str) -> None:
    response = client.get(address, headers=AUTH)
    assert is_problem(response, 400, "invalid_option") and "once" in response.json["detail"]


def test_the_right_name_is_told(client: FlaskClient) -> None:
    said = {path: client.get(path, headers=AUTH).json["detail"] for path in ("/v1/jobs?stats=done", "/v1/keys?limit=1")}
    assert "did you mean 'status'?" in said["/v1/jobs?stats=done"]
    assert said["/v1/keys?limit=1"] == "There is no parameter 'limit' here; leave it out."
    assert "status, limit, cursor" in client.get("/v1/jobs?zzz=1", headers=AUTH).json["detail"]


def test_a_key_comes_before_parameters(client: FlaskClient) -> None:
    assert is_problem(client.get("/v1/jobs?foo=1"), 401, "missing_key")


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health/live"])
def test_what_is_public_takes_any(client: FlaskClient, path: str) -> None:
    assert client.get(f"{path}?utm_source=a&utm_source=b").status_code == 200


def test_what_is_documented_is_known(app: Flask) -> None:
    known = {rule.rule: documented(found) for rule, view in routes(app) if (found := operation_of(view)) is not None}
    assert {"format", "download", "max_line_width"} <= set(known["/v1/jobs/<job_id>/transcript"])
    assert "If-None-Match" not in known["/v1/jobs/<job_id>/transcript"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/audio/transcriptions", "base_url"),
        ("/models", "base_url"),
        ("/models/whisper-1", "base_url"),
        ("/v1/audio/speech", "/v1/audio/transcriptions"),
        ("/v1/chat/completions", "no chat"),
        ("/chat/completions", "no chat"),
        ("/v1/completions", "no completions"),
        ("/v1/embeddings", "no embeddings"),
        ("/v1/files/file-1", "no files"),
        ("/v1/responses", "no responses"),
        ("/v1/fine_tuning/jobs", "no fine tuning"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_clients_of_openai_are_told_what_is_not_here(client: FlaskClient, method: str, path: str, says: str) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, response.content_type, set(response.json)) == (404, "application/json", {"error"})
    error = response.json["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["code"] == "not_found"
    assert says in error["message"] and error["message"].endswith(".")


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/modelsfoo", "/v2/models", "/v1/filesystem"])
def test_elsewhere_it_is_a_problem(client: FlaskClient, path: str) -> None:
    assert is_problem(client.get(path), 404, "not_found")


def test_a_model_with_a_slash_at_its_end(client: FlaskClient) -> None:
    for path in ("/transcribe/no-such/", "/transcribe-no-such/"):
        response = client.post(path, headers=AUTH, data={"file": (io.BytesIO(SOUND), "a.mp3")})
        assert is_problem(response, 404, "unknown_model") and "'no-such'" in response.json["detail"]
    assert client.post("/transcribe/demo/", headers=AUTH).status_code == 400, "only the recording is missing"


def test_what_a_cancelled_job_can_still_become(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    assert jobs.cancel(services.store.database, job_id)
    response = client.get(f"/v1/jobs/{job_id}/transcript", headers=AUTH)
    assert is_problem(response, 409, "conflict") and f"POST /v1/jobs/{job_id}/retry" in response.json["detail"]


def test_a_transcript_without_speakers(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    work_off(services, job_id)
    response = client.patch(f"/v1/jobs/{job_id}/speakers", headers=AUTH, json={"SPEAKER_00": "Ada"})
    assert is_problem(response, 400, "invalid_option") and response.json["detail"].endswith("it has none.")
