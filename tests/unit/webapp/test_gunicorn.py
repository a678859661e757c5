"""The application under its real server: uploads that end badly, memory, refusals that arrive."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.nursery import Forked
from tests.stack import KEY, ROOT, RedisServer, until
from tests.unit.webapp.conftest import AUTH

MB = 1 << 20
HEAD = b'--B0\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
TAIL = b"\r\n--B0--\r\n"
FORM = {**AUTH, "Content-Type": "multipart/form-data; boundary=B0"}


@dataclass
class Server:
    process: Forked
    port: int
    storage: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stored(self) -> list[str]:
        return sorted(p.name for p in self.storage.rglob("*") if p.is_file())

    def memory(self) -> int:
        """Bytes of the busiest process."""
        family = [self.process_info, *self.process_info.children()]
        return max(p.memory_info().rss for p in family)

    @property
    def process_info(self) -> psutil.Process:
        return psutil.Process(self.process.pid)


def start(folder: Path, redis_url: str, config: Path = ROOT / "config" / "gunicorn.py", **settings: Any) -> Server:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "DATA_DIR": str(folder / "data")}
    env |= {"REDIS_URL": redis_url, "API_KEY": KEY, "BIND_PORT": str(port), "WHISPER_MODELS": "demo"}
    env |= {name: str(value) for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    process = Forked(["gunicorn", "-c", str(config), "webapp.main:app"], env=env, cwd=folder, log=folder / "log")
    server = Server(process, port, folder / "data" / "jobs")
    until(lambda: httpx.get(f"{server.url}/health/live").is_success, 30, "gunicorn", (httpx.HTTPError,))
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gunicorn")
    running = start(folder, redis_server.empty(), MAX_UPLOAD_MB=300, WEB_THREADS=16)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert not (folder / "home").exists()  # gunicorn leaves nothing in the home folder
    assert "Traceback" not in (folder / "log").read_text()


def blocks(megabytes: int) -> Iterator[bytes]:
    yield HEAD
    for n in range(megabytes):
        yield bytes([n % 256]) * MB
    yield TAIL


def test_an_upload_is_streamed(server: Server) -> None:
    httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=HEAD + b"x" + TAIL)
    before = server.memory()
    length = str(len(HEAD) + 300 * MB + len(TAIL))
    response = httpx.post(
        f"{server.url}/v1/jobs", headers={**FORM, "Content-Length": length}, content=blocks(300), timeout=120
    )
    job = response.json()
    assert response.status_code == 202, job
    digest = hashlib.sha256()
    for n in range(300):
        digest.update(bytes([n % 256]) * MB)
    assert (job["source"]["bytes"], job["source"]["sha256"]) == (300 * MB, digest.hexdigest())
    assert server.memory() - before < 64 * MB
    with httpx.stream("GET", job["links"]["audio"], headers=AUTH) as audio:
        assert sum(len(block) for block in audio.iter_raw()) == 300 * MB
    assert server.memory() - before < 64 * MB
    assert httpx.delete(job["links"]["self"], headers=AUTH).status_code == 204


def test_a_chunked_upload_is_read_and_bounded(server: Server) -> None:
    response = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=blocks(3), timeout=60)
    assert response.json()["source"]["bytes"] == 3 * MB
    before = server.stored()
    response = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=blocks(302), timeout=120)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert server.stored() == before


@pytest.mark.parametrize("headers", [FORM, {**FORM, "Connection": "close"}, {**FORM, "Authorization": "Bearer no"}])
def test_a_refusal_arrives_although_the_client_is_still_sending(server: Server, headers: dict[str, str]) -> None:
    before = server.stored()
    size = 20 if headers["Authorization"].endswith(" no") else 302
    length = {"Content-Length": str(len(HEAD) + size * MB + len(TAIL))}
    response = httpx.post(f"{server.url}/v1/jobs", headers={**headers, **length}, content=blocks(size), timeout=60)
    assert response.json()["code"] in {"too_large", "invalid_key"}
    assert server.stored() == before


def test_five_gigabytes_are_refused_before_they_are_read(server: Server, tmp_path: Path) -> None:
    before, taken = server.stored(), 0
    recording = tmp_path / "large.wav"
    with recording.open("wb") as sparse:
        sparse.truncate(5 << 30)

    def sent() -> Iterator[bytes]:
        nonlocal taken
        with recording.open("rb") as stream:
            while block := stream.read(MB):
                taken += len(block)
                yield block

    length = {"Content-Length": str(len(HEAD) + (5 << 30) + len(TAIL))}
    response = httpx.post(f"{server.url}/v1/jobs", headers={**FORM, **length}, content=sent(), timeout=60)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert taken < 200 * MB, "only what was on its way before the refusal arrived"
    assert server.stored() == before


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_goes_away_leaves_nothing(server: Server, chunked: bool) -> None:
    before = server.stored()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {50 * MB}"
        lines = ["POST /v1/jobs HTTP/1.1", "Host: localhost", framing, *(f"{k}: {v}" for k, v in FORM.items())]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        data = HEAD + b"x" * MB
        client.sendall(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        until(lambda: server.stored() != before, 30, "the upload to begin")
    # Its folder may vanish while it is looked into.
    assert until(lambda: server.stored() == before, 30, "the upload to be dropped", (FileNotFoundError,))


def test_waiting_requests_do_not_keep_others_out(server: Server) -> None:
    job = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=HEAD + b"x" + TAIL).json()
    lines = [f"GET /v1/jobs/{job['id']}?wait=60 HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in AUTH.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    waiting = []
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(request)
        waiting.append(client)
    try:
        assert httpx.get(f"{server.url}/health/live", timeout=5).is_success
    finally:
        httpx.post(f"{job['links']['self']}/cancel", headers=AUTH).raise_for_status()
        for client in waiting:
            client.close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"BIND_HOST": "0.0.0.0", "API_KEY": ""}, "set API_KEY"), ({"WEB_THREADS": "none"}, "WEB_THREADS")],
)
def test_settings_that_cannot_be_used_are_one_sentence(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "config" / "gunicorn.py"), "webapp.main:app"]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert says in result.stderr and "Traceback" not in result.stderr
