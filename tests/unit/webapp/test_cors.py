"""Web pages of other origins: which may use the API, and that nobody else is told that they may."""

import io
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config.settings import Settings
from tests.stack import KEY
from tests.unit.webapp.conftest import AUTH, SOUND
from tests.unit.webapp.test_access import is_problem

APP = "https://app.example.org"
EVIL = "https://evil.example"
PATHS = ["/v1/jobs", f"/v1/jobs/{'0' * 32}", "/v1/uploads", f"/v1/uploads/{'0' * 32}", "/v1/models", "/health", "/no"]


@pytest.fixture
def client(make: Callable[..., Flask]) -> FlaskClient:
    return make(cors_origins=f"{APP}, http://localhost:3000/").test_client()


def preflight(client: FlaskClient, path: str, origin: str, method: str = "POST", headers: str = "") -> TestResponse:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return client.options(path, headers={name: text for name, text in asked.items() if text})


def told(response: TestResponse) -> set[str]:
    return {name for name in response.headers.keys() if name.startswith("Access-Control-")}  # noqa: SIM118  # a multidict


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "HEAD"])
def test_a_named_page_is_told_that_it_may(client: FlaskClient, path: str, method: str) -> None:
    names = "authorization, content-type,tus-resumable ,upload-offset, idempotency-key"
    response = preflight(client, path, APP, method, names)
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
    assert response.headers["Access-Control-Allow-Headers"] == names
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert {"origin", "access-control-request-headers"} <= {name.lower() for name in response.vary}
    assert "Access-Control-Allow-Credentials" not in response.headers and response.headers["X-Request-ID"]


@pytest.mark.parametrize("origin", [EVIL, f"{APP}.evil.example", f"{APP}:444", "http://app.example.org", "null", "*"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/uploads"])
def test_another_page_is_told_nothing(client: FlaskClient, path: str, origin: str) -> None:
    for response in (preflight(client, path, origin), client.get(path, headers={**AUTH, "Origin": origin})):
        assert told(response) == set() and "origin" in {name.lower() for name in response.vary}


@pytest.mark.parametrize("names", ["a b", "x\x7f", "a,,b", "a" * 3000, "a;b"])
def test_names_that_are_none_are_not_repeated(client: FlaskClient, names: str) -> None:
    response = preflight(client, "/v1/jobs", APP, "POST", names)
    assert response.status_code == 204 and "Access-Control-Allow-Headers" not in response.headers


def test_answers_and_refusals_can_be_read(client: FlaskClient) -> None:
    data = {"file": (io.BytesIO(SOUND), "a.mp3")}
    made = client.post("/v1/jobs", headers={**AUTH, "Origin": APP}, data=data)
    refused = client.get("/v1/jobs", headers={"Origin": APP})
    missing = client.get("/nothing", headers={"Origin": "http://localhost:3000"})
    assert [made.status_code, refused.status_code, missing.status_code] == [202, 401, 404]
    for response, origin in ((made, APP), (refused, APP), (missing, "http://localhost:3000")):
        assert response.headers["Access-Control-Allow-Origin"] == origin
        shown = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert {"Location", "X-Request-ID", "X-Job-ID", "Upload-Offset", "Tus-Resumable", "Retry-After"} <= shown
        assert {"RateLimit-Remaining", "ETag", "Content-Disposition", "Idempotency-Replayed"} <= shown
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_what_the_protocol_of_uploads_asks_is_still_answered(client: FlaskClient) -> None:
    response = client.options("/v1/uploads", headers={"Origin": APP})
    assert response.status_code == 204 and response.headers["Tus-Version"]
    assert response.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize("path", PATHS[:-1])
def test_what_an_address_can_do_needs_no_key(client: FlaskClient, path: str) -> None:
    response = client.options(path)
    assert response.status_code in (200, 204) and "OPTIONS" in response.headers["Allow"]
    assert told(response) == set()


def test_any_page_may_where_the_operator_says_so(make: Callable[..., Flask]) -> None:
    client = make(cors_origins="*").test_client()
    for response in (preflight(client, "/v1/jobs", EVIL), client.get("/v1/jobs", headers={**AUTH, "Origin": "null"})):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert is_problem(client.get("/v1/jobs", headers={"Origin": EVIL}), 401, "missing_key")


def test_without_the_setting_nothing_is_said(make: Callable[..., Flask]) -> None:
    client = make().test_client()
    for response in (preflight(client, "/v1/jobs", APP), client.get("/v1/jobs", headers={**AUTH, "Origin": APP})):
        assert told(response) == set() and "Vary" not in response.headers


class TestWithoutAKey:
    @pytest.fixture
    def client(self, make: Callable[..., Flask]) -> FlaskClient:
        return make(api_key=None, cors_origins=APP).test_client()

    @pytest.mark.parametrize(("origin", "status"), [(APP, 202), (EVIL, 403), ("null", 403), ("http://[", 403)])
    def test_only_a_named_page_can_send(self, client: FlaskClient, origin: str, status: int) -> None:
        data = {"file": (io.BytesIO(SOUND), "a.mp3")}
        assert client.post("/v1/jobs", headers={"Origin": origin}, data=data).status_code == status

    def test_nor_does_it_help_under_another_name(self, client: FlaskClient) -> None:
        response = client.get("/v1/jobs", base_url="http://evil.example:8081", headers={"Origin": APP})
        assert is_problem(response, 403, "invalid_key")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", []),
        ("*", ["*"]),
        (" HTTPS://App.Example.org:443/ ,http://localhost:3000", [APP, "http://localhost:3000"]),
        ("http://[::1]:8080,http://a:80", ["http://[::1]:8080", "http://a"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
    ],
)
def test_origins_are_read_as_browsers_spell_them(text: str, read: list[str]) -> None:
    assert Settings(_env_file=None, api_key=KEY, cors_origins=text).cors_origins == read


@pytest.mark.parametrize(
    "text", ["app.example.org", f"{APP}/path", "null", "https://", f"{APP}?a", "https://a b", "**"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="without a path"):
        Settings(_env_file=None, api_key=KEY, cors_origins=text)


def test_any_page_needs_a_key() -> None:
    with pytest.raises(ValueError, match="set API_KEY"):
        Settings(_env_file=None, cors_origins="*")
