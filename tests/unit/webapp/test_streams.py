"""Streams and waiting requests under the real server: they take no place from others and give theirs back."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from store.events import Events
from tests.stack import RedisServer, until
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_gunicorn import FORM, HEAD, TAIL, Server, start

PLACES = 6
"""Three quarters of the threads."""


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.empty()


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[Server]:
    running = start(tmp_path, redis_url, WEB_THREADS=PLACES * 4 // 3)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def send(server: Server) -> str:
    made: str = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=HEAD + b"x" + TAIL).json()["id"]
    return made


def opened(server: Server, path: str) -> socket.socket:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in AUTH.items())]
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return client


def status(client: socket.socket) -> int:
    return int(client.recv(1 << 16).split()[1])


def test_streams_leave_room_and_give_their_places_back(server: Server, redis_url: str) -> None:
    job_id = send(server)
    path = f"/v1/jobs/{job_id}/events"
    clients = [opened(server, path) for _ in range(PLACES)]
    assert [status(client) for client in clients] == [200] * PLACES
    late = httpx.get(f"{server.url}{path}", headers=AUTH)
    assert (late.status_code, late.json()["code"]) == (503, "queue_full")
    assert int(late.headers["Retry-After"]) > 0
    assert httpx.get(f"{server.url}/v1/jobs/{job_id}", headers=AUTH, timeout=5).is_success
    for client in clients:
        client.close()
    events = Events(redis_url)

    def free() -> bool:
        events.changed(job_id)  # They look up, as they do by themselves at every comment.
        with httpx.stream("HEAD", f"{server.url}{path}", headers=AUTH) as head:
            assert head.status_code == 200
        with httpx.stream("GET", f"{server.url}{path}", headers=AUTH) as answer:
            return answer.status_code == 200

    until(free, 60, "a place")
    events._client.close()


def test_a_server_that_is_told_to_stop_lets_nobody_wait(server: Server) -> None:
    job_id = send(server)
    stream = opened(server, f"/v1/jobs/{job_id}/events")
    assert status(stream) == 200
    waiting = opened(server, f"/v1/jobs/{job_id}?wait=60")
    ended = threading.Event()

    def read() -> None:
        while stream.recv(1 << 16):
            pass
        ended.set()

    threading.Thread(target=read).start()
    server.process.send_signal(signal.SIGTERM)
    assert ended.wait(8), "the stream ends"
    assert status(waiting) == 200
    stream.close()
    waiting.close()
    assert server.process.wait(8) == 0
