"""Keys over HTTP: made, shown once, listed, revoked; what each may do, and where it may be sent."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from store import jobs, keys
from store.jobs import now
from store.models import ApiKey
from tests.unit.webapp.conftest import AUTH, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

SECRET_FIELDS = {"key", "webhook_secret"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def new_key(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def new_key(**fields: Any) -> dict[str, Any]:
        response = client.post("/v1/keys", headers=AUTH, json={"name": "Ada", **fields})
        assert response.status_code == 201, response.text
        found: dict[str, Any] = response.json
        return found

    return new_key


def test_a_key_is_shown_once_and_opens(client: FlaskClient, new_key: Callable[..., dict[str, Any]]) -> None:
    made = new_key(
        name="  Ada's laptop ", scopes=["transcribe", "read"], requests_per_minute=7, audio_seconds_per_day=3600
    )
    response = client.get("/v1/keys", headers=AUTH)
    assert "no-store" in response.headers["Cache-Control"]
    (shown,) = response.json["keys"]
    assert shown == {name: value for name, value in made.items() if name not in SECRET_FIELDS}
    assert (shown["name"], shown["scopes"]) == ("Ada's laptop", ["read", "transcribe"])
    assert (shown["requests_per_minute"], shown["audio_seconds_per_day"]) == (7, 3600)
    assert made["key"] not in response.text and made["webhook_secret"] not in response.text
    assert shown["used_at"] is None and client.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    assert client.get("/v1/keys", headers=AUTH).json["keys"][0]["used_at"] is not None


def test_a_revoked_key_stops_at_once_in_every_process(
    client: FlaskClient, make: Callable[..., Flask], new_key: Callable[..., dict[str, Any]]
) -> None:
    made = new_key()
    other = make().test_client()
    assert other.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    assert client.delete(f"/v1/keys/{made['id']}", headers=AUTH).status_code == 204
    for process in (client, other):
        assert is_problem(process.get("/v1/jobs", headers=bearer(made["key"])), 403, "invalid_key")
    assert client.delete(f"/v1/keys/{made['id']}", headers=AUTH).status_code == 204
    assert client.get("/v1/keys", headers=AUTH).json["keys"][0]["revoked_at"]


@pytest.mark.parametrize("key_id", ["0" * 32, "admin", "x", "A" * 32, "%00"])
def test_a_key_that_is_not_there_cannot_be_revoked(client: FlaskClient, key_id: str) -> None:
    assert is_problem(client.delete(f"/v1/keys/{key_id}", headers=AUTH), 404, "not_found")


def test_an_expired_key_opens_nothing(
    client: FlaskClient, services: Services, new_key: Callable[..., dict[str, Any]]
) -> None:
    made = new_key(expires_in_days=1)
    assert client.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    with services.store.database.write() as session:
        session.execute(update(ApiKey).values(expires_at=now() - timedelta(seconds=1)))
    response = client.get("/v1/jobs", headers=bearer(made["key"]))
    assert is_problem(response, 403, "invalid_key") and "expired" in response.json["detail"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer {key}"}, 200, ""),
        ({"Authorization": "token {key}"}, 200, ""),
        ({"Authorization": "{key}"}, 200, ""),
        ({"X-API-Key": "{key}"}, 200, ""),
        ({"Api-Key": " {key} "}, 200, ""),
        ({"X-API-Key": "{key}", "Authorization": "Bearer {key}"}, 200, ""),
        ({"X-API-Key": "{key}", "Authorization": "Basic dTpw"}, 200, ""),
        ({"X-API-Key": "{key}", "Authorization": "Bearer other"}, 403, "invalid_key"),
        ({"X-API-Key": ""}, 401, "missing_key"),
        ({"Authorization": "Basic {key}"}, 401, "missing_key"),
        ({"Authorization": "Bearer {key} more"}, 403, "invalid_key"),
        ({"Cookie": "key={key}"}, 401, "missing_key"),
    ],
)
def test_where_a_key_may_be_sent(
    client: FlaskClient,
    new_key: Callable[..., dict[str, Any]],
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    key = new_key()["key"]
    response = client.get("/v1/jobs", headers={name: value.format(key=key) for name, value in headers.items()})
    assert response.status_code == status
    assert status == 200 or is_problem(response, status, code)


def test_a_key_in_the_address_is_none(client: FlaskClient, new_key: Callable[..., dict[str, Any]]) -> None:
    key = new_key()["key"]
    assert is_problem(client.get(f"/v1/jobs?api_key={key}&token={key}"), 401, "missing_key")


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"list", "see"}),
        (["transcribe"], {"send", "cancel"}),
        (["read", "transcribe"], {"list", "see", "send", "cancel"}),
        (["admin"], {"list", "see", "send", "cancel", "keys"}),
    ],
)
def test_a_key_does_what_its_scopes_say(
    client: FlaskClient,
    services: Services,
    new_key: Callable[..., dict[str, Any]],
    scopes: list[str],
    allowed: set[str],
) -> None:
    headers = bearer(new_key(scopes=scopes)["key"])
    there = f"/v1/jobs/{'0' * 32}"
    answers = {
        "list": client.get("/v1/jobs", headers=headers),
        "see": client.head(there, headers=headers),
        "send": client.post("/v1/jobs", headers=headers, data={"file": (io.BytesIO(b"x"), "a.mp3")}),
        "cancel": client.post(f"{there}/cancel", headers=headers),
        "keys": client.get("/v1/keys", headers=headers),
    }
    assert {name for name, answer in answers.items() if answer.status_code != 403} == allowed
    assert bool(files_of(services)) == ("send" in allowed)
    for name in set(answers) - allowed - {"see"}:
        assert is_problem(answers[name], 403, "invalid_key") and "scope '" in answers[name].json["detail"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_only_administrators_meddle_with_keys(
    client: FlaskClient, services: Services, new_key: Callable[..., dict[str, Any]], method: str
) -> None:
    made = new_key(scopes=["read", "transcribe"])
    path = f"/v1/keys/{made['id']}" if method == "DELETE" else "/v1/keys"
    body = {"json": {"name": "more", "scopes": ["admin"]}} if method == "POST" else {}
    response = client.open(path, method=method, headers=bearer(made["key"]), **body)
    assert is_problem(response, 403, "invalid_key") and "'admin'" in response.json["detail"]
    assert [key.revoked_at for key in keys.every(services.store.database)] == [None]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": "read"}, "scopes"),
        ({"name": "a", "scopes": ["write"]}, "scopes"),
        ({"name": "a", "scopes": ["read", 1]}, "scopes"),
        ({"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "a", "requests_per_minute": -1}, "requests_per_minute"),
        ({"name": "a", "requests_per_minute": "60"}, "requests_per_minute"),
        ({"name": "a", "requests_per_minute": True}, "requests_per_minute"),
        ({"name": "a", "requests_per_minute": 10**30}, "requests_per_minute"),
        ({"name": "a", "audio_seconds_per_day": 0}, "audio_seconds_per_day"),
        ({"name": "a", "audio_seconds_per_day": "1"}, "audio_seconds_per_day"),
        ({"name": "a", "account": ""}, "account"),
        ({"name": "a", "account": "Admin"}, "account"),
        ({"name": "a", "account": "admin\n"}, "account"),
        ({"name": "a", "account": 7}, "account"),
        ({"name": "a", "expires_at": "2999-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "a", "expires_at": 1893456000}, "expires_at"),
        ({"name": "a", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "a", "expires_in_days": 1e300}, "expires_in_days"),
        ({"name": "a", "scope": "read"}, "'scope'"),
        ([], "JSON object"),
        ("name", "JSON object"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, services: Services, body: Any, named: str) -> None:
    response = client.post("/v1/keys", headers=AUTH, json=body)
    assert is_problem(response, 400, "invalid_option") and named in response.json["detail"]
    assert keys.every(services.store.database) == []


def test_a_key_that_would_be_over_already_is_a_conflict(client: FlaskClient, services: Services) -> None:
    response = client.post("/v1/keys", headers=AUTH, json={"name": "a", "expires_at": "2020-01-01T00:00:00Z"})
    assert is_problem(response, 422, "invalid_option") and "expires_at" in response.json["detail"]
    assert keys.every(services.store.database) == []


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ({"expires_in_days": 1, "expires_at": None}, 1),
        ({"expires_at": (now() + timedelta(days=3)).isoformat()}, 3),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, 36_500),
        ({"expires_at": "9999-12-31T23:59:59+12:00"}, 36_500),
    ],
)
def test_a_key_ends_when_it_was_said(
    services: Services, new_key: Callable[..., dict[str, Any]], fields: dict[str, Any], days: int
) -> None:
    new_key(**fields)
    ends = keys.every(services.store.database)[0].expires_at
    assert ends is not None and abs(ends - now() - timedelta(days=days)) < timedelta(hours=1)


def test_two_ends_contradict_each_other(client: FlaskClient, services: Services) -> None:
    both = {"name": "a", "expires_in_days": 1, "expires_at": "2990-01-01T00:00:00Z"}
    response = client.post("/v1/keys", headers=AUTH, json=both)
    assert is_problem(response, 422, "invalid_option") and "send one" in response.json["detail"]
    assert keys.every(services.store.database) == []


def test_keys_of_one_account_share_what_they_make(
    client: FlaskClient, services: Services, new_key: Callable[..., dict[str, Any]]
) -> None:
    first, stranger = new_key(scopes=["transcribe"]), new_key()
    reader = new_key(scopes=["read"], account=first["id"])
    assert (first["account"], reader["account"]) == (first["id"], first["id"])
    assert reader["webhook_secret"] == first["webhook_secret"] != stranger["webhook_secret"]
    headers = {**bearer(first["key"]), "Idempotency-Key": "k"}
    sent = client.post("/v1/jobs", headers=headers, data={"file": (io.BytesIO(b"x"), "a.mp3")}).json
    assert client.get(f"/v1/jobs/{sent['id']}", headers=bearer(first["key"])).status_code == 403, "it may not read"
    found = {who["id"]: client.get("/v1/jobs", headers=bearer(who["key"])).json["jobs"] for who in (reader, stranger)}
    assert [job["id"] for job in found[reader["id"]]] == [sent["id"]] and found[stranger["id"]] == []
    assert client.get(f"/v1/jobs/{sent['id']}", headers=bearer(reader["key"])).status_code == 200
    assert is_problem(client.get(f"/v1/jobs/{sent['id']}", headers=bearer(stranger["key"])), 404, "not_found")
    assert is_problem(client.post(f"/v1/jobs/{sent['id']}/cancel", headers=bearer(reader["key"])), 403, "invalid_key")

    # The key is changed for another, whose account is named by any key of it.
    assert client.delete(f"/v1/keys/{first['id']}", headers=AUTH).status_code == 204
    second = new_key(account=reader["id"])
    assert second["account"] == first["id"]
    headers = {**bearer(second["key"]), "Idempotency-Key": "k"}
    again = client.post("/v1/jobs", headers=headers, data={"file": (io.BytesIO(b"x"), "a.mp3")})
    assert again.json["id"] == sent["id"] and again.headers["Idempotency-Replayed"] == "true"
    assert client.get("/v1/jobs", headers=bearer(reader["key"])).status_code == 200, "only its own revocation ends it"
    assert jobs.cancel(services.store.database, sent["id"])
    assert client.post(f"/v1/jobs/{sent['id']}/retry", headers=bearer(second["key"])).status_code == 200


def test_a_key_can_read_what_the_operator_made(
    client: FlaskClient, new_key: Callable[..., dict[str, Any]], send: Callable[..., TestResponse]
) -> None:
    job, other = send().json, new_key()
    made = client.post("/v1/jobs", headers=bearer(other["key"]), data={"file": (io.BytesIO(b"y"), "a.mp3")}).json
    reader = new_key(scopes=["read"], account="admin")
    assert (reader["account"], reader["webhook_secret"]) == ("admin", None)
    seen = client.get("/v1/jobs", headers=bearer(reader["key"])).json["jobs"]
    assert [one["id"] for one in seen] == [job["id"]], "its account's, not everybody's"
    assert is_problem(client.get(f"/v1/jobs/{made['id']}", headers=bearer(reader["key"])), 404, "not_found")
    assert is_problem(client.get("/v1/keys", headers=bearer(reader["key"])), 403, "invalid_key")


def test_an_account_that_is_not_there(client: FlaskClient, services: Services) -> None:
    response = client.post("/v1/keys", headers=AUTH, json={"name": "a", "account": "0" * 32})
    assert is_problem(response, 404, "not_found") and "account" in response.json["detail"]
    assert keys.every(services.store.database) == []


def test_the_audio_of_a_day_is_the_accounts(
    client: FlaskClient, services: Services, new_key: Callable[..., dict[str, Any]]
) -> None:
    first = new_key()
    second = new_key(account=first["id"], audio_seconds_per_day=20)
    recording = {"file": (io.BytesIO(b"x"), "a.mp3")}
    job = client.post("/v1/jobs", headers=bearer(first["key"]), data=recording).json
    work_off(services, job["id"])
    recording = {"file": (io.BytesIO(b"y"), "a.mp3")}
    response = client.post("/v1/jobs", headers=bearer(second["key"]), data=recording)
    assert is_problem(response, 429, "rate_limited")
    rows = client.get("/v1/usage?group_by=key", headers=bearer(second["key"])).json["rows"]
    assert [(row["key"], row["key_name"], row["audio_seconds"]) for row in rows] == [(first["id"], "Ada", 30.0)]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name": "a", "audio_seconds_per_day": NaN}', "application/json", 400),
        (b"name=a", "application/x-www-form-urlencoded", 415),
        (b'{"name": "a"}', "text/plain", 415),
        (b'{"name": "' + b"a" * 70_000 + b'"}', "application/json", 413),
    ],
)
def test_what_is_no_json_is_refused(client: FlaskClient, data: bytes, kind: str, status: int) -> None:
    response = client.post("/v1/keys", headers=AUTH, data=data, content_type=kind)
    assert response.status_code == status and response.content_type == "application/problem+json"


def test_on_this_machine_a_key_that_is_brought_counts(make: Callable[..., Flask]) -> None:
    client = make(api_key=None).test_client()
    assert client.get("/v1/keys").json == {"keys": []}  # nobody needs a key here
    made = client.post("/v1/keys", json={"name": "Ada"}).json
    assert client.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    assert is_problem(client.get("/v1/keys", headers=bearer(made["key"])), 403, "invalid_key")
    assert client.get("/v1/keys", headers=bearer("unknown")).status_code == 200, "as without one"
    assert client.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert is_problem(client.get("/v1/jobs", headers=bearer(made["key"])), 403, "invalid_key")


def test_the_secret_of_webhooks_is_the_keys_own(make: Callable[..., Flask]) -> None:
    from flask import g

    app = make(webhook_secret=f"whsec_{'A' * 43}=")
    client = app.test_client()
    made = client.post("/v1/keys", headers=AUTH, json={"name": "Ada"}).json
    with client:
        client.get("/v1/jobs", headers=bearer(made["key"]))
        assert (g.caller.id, g.caller.webhook_secret) == (made["id"], made["webhook_secret"])
        client.get("/v1/jobs", headers=AUTH)
        assert (g.caller.id, g.caller.webhook_secret) == ("admin", f"whsec_{'A' * 43}=")
        client.get("/health/live", headers=AUTH)
        assert (g.caller.id, g.caller.scopes) == ("", frozenset())
