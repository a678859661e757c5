"""The pool of workers that do nothing but wait for other people's servers: threads, which are cheap to have many of.

A thread cannot be killed, so nothing that runs in one may rely on a time limit of Celery's; fetching and posting bound
themselves. And it must be asked to stop: Celery's own pool of threads would wait for a silent server to the end.
"""

import threading
from typing import Any

from celery import concurrency
from celery.concurrency.thread import TaskPool

_stopping = threading.Event()


class HandedBack(Exception):
    """Another worker is to do this work."""

    def __init__(self) -> None:
        super().__init__("this worker stops")


def check_stopping() -> None:
    """Raise HandedBack if this process's threads are asked to end; call it at least every second of waiting."""
    if _stopping.is_set():
        raise HandedBack


class ThreadPool(TaskPool):
    """Celery's pool of threads, whose work is handed back when a soft shutdown has waited long enough for it."""

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """Ask everything in this process to end: Celery calls this only when it stops."""
        _stopping.set()

    def on_terminate(self) -> None:
        """Ask it also where Celery ends without having been told to."""
        _stopping.set()


def install() -> None:
    """Make ``--pool threads`` mean this pool."""
    aliases: dict[str, str] = vars(concurrency)["ALIASES"]  # what ``--pool`` looks names up in
    aliases["threads"] = f"{__name__}:{ThreadPool.__name__}"
