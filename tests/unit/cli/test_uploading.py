"""Large recordings on their way to the server: broken connections cost time, and nothing else."""

import hashlib
import random
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cli import uploading
from cli.client import ApiError, Client, Exit
from tests.stack import KEY, RedisServer
from tests.unit.cli.conftest import ScriptedServer
from tests.unit.webapp.test_gunicorn import Server, start

MB = 1 << 20
SOUND = random.Random(2).randbytes(6 * MB)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large here."""
    monkeypatch.setattr(uploading, "RESUMABLE_BYTES", MB)
    monkeypatch.setattr(uploading, "_PAUSE_SECONDS", 0.1)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "täglich.mp3"
    path.write_bytes(SOUND)
    return path


@pytest.fixture
def web(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    running = start(tmp_path, redis_server.empty(), MAX_UPLOAD_MB=100)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


class Cutting:
    """A way to a server that breaks connections after so many bytes of theirs, one after the other; then it holds."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        self._port = port
        self._cuts = cuts
        self.bytes = 0
        self.broken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            came = 0
            while True:
                for ready in select.select([client, server], [], [], 30)[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    (server if ready is client else client).sendall(data)
                    if ready is client:
                        came += len(data)
                        self.bytes += len(data)
                        if self._cuts and came > self._cuts[0]:
                            self._cuts.pop(0)
                            self.broken += 1
                            return


def test_it_goes_on_where_the_connection_broke(web: Server, recording: Path) -> None:
    told: list[tuple[int, int]] = []
    with closing(Cutting(web.port, [2 * MB, 3 * MB])) as way, closing(Client(way.url, KEY)) as client:
        job = client.submit(recording, {"model": "demo"}, sent=lambda *how: told.append(how))
        assert way.broken == 2
        assert way.bytes < len(SOUND) + MB, "nothing that had arrived was sent again"
    source = {"name": recording.name, "bytes": len(SOUND), "sha256": hashlib.sha256(SOUND).hexdigest()}
    assert source.items() <= job["source"].items()
    assert (told[0], told[-1]) == ((0, len(SOUND)), (len(SOUND), len(SOUND)))
    assert [path.name for path in web.storage.iterdir() if len(path.name) == 32] == [job["id"]]


def test_what_is_interrupted_leaves_nothing_behind(web: Server, recording: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done > 2 * MB:
            raise KeyboardInterrupt

    with closing(Client(web.url, KEY)) as client:
        with pytest.raises(KeyboardInterrupt):
            client.submit(recording, {}, sent=stop)
        with pytest.raises(ApiError, match="nonsense"):
            client.submit(recording, {"nonsense": "1"})
    assert [path for path in web.storage.iterdir() if len(path.name) == 32] == []


class TestRefusals:
    @pytest.fixture
    def client(self, server: ScriptedServer) -> Iterator[Client]:
        with closing(Client(server.url, None)) as found:
            yield found

    def test_too_large(self, server: ScriptedServer, client: Client, recording: Path) -> None:
        server.says(413, {"detail": "Too large.", "code": "too_large"})
        with pytest.raises(ApiError, match="Too large"):
            client.submit(recording, {})
        assert [(method, path) for method, path, *_ in server.asked] == [("POST", "/v1/uploads")]

    def test_nobody_there_is_told_at_once(self, recording: Path) -> None:
        with closing(Client("http://127.0.0.1:1", None)) as client, pytest.raises(ApiError) as caught:
            client.submit(recording, {})
        assert caught.value.exit_code == Exit.UNREACHABLE

    def test_it_waits_as_it_is_asked_to_and_makes_one_job(
        self, server: ScriptedServer, client: Client, recording: Path
    ) -> None:
        server.says(503, {"detail": "Busy."}, Retry_After="0")
        server.says(201, {}, Location="http://elsewhere/prefix/v1/uploads/0123")
        server.says(423, {"detail": "Locked."}, Retry_After="0")
        server.says(200, {"offset": 5 * MB, "finished": False})
        server.says(204, b"")
        server.says(503, {"detail": "Full."}, Retry_After="0")
        server.says(202, {"id": "1"})
        assert client.submit(recording, {"model": "m"})["id"] == "1"
        assert [(method, path) for method, path, *_ in server.asked] == [
            *[("POST", "/v1/uploads")] * 2,
            ("PATCH", "/v1/uploads/0123"),
            ("GET", "/v1/uploads/0123"),
            ("PATCH", "/v1/uploads/0123"),
            *[("POST", "/v1/jobs")] * 2,
        ]
        assert [length for method, _, _, length in server.asked if method == "PATCH"] == [6 * MB, MB]
        keys = {headers["idempotency-key"] for _, path, headers, _ in server.asked if path == "/v1/jobs"}
        assert len(keys) == 1

    def test_an_upload_that_is_lost_is_not_gone_on_with(
        self, server: ScriptedServer, client: Client, recording: Path
    ) -> None:
        server.says(201, {}, Location="/v1/uploads/0123")
        server.says(410, {"detail": "Bytes were lost.", "code": "not_found"})
        server.says(404, {"detail": "No such upload.", "code": "not_found"})
        with pytest.raises(ApiError, match="were lost"):
            client.submit(recording, {})

    def test_a_file_that_becomes_shorter(self, server: ScriptedServer, client: Client, recording: Path) -> None:
        server.says(201, {}, Location="/v1/uploads/0123")
        server.says(204, b"")

        def shorten(*_: int) -> None:
            recording.write_bytes(b"x")

        with pytest.raises(OSError, match="shorter"):
            client.submit(recording, {}, sent=shorten)
        assert server.asked[-1][0] == "DELETE"
