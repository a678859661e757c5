"""Keys, request ids, headers, and that every error is a problem document."""

import json
import re
from collections.abc import Callable

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.stack import KEY
from tests.unit.webapp.conftest import AUTH, files_of, work_off
from webapp.services import Services


def is_problem(response: TestResponse, status: int, code: str) -> bool:
    body = json.loads(response.data)
    assert response.content_type == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert body["detail"].endswith((".", "?")) and "Traceback" not in body["detail"]
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    return True


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "missing_key"),
        ("", 401, "missing_key"),
        ("Bearer", 401, "missing_key"),
        ("Bearer  ", 401, "missing_key"),
        (f"Basic {KEY}", 401, "missing_key"),
        ("Token", 401, "missing_key"),
        ("Basic", 401, "missing_key"),
        ("Bearer wrong", 403, "invalid_key"),
        ("Token wrong", 403, "invalid_key"),
        ("wrong", 403, "invalid_key"),
        (f"Bearer {KEY}x", 403, "invalid_key"),
        (f"Bearer {KEY[:-1]}", 403, "invalid_key"),
        ("Bearer ünicode", 403, "invalid_key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", f"/v1/jobs/{'0' * 32}", f"/results/{'0' * 32}"])
def test_a_request_without_the_right_key_is_refused(
    client: FlaskClient, path: str, header: str | None, status: int, code: str
) -> None:
    response = client.get(path, headers={} if header is None else {"Authorization": header})
    assert is_problem(response, status, code)
    assert (response.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY}", f"Token {KEY}", KEY])
def test_the_right_key_opens(client: FlaskClient, header: str) -> None:
    assert client.get("/v1/jobs", headers={"Authorization": header}).status_code == 200


def test_an_upload_without_a_key_is_not_stored(client: FlaskClient, services: Services) -> None:
    response = client.post("/v1/jobs", data={"file": (__file__, "x.py")})
    assert is_problem(response, 401, "missing_key")
    assert files_of(services) == set()


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/docs.js", "/openapi.json", "/health/live"])
def test_some_addresses_need_no_key(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_needs_no_key(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 503  # no workers here, but no 401 either


class TestWithoutAKey:
    @pytest.fixture
    def client(self, make: Callable[..., Flask]) -> FlaskClient:
        return make(api_key=None).test_client()

    @pytest.mark.parametrize("base", ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081"])
    def test_this_machine_is_served(self, client: FlaskClient, base: str) -> None:
        assert client.get("/v1/jobs", base_url=base).status_code == 200

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer whatever"}], ids=["bare", "with a key"])
    def test_a_name_that_a_web_page_pointed_here_is_not(self, client: FlaskClient, headers: dict[str, str]) -> None:
        response = client.get("/v1/jobs", base_url="http://evil.example:8081", headers=headers)
        assert is_problem(response, 403, "invalid_key")

    def test_a_client_that_must_send_some_key_may_send_any(self, client: FlaskClient) -> None:
        assert client.get("/v1/jobs", headers={"Authorization": "Bearer whatever"}).status_code == 200

    def test_a_web_page_cannot_send_a_form(self, client: FlaskClient) -> None:
        response = client.post("/v1/jobs", data={"file": (__file__, "x")}, headers={"Origin": "http://evil.example"})
        assert is_problem(response, 403, "invalid_key")

    def test_the_own_pages_can(self, client: FlaskClient) -> None:
        response = client.post("/v1/jobs", data={"file": (__file__, "x")}, headers={"Origin": "http://localhost"})
        assert response.status_code == 202

    def test_the_network_is_not_served_at_all(self, make: Callable[..., Flask]) -> None:
        with pytest.raises(ValueError, match="API_KEY"):
            make(api_key=None, bind_host="0.0.0.0")


@pytest.mark.parametrize("sent", ["abc", "a" * 128, "2f.A_b-9"])
def test_a_sane_request_id_comes_back(client: FlaskClient, sent: str) -> None:
    assert client.get("/nothing", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "a b", "<x>", "ä", "a;b"])
def test_another_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    got = client.get("/health/live", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", got)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/jobs/", 404, "not_found"),
        ("GET", "/v1/jobs/nonsense", 404, "not_found"),
        ("GET", f"/v1/jobs/{'A' * 32}", 404, "not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}", 404, "not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}/transcript", 404, "not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}/transcript.srt", 404, "not_found"),
        ("GET", f"/v1/jobs/{'0' * 32}/audio", 404, "not_found"),
        ("POST", f"/v1/jobs/{'0' * 32}/cancel", 404, "not_found"),
        ("DELETE", f"/v1/jobs/{'0' * 32}", 404, "not_found"),
        ("GET", f"/v1/batches/{'0' * 32}", 404, "not_found"),
        ("GET", f"/results/{'0' * 32}", 404, "not_found"),
        ("GET", "/v1/jobs/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("GET", "/docs/nothing.js", 404, "not_found"),
        ("PUT", "/v1/jobs", 405, "invalid_option"),
        ("PATCH", f"/v1/jobs/{'0' * 32}", 405, "invalid_option"),
        ("GET", "/v1/jobs?limit=0", 400, "invalid_option"),
    ],
)
def test_every_error_is_a_problem(client: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    response = client.open(path, method=method, headers=AUTH)
    assert is_problem(response, status, code)
    assert response.headers["X-Request-ID"]
    if status == 405:
        assert "GET" in response.headers["Allow"]


def test_what_nobody_expected_is_logged_once_and_told_without_its_reason(
    client: FlaskClient, services: Services, send: Callable[..., TestResponse]
) -> None:
    job_id = send().json["id"]
    work_off(services, job_id)
    with services.store.files.create(job_id, "transcript.json") as upload:
        upload.write(b"{broken")
        upload.keep()
    with structlog.testing.capture_logs() as logs:
        response = client.get(
            f"/v1/jobs/{job_id}/transcript?max_cps=11&format=vtt", headers={**AUTH, "X-Request-ID": "r1"}
        )
    assert is_problem(response, 500, "internal")
    assert b"broken" not in response.data
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 1 and errors[0]["exc_info"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/", "/docs", "/health", "/nothing", "/openapi.json"])
def test_every_answer_is_safe_to_show(client: FlaskClient, path: str) -> None:
    headers = client.get(path, headers=AUTH).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "Cache-Control" in headers
    scripts = re.search("script-src ([^;]*)", headers["Content-Security-Policy"])
    assert scripts is None or scripts[1] == "'self'"
