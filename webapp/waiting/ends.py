"""Requests that hold their answer back until something is over: ``?wait=``."""

import math
import time
from collections.abc import Callable
from typing import Any

from flask import request

from store import jobs
from store.models import ACTIVE
from webapp import latency
from webapp.access.auth import caller, check_again
from webapp.connection import Receiver
from webapp.errors import bad_option
from webapp.openapi import Parameter
from webapp.services import Services

LOOK_SECONDS = 15.0
"""How often a request that waits looks whether its client is still there, and its key still good."""

WAIT = Parameter(
    "wait",
    "Seconds to wait for the end; never longer than the operator allows (SYNC_TIMEOUT_SECONDS).",
    {"type": "number", "minimum": 0, "default": 0},
)


def wait_seconds(s: Services) -> float:
    """How long this request is ready to wait.

    Raises:
        Problem: 400.
    """
    text: Any = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise bad_option("wait must be a number of seconds, 0 or more.")
    return min(seconds, s.settings.sync_timeout_seconds)


def until_over(s: Services, next_job: Callable[[], str | None], seconds: float) -> None:
    """Return once nothing is left to wait for, or time is up, or the client has gone; at once if too many wait.

    Args:
        s: The services.
        next_job: Id of a job that is not over; None: all are.
        seconds: How long to wait.

    Raises:
        Problem: 403, the key was revoked or has expired meanwhile.
    """
    if not s.waiting.acquire(blocking=False):
        return
    wait = _Wait(s, seconds)
    try:
        while (job_id := next_job()) is not None and wait.goes_on():
            with s.waiters.following(job_id), s.listening.to(job_id) as ear:
                while jobs.status(s.store.database, job_id) in ACTIVE and wait.goes_on():
                    with latency.waiting():
                        ear.wait(wait.nap())
    finally:
        s.waiting.release()


class _Wait:
    """What may end a wait before its time."""

    def __init__(self, s: Services, seconds: float) -> None:
        self._s = s
        self._client = Receiver(request.environ)
        self._caller = caller()
        self._end = time.monotonic() + seconds
        self._check = time.monotonic() + LOOK_SECONDS

    def goes_on(self) -> bool:
        """Whether somebody still waits, who may."""
        now = time.monotonic()
        if now >= self._check:
            check_again(self._s, self._caller)
            self._check = now + LOOK_SECONDS
        return now < self._end and not self._s.listening.closed and not self._client.gone()

    def nap(self) -> float:
        """Seconds until it must be looked at again."""
        return max(0.0, min(self._end, self._check) - time.monotonic())
