import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli import redis_server
from cli.places import Places


@contextlib.contextmanager
def started(places: Places, socket: Path) -> Iterator["subprocess.Popen[bytes]"]:
    written = places.run / "redis.conf"
    written.write_text(redis_server.configuration(places.redis, socket))
    process = subprocess.Popen([redis_server.find().path, written], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / 'a "quoted" folder')
    found.make()
    return found


def test_the_one_that_was_started_is_known_by_its_process(places: Places) -> None:
    with places.sockets() as sockets, started(places, sockets / "redis.sock") as process:
        redis_server.wait_until_own(sockets / "redis.sock", lambda: process.pid)
        with pytest.raises(redis_server.RedisTrouble, match="Another Redis"):
            redis_server.wait_until_own(sockets / "redis.sock", lambda: process.pid + 1, seconds=0.3)


def test_nobody_else_reaches_it_and_what_is_queued_survives_its_death(places: Places) -> None:
    with places.sockets() as sockets:
        socket = sockets / "redis.sock"
        with started(places, socket) as process, redis.Redis(unix_socket_path=str(socket)) as client:
            redis_server.wait_until_own(socket, lambda: process.pid)
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert socket.stat().st_mode & 0o077 == 0
            client.lpush("cpu", "message")
            client.execute_command("CONFIG", "SET", "appendfsync", "always")
            client.lpush("cpu", "written at once")
        with started(places, socket) as process, redis.Redis(unix_socket_path=str(socket)) as client:
            redis_server.wait_until_own(socket, lambda: process.pid)
            assert client.llen("cpu") == 2
    assert any(places.redis.iterdir())


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(redis_server.RedisTrouble, match="did not start"):
        redis_server.wait_until_own(tmp_path / "no.sock", lambda: None, seconds=0.1)


def test_a_leftover_is_ended_by_its_socket(places: Places) -> None:
    with places.sockets() as sockets, started(places, sockets / "redis.sock") as process:
        redis_server.wait_until_own(sockets / "redis.sock", lambda: process.pid)
        assert redis_server.stop_leftover(sockets / "redis.sock")
        assert process.wait(10) == 0
        assert not redis_server.stop_leftover(sockets / "redis.sock")


def test_a_redis_on_the_path_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("#!/bin/sh\nexit 1\n", "#!/bin/sh\necho 'Redis server v=5.0.7 sha=0'\n", "no program"):
        (tmp_path / "redis-server").write_text(content)
        (tmp_path / "redis-server").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        found = redis_server.find()
        assert found.version >= redis_server.OLDEST
        assert found.path != str(tmp_path / "redis-server")
