"""Wrong keys: those who send many wait longer and longer, those who have the right one do not."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from flask import Flask
from flask.testing import FlaskClient
from limits import RateLimitItem

from store import keys
from tests.stack import KEY, RedisServer
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_access import is_problem
from webapp.access.auth import GUESSABLE
from webapp.access.limits import GUESSES, STUBBORN, WRONG_KEYS

Make = Callable[..., Flask]
SHORT = "geheim-1"
THERE = {"REMOTE_ADDR": "192.0.2.7"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def wrong(client: FlaskClient, times: int, **request: object) -> list[int]:
    return [client.get("/v1/jobs", headers=bearer(f"no-{n}"), **request).status_code for n in range(times)]  # type: ignore[arg-type]


def wait_of(client: FlaskClient) -> int:
    refused = client.get("/v1/jobs", headers=bearer("wrong"))
    assert is_problem(refused, 429, "rate_limited")
    return int(refused.headers["Retry-After"])


def pass_time(redis_url: str, pattern: str) -> None:
    """Let the counters of one window run out."""
    with redis.Redis.from_url(redis_url) as client:
        found = list(client.scan_iter(f"longhand:limits*wrong-key*{pattern}"))
        assert found
        client.delete(*found)


def test_whoever_goes_on_waits_longer_and_longer(make: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make().test_client()
    wrong(client, WRONG_KEYS.amount)
    assert wait_of(client) <= 61
    wrong(client, STUBBORN[0].amount)
    assert 61 < wait_of(client) <= 3601
    pass_time(redis_url, "/1/minute")  # a minute's rest is not enough any more
    assert 61 < wait_of(client) <= 3601
    with redis.Redis.from_url(redis_url) as stored:
        [day] = stored.scan_iter("longhand:limits*wrong-key*/1/day")
        stored.incrby(day, STUBBORN[1].amount)
    assert 3601 < wait_of(client) <= 86401
    assert client.get("/v1/jobs", headers=AUTH).status_code == 200
    assert wrong(client, 1, environ_base=THERE) == [403]


def test_a_few_wrong_keys_leave_nothing_that_lasts(make: Make, redis_url: str) -> None:
    wrong(make().test_client(), WRONG_KEYS.amount)
    with redis.Redis.from_url(redis_url) as stored:
        assert [stored.ttl(name) <= 61 for name in stored.scan_iter("longhand:limits*wrong-key*")] == [True]


def test_all_processes_count_together(make: Make) -> None:
    one, other = make().test_client(), make().test_client()
    wrong(one, WRONG_KEYS.amount)
    assert wrong(other, 1) == [429]


def test_wrong_keys_are_told_in_the_log_without_themselves(make: Make) -> None:
    client = make().test_client()
    with structlog.testing.capture_logs() as logs:
        wrong(client, WRONG_KEYS.amount + 20, environ_base=THERE)
    assert [(entry["event"], entry["address"]) for entry in logs if entry["log_level"] == "warning"] == [
        ("many wrong API keys came from one address", "192.0.2.7")
    ]
    assert "no-" not in str(logs)


class TestAKeyThatCouldBeGuessed:
    @pytest.fixture
    def client(self, make: Make) -> FlaskClient:
        assert len(SHORT) < GUESSABLE <= len(KEY)
        return make(api_key=SHORT).test_client()

    def test_is_not_found_out_by_guessing(self, client: FlaskClient) -> None:
        wrong(client, GUESSES.amount)
        guess = client.get("/v1/jobs", headers=bearer(SHORT))
        assert is_problem(guess, 429, "rate_limited")
        assert guess.json == client.get("/v1/jobs", headers=bearer("wrong")).json

    def test_is_good_where_it_was_used_before(self, client: FlaskClient) -> None:
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200
        wrong(client, GUESSES.amount + 10)
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200

    @pytest.mark.parametrize(("limit", "window"), [(STUBBORN[0], "hour"), (STUBBORN[1], "day")])
    def test_is_not_compared_without_end_where_it_was_used_before(
        self, client: FlaskClient, redis_url: str, limit: RateLimitItem, window: str
    ) -> None:
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200
        wrong(client, GUESSES.amount + 1)
        with redis.Redis.from_url(redis_url) as stored:
            [name] = stored.scan_iter(f"longhand:limits*guess*/1/{window}")
            stored.incrby(name, limit.amount - 1)
        guess = client.get("/v1/jobs", headers=bearer(SHORT))
        assert is_problem(guess, 429, "rate_limited") and int(guess.headers["Retry-After"]) > 60
        assert client.get("/v1/jobs", headers=bearer(SHORT), environ_base=THERE).status_code == 200

    def test_counts_against_nobody_who_knows_it(self, client: FlaskClient, redis_url: str) -> None:
        ok = [client.get("/v1/jobs", headers=bearer(SHORT)).status_code for _ in range(GUESSES.amount + 5)]
        assert set(ok) == {200}
        wrong(client, GUESSES.amount + 5)
        with redis.Redis.from_url(redis_url) as stored:
            before = {name: stored.get(name) for name in stored.scan_iter("longhand:limits*guess*")}
            assert len(before) == 3
            assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200
            assert {name: stored.get(name) for name in before} == before

    def test_is_not_found_out_by_many_guesses_at_once(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All have been let in before the first of them turns out to be wrong."""
        together, find = threading.Barrier(GUESSES.amount), keys.find

        def find_together(*asked: Any) -> Any:
            together.wait(20)
            return find(*asked)

        monkeypatch.setattr(keys, "find", find_together)
        app = client.application
        threads = [threading.Thread(target=wrong, args=(app.test_client(), 1)) for _ in range(GUESSES.amount - 1)]
        for thread in threads:
            thread.start()
        while together.n_waiting < len(threads):
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        monkeypatch.setattr(keys, "find", find)
        assert wrong(client, 1) == [403]
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 429
        together.wait(20)
        for thread in threads:
            thread.join()

    def test_is_not_guessed_at_by_what_is_longer(self, client: FlaskClient) -> None:
        long = [client.get("/v1/jobs", headers=bearer("x" * GUESSABLE)).status_code for _ in range(GUESSES.amount + 5)]
        assert set(long) == {403}
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200

    def test_is_good_from_elsewhere(self, client: FlaskClient) -> None:
        wrong(client, GUESSES.amount + 10, environ_base=THERE)
        assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200
        guess = client.get("/v1/jobs", headers=bearer(SHORT), environ_base=THERE)
        assert guess.status_code == 429

    def test_does_not_get_in_the_way_of_others(self, make: Make) -> None:
        app = make(api_key=SHORT)
        _, key = keys.create(app.extensions["longhand"].store.database, "Ada", scopes=["read"])
        client = app.test_client()
        wrong(client, WRONG_KEYS.amount + 1)
        assert client.get("/v1/jobs", headers=bearer(key)).status_code == 200

    def test_is_guarded_without_redis_too(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        with contextlib.ExitStack() as close:
            server = RedisServer().start()
            close.callback(server.close)
            client = make(api_key=SHORT, redis_url=server.url).test_client()
            assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200
        with caplog.at_level(logging.CRITICAL):  # the limiter's own complaint
            assert set(wrong(client, GUESSES.amount, environ_base=THERE)) == {403}
            assert wrong(client, 1, environ_base=THERE) == [429]
            guess = client.get("/v1/jobs", headers=bearer(SHORT), environ_base=THERE)
            assert guess.status_code == 429
            assert client.get("/v1/jobs", headers=bearer(SHORT)).status_code == 200


@pytest.mark.parametrize("sent", ["", "x" * 23, "ü" * 30, "x" * 8000], ids=["empty", "length", "other letters", "long"])
def test_no_key_that_is_not_it_opens(make: Make, tmp_path: Path, sent: str) -> None:
    client = make().test_client()
    assert client.get("/v1/jobs", headers={"X-API-Key": sent}).status_code in (401, 403)
