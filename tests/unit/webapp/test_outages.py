"""The database or Redis is away, or hangs: answers come, and say what to do."""

import io
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from flask import Flask

from store import database, impatient
from tests.stack import RedisServer
from tests.unit.webapp.conftest import AUTH, SOUND
from tests.unit.webapp.test_gunicorn import FORM, HEAD, TAIL, start

Make = Callable[..., Flask]


@pytest.fixture
def hanging() -> Iterator[RedisServer]:
    """A Redis of our own, to be stopped."""
    server = RedisServer().start()
    yield server
    if server.process is not None:
        server.process.send_signal(signal.SIGCONT)
    server.close()


def test_a_locked_database_asks_to_come_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    client = make().test_client()
    with sqlite3.connect(tmp_path / "data" / "longhand.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/v1/keys", headers=AUTH, json={"name": "somebody in particular"})
        assert (answer.status_code, answer.json["code"]) == (503, "internal")
        assert int(answer.headers["Retry-After"]) > 0
        form = {"file": (io.BytesIO(SOUND), "a.mp3"), "model": "whisper-1"}
        answer = client.post("/v1/audio/transcriptions", headers=AUTH, data=form)
        assert (answer.status_code, answer.json["error"]["type"]) == (503, "server_error")
        assert "Retry-After" in answer.headers
        other.execute("ROLLBACK")
    other.close()
    told = "".join(capsys.readouterr())
    assert "somebody in particular" not in told
    assert client.post("/v1/keys", headers=AUTH, json={"name": "x"}).status_code == 201


def test_a_database_that_is_gone_asks_to_come_again(make: Make, tmp_path: Path) -> None:
    app = make()
    app.extensions["longhand"].store.database.engine.dispose()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    for path in ("/v1/jobs", "/v1/usage"):
        answer = app.test_client().get(path, headers=AUTH)
        assert (answer.status_code, answer.json["code"]) == (503, "internal")


def test_when_no_connection_is_free_one_is_asked_to_come_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.POOL, "pool_timeout", 0.1)
    app = make()
    engine = app.extensions["longhand"].store.database.engine
    taken = [engine.connect() for _ in range(database.POOL["pool_size"] + database.POOL["max_overflow"])]
    assert app.test_client().get("/v1/jobs", headers=AUTH).status_code == 503
    for connection in taken:
        connection.close()
    assert app.test_client().get("/v1/jobs", headers=AUTH).status_code == 200


def test_a_redis_that_hangs_is_left_alone_for_a_while(hanging: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impatient, "SECONDS", 0.2)
    monkeypatch.setattr(impatient, "PAUSE_SECONDS", 3600.0)
    with impatient.client(hanging.url) as one, impatient.client(hanging.url) as other:
        assert one.ping()
        hanging.process.send_signal(signal.SIGSTOP)
        with pytest.raises(redis.TimeoutError):
            one.get("a")
        for client in (one, other):
            with pytest.raises(redis.ConnectionError, match="a moment ago"):
                client.get("a")
            with pytest.raises(redis.ConnectionError, match="a moment ago"), client.pipeline() as pipe:
                pipe.get("a")
                pipe.execute()
        hanging.process.send_signal(signal.SIGCONT)
        monkeypatch.setattr(impatient._fuse(hanging.url), "_until", 0.0)
        assert other.ping() and one.ping()


def test_a_redis_that_was_started_anew_is_asked_at_once(hanging: RedisServer) -> None:
    with impatient.client(hanging.url) as client:
        client.set("a", "b")
        hanging.kill()
        hanging.start()
        assert client.get("a") is None


def test_with_a_redis_that_hangs_answers_come(tmp_path: Path, hanging: RedisServer) -> None:
    server = start(tmp_path, hanging.url, RATE_LIMIT="1000/minute", ALLOW_PRIVATE_URLS="true")
    content = HEAD + SOUND + TAIL

    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        # Each of these took longer than this before.
        return httpx.request(method, f"{server.url}{path}", headers={**AUTH, **options.pop("headers", {})}, timeout=9)

    try:
        job = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=content).json()["id"]
        hanging.process.send_signal(signal.SIGSTOP)
        assert ask("GET", f"/v1/jobs/{job}").json()["status"] == "queued"
        assert ask("GET", "/v1/jobs").status_code == 200
        assert ask("POST", f"/v1/jobs/{job}/cancel").json()["status"] == "cancelled"
        answer = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=content, timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (503, "internal")
        assert ask("DELETE", f"/v1/jobs/{job}").status_code == 204
    finally:
        hanging.process.send_signal(signal.SIGCONT)
        server.process.terminate()
        assert server.process.wait(20) == 0
