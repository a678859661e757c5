"""A process that tells the figures apart from the API says whether the API is there."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from prometheus_client import parser
from werkzeug.serving import make_server

from tests.unit.webapp.conftest import AUTH


@contextmanager
def serving(app: Callable[..., Any]) -> Iterator[str]:
    """An application on a port that was free."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(app: Flask) -> dict[str, float]:
    """``longhand_up`` by part and the disks, as they are now."""
    app.extensions["longhand"].figures._answered.clear()
    text = app.test_client().get("/metrics", headers=AUTH).text
    families = parser.text_string_to_metric_families(text)
    of = {"longhand_up": "part", "longhand_disk_free_bytes": "place"}
    return {s.labels[of[s.name]]: s.value for family in families for s in family.samples if s.name in of}


def up(app: Flask) -> float:
    """Whether the API is; the rest is told whatever it does."""
    found = told(app)
    assert found["database"] == found["redis"] == 1 and found["storage"]
    assert "data" not in found, "the folder is not where the API takes uploads"
    return found["api"]


def test_whether_the_api_answers(app: Flask, make: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(app)
    assert "api" not in found and found["data"], "the API itself tells them"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not asked
    with serving(app) as url:
        apart = make(metrics_api_url=f"{url}/")
        assert up(apart) == 1
    assert up(apart) == 0


@pytest.mark.parametrize(("status", "header"), [("503 Unavailable", []), ("302 Found", [("Location", "/")])])
def test_another_answer_is_none(make: Callable[..., Flask], status: str, header: list[tuple[str, str]]) -> None:
    def other(_: object, start: Callable[..., object]) -> list[bytes]:
        start(status, header)
        return [b""]

    with serving(other) as url:
        assert up(make(metrics_api_url=url)) == 0


def test_an_api_that_takes_connections_and_says_nothing_is_not_there(
    make: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.api_check._SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert up(make(metrics_api_url=f"http://127.0.0.1:{silent.getsockname()[1]}")) == 0
