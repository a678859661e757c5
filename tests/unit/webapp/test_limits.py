"""Requests a minute, audio a day, wrong keys from one address; also while Redis is away."""

import contextlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from store import jobs, keys
from store.models import Job, Usage
from tests.stack import RedisServer
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.access.limits import WRONG_KEYS, _network, _storage
from webapp.services import Services

Make = Callable[..., Flask]


def with_key(app: Flask, **limits: Any) -> dict[str, str]:
    _, key = keys.create(app.extensions["longhand"].store.database, "Ada", scopes=["read", "transcribe"], **limits)
    return {"Authorization": f"Bearer {key}"}


def codes(client: FlaskClient, count: int, **request: Any) -> list[int]:
    return [client.get("/v1/jobs", **request).status_code for _ in range(count)]


def test_each_key_has_the_operators_limit_for_itself(make: Make) -> None:
    app = make(rate_limit="3/hour")
    client, ada, bob = app.test_client(), with_key(app), with_key(app)
    assert codes(client, 4, headers=ada) == [200, 200, 200, 429]
    assert codes(client, 1, headers=bob) == codes(client, 1, headers=AUTH) == [200]
    refused = client.post("/v1/jobs", headers=ada, data={"file": (io.BytesIO(SOUND), "a.mp3")})
    assert is_problem(refused, 429, "rate_limited") and "3 requests an hour;" in refused.json["detail"]
    assert files_of(app.extensions["longhand"]) == set()
    assert 3500 < int(refused.headers["Retry-After"]) <= 3601


def test_a_keys_own_figure_counts_in_place_of_the_operators(make: Make) -> None:
    app = make(rate_limit="1/hour")
    own = with_key(app, requests_per_minute=2)
    assert codes(app.test_client(), 3, headers=own) == [200, 200, 429]


def test_without_a_limit_nothing_is_counted(make: Make, redis_url: str) -> None:
    answer = make().test_client().get("/v1/jobs", headers=AUTH)
    assert answer.status_code == 200 and not [name for name in answer.headers.keys() if "RateLimit" in name]  # noqa: SIM118
    with redis.Redis.from_url(redis_url) as client:
        assert list(client.scan_iter("longhand:limits:*")) == []


def test_answers_say_what_is_left(make: Make) -> None:
    app = make(rate_limit="2/minute;100/day")
    client = app.test_client()
    seen = [client.get(f"/v1/jobs/{'0' * 32}", headers=AUTH).headers for _ in range(3)]
    assert [h["RateLimit-Limit"] for h in seen] == ["2", "2", "2"]
    assert [h["RateLimit-Remaining"] for h in seen] == ["1", "0", "0"]
    for headers in seen:
        assert 0 < int(headers["RateLimit-Reset"]) <= 61
        assert headers["X-RateLimit-Remaining"] == headers["RateLimit-Remaining"]
        left = int(headers["X-RateLimit-Reset"]) - datetime.now(UTC).timestamp()
        assert -1 < left <= 61
    assert "Retry-After" not in seen[1] and seen[2]["Retry-After"] == seen[2]["RateLimit-Reset"]


def test_two_processes_count_together(make: Make) -> None:
    one, other = make(rate_limit="3/hour"), make(rate_limit="3/hour")
    assert codes(one.test_client(), 2, headers=AUTH) == [200, 200]
    assert codes(other.test_client(), 2, headers=AUTH) == [200, 429]


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready"])
def test_pages_and_health_are_not_limited(make: Make, path: str) -> None:
    client = make(rate_limit="1/hour").test_client()
    assert codes(client, 2, headers=AUTH) == [200, 429]
    for _ in range(3):
        answer = client.get(path, headers=AUTH)
        assert answer.status_code in (200, 503) and "RateLimit-Limit" not in answer.headers


def test_without_any_key_the_operator_is_limited_too(make: Make) -> None:
    assert codes(make(api_key=None, rate_limit="1/hour").test_client(), 2) == [200, 429]


def test_wrong_keys_are_slowed_and_right_ones_are_not(make: Make) -> None:
    app = make()
    client, right = app.test_client(), with_key(app)
    wrong = {"Authorization": "Bearer lh-wrong"}
    assert codes(client, WRONG_KEYS.amount, headers=wrong) == [403] * WRONG_KEYS.amount
    refused = client.get("/v1/jobs", headers=wrong)
    assert is_problem(refused, 429, "rate_limited") and 0 < int(refused.headers["Retry-After"]) <= 61
    assert codes(client, 1, headers=right) == codes(client, 1, headers=AUTH) == [200]
    assert codes(client, 1) == [401]
    assert codes(client, 1, headers=wrong, environ_base={"REMOTE_ADDR": "192.0.2.7"}) == [403]


