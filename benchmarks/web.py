"""A web process under its real server with a Redis of its own, and no workers: jobs that are sent stay queued."""

import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx
import psutil

from tests.stack import KEY, ROOT, RedisServer, free_port, until

AUTH = {"Authorization": f"Bearer {KEY}"}


class Web:
    """``with Web("--worker-class", "gthread") as web: …``; the arguments are gunicorn's, behind our configuration.

    Args:
        arguments: Further ones for gunicorn.
        app: What is served.
        env: Settings.
    """

    def __init__(self, *arguments: str, app: str = "webapp.main:app", **env: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._redis = RedisServer()
        self._arguments = arguments
        self._app = app
        self.port = free_port()
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": self._folder.name,
            "DATA_DIR": f"{self._folder.name}/data",
            "REDIS_URL": self._redis.url,
            "WHISPER_MODELS": "demo",
            "API_KEY": KEY,
            "BIND_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            **env,
        }

    def __enter__(self) -> Self:
        self._redis.start()
        configuration = str(ROOT / "config" / "gunicorn.py")
        command = [sys.executable, "-m", "gunicorn", "-c", configuration, *self._arguments, self._app]
        self._log = (Path(self._folder.name) / "log").open("wb")
        self._process = subprocess.Popen(
            command, cwd=self._folder.name, env=self._env, stdout=self._log, stderr=self._log
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=AUTH, timeout=60, trust_env=False)
        until(lambda: self.client.get("/health/live").status_code < 500, 30, "the server", (httpx.HTTPError,))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        self._redis.close()
        self._folder.cleanup()

    def workers(self) -> Sequence[psutil.Process]:
        """The processes that answer."""
        return psutil.Process(self._process.pid).children()

    def send(self) -> str:
        """A job that stays queued; its id."""
        answer = self.client.post("/v1/jobs", files={"file": ("a.wav", b"RIFF" + bytes(4000))})
        answer.raise_for_status()
        return str(answer.json()["id"])

    def times(self, path: str, *, seconds: float, pause: float = 0.0) -> list[float]:
        """Seconds of each of the requests that one client makes one after the other on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        found, end = [], time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            connection.request("GET", path, headers=AUTH)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{path} was answered with {answer.status}")
            found.append(time.perf_counter() - began)
            time.sleep(pause)
        connection.close()
        return found
