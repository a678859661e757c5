"""Processes forked from one that has loaded the libraries: a worker or a web server starts in a third of the time.

What runs is the same as with ``python -m``: a process in a session, environment and folder of its own, which loads our
modules anew. Only other people's libraries are there already. How processes start from nothing is what
tests/e2e/test_up.py and the containers show.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import resource_tracker
from pathlib import Path

LIBRARIES = [
    "alembic.command",
    "billiard.pool",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.consumer",
    "flask",
    "flask_limiter",
    "fsspec.implementations.local",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "kombu.transport.redis",
    "prometheus_client",
    "psutil",
    "pydantic_settings",
    "redis.asyncio",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.orm",
    "structlog",
]
"""What every process of ours loads; nothing that reads its environment while it is loaded (numpy, CTranslate2)."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(LIBRARIES)


class StartedAnew(subprocess.Popen[bytes]):
    """A process that runs ``python -m`` with these words, in a session of its own, as users start it."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        with log.open("ab") as said:
            super().__init__(
                [sys.executable, "-m", *command],
                env=env,
                cwd=cwd,
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )


class Forked:
    """The same, forked."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        arguments = (list(command), dict(env), cwd, log)
        self._process = _context.Process(target=_become, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, as soon as there is one.

        Raises:
            subprocess.TimeoutExpired: There was none within so many seconds.
        """
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def is_nursery(command: Sequence[str]) -> bool:
    """Whether this is the command of a process that only forks others, and ends with whoever started it."""
    return any("multiprocessing.forkserver" in word or "multiprocessing.resource_tracker" in word for word in command)


def _become(command: list[str], env: dict[str, str], cwd: Path, log: Path) -> None:
    """Be what ``python -m`` would have started, to the end."""
    os.setsid()
    os.chdir(cwd)
    _say_to(log)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [str(cwd), *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = list(command)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What it uses is its own affair, not that of the tests' process.
    resource_tracker._resource_tracker._fd = None
    # What is loaded stays: there is no point in looking through it for what could be freed.
    gc.freeze()
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        # Processes of multiprocessing leave these out.
        atexit._run_exitfuncs()


def _say_to(log: Path) -> None:
    with log.open("ab") as said, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    # As with PYTHONUNBUFFERED.
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