def test_counting_goes_on_without_redis(make: Make, tmp_path: Path) -> None:
    server = RedisServer().start()
    try:
        app = make(rate_limit="2/hour", redis_url=server.url)
        client = app.test_client()
        assert codes(client, 1, headers=AUTH) == [200]
    finally:
        server.close()
    # From here this process counts by itself, from nought.
    assert codes(client, 3, headers=AUTH) == [200, 200, 429]
    wrong = codes(client, WRONG_KEYS.amount + 1, headers={"X-API-Key": "wrong"})
    assert wrong == [403] * WRONG_KEYS.amount + [429]


def test_audio_of_a_day(make: Make) -> None:
    app = make()
    s: Services = app.extensions["longhand"]
    client, ada, bob = app.test_client(), with_key(app, audio_seconds_per_day=60), with_key(app)

    def send(headers: dict[str, str], **more: str) -> Any:
        files = {"file": (io.BytesIO(SOUND), "talk.mp3")}
        return client.post("/v1/jobs", headers={**headers, **more}, data=files)

    first = send(ada, **{"Idempotency-Key": "k"})
    assert first.status_code == 202
    work_off(s, first.json["id"])  # 30 seconds
    second = send(ada).json["id"]
    jobs.describe(s.store.database, second, {"duration": 29.9})
    third = send(ada).json["id"]  # 59.9 of 60
    jobs.describe(s.store.database, third, {"duration": 0.1})
    kept = files_of(s)
    refused = send(ada)
    assert is_problem(refused, 429, "rate_limited") and "60 seconds" in refused.json["detail"]
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    assert 0 < int(refused.headers["Retry-After"]) <= (midnight - now).total_seconds() + 5
    assert files_of(s) == kept and len(client.get("/v1/jobs", headers=ada).json["jobs"]) == 3
    # Others go on, the same request again is no new work, and reading is free.
    assert send(bob).status_code == 202
    assert send(ada, **{"Idempotency-Key": "k"}).headers["Idempotency-Replayed"] == "true"
    assert is_problem(send(ada, **{"Idempotency-Key": "new"}), 429, "rate_limited")
    assert client.post(f"/v1/jobs/{third}/cancel", headers=ada).status_code == 200
    assert send(ada, **{"Idempotency-Key": "new"}).status_code == 202
    with s.store.database.write() as session:  # another day
        session.execute(update(Job).where(Job.id == second).values(status="failed"))
        session.execute(update(Usage).values(day="2020-01-01"))
    assert send(ada).status_code == 202


def test_a_refused_upload_is_not_read(make: Make) -> None:
    app = make()
    s: Services = app.extensions["longhand"]
    client, ada = app.test_client(), with_key(app, audio_seconds_per_day=1)
    first = client.post("/v1/jobs", headers=ada, data={"file": (io.BytesIO(SOUND), "talk.mp3")}).json["id"]
    work_off(s, first)

    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("it was read")

    refused = client.post(
        "/v1/jobs", headers=ada, input_stream=Unread(), content_length=10**9,
        content_type="multipart/form-data; boundary=x",
    )  # fmt: skip
    assert is_problem(refused, 429, "rate_limited")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "here"),
    ],
)
def test_who_an_address_belongs_to(address: str, network: str) -> None:
    assert _network(address) == network


@pytest.mark.parametrize(
    ("url", "spelt"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://:p@h", "rediss://:p@h"),
        ("unix:///run/r.sock?db=3", "redis+unix:///run/r.sock?db=3"),
    ],
)
def test_the_limiter_finds_our_redis(url: str, spelt: str) -> None:
    from limits.storage import storage_from_string

    assert _storage(url) == spelt
    with contextlib.closing(storage_from_string(spelt).storage) as client:  # type: ignore[union-attr]
        assert client.connection_pool.connection_kwargs.get("db", 0) == {"unix": 3, "redis": 2}.get(
            url.split(":")[0], 0
        )


def test_a_used_up_day_is_no_day_to_try_again(make: Make) -> None:
    app = make()
    s: Services = app.extensions["longhand"]
    client, ada = app.test_client(), with_key(app, audio_seconds_per_day=20)
    sent = [client.post("/v1/jobs", headers=ada, data={"file": (io.BytesIO(SOUND), "t.mp3")}).json["id"] for _ in "ab"]
    assert jobs.cancel(s.store.database, sent[0])
    work_off(s, sent[1])  # 30 seconds
    assert is_problem(client.post(f"/v1/jobs/{sent[0]}/retry", headers=ada), 429, "rate_limited")
    assert client.post(f"/v1/jobs/{sent[0]}/retry", headers=AUTH).status_code == 200
