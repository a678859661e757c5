"""Trying again: what is waited for in place, what is delivered again later, what is dropped."""

import logging
import random
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from celery.exceptions import Ignore, Reject
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.file_errors import StorageAway
from tasks import rabbit
from tasks.app import AnyTask
from tasks.flow import QueueUnavailable
from tasks.threads import check_stopping

log = logging.getLogger(__name__)
_T = TypeVar("_T")

AWAY = (OperationalError, PoolTimeout, RedisError, QueueUnavailable, StorageAway, ConnectionError)
"""Our own servers are not there for a moment."""
OUTAGE_SECONDS = 600.0
"""For so long work that is done waits for a database or a storage that is away, rather than being done again."""


def outlast(action: Callable[[], _T]) -> _T:
    """Do something that may be done twice, again and again until an outage is over."""
    end = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            return action()
        except AWAY as error:
            if time.monotonic() >= end:
                raise
            log.warning("work that is done waits to be kept: %s", type(error).__name__)
            check_stopping()
            time.sleep(random.uniform(1.0, 2.0))  # noqa: S311  # spreading, not secrecy


def patiently(task: AnyTask, action: Callable[[], None]) -> None:
    """Do something now, or have this message delivered again when our own servers are back."""
    try:
        action()
    except AWAY as error:
        again(task, backoff(task), error)


def again(task: AnyTask, seconds: float, error: BaseException | None = None) -> NoReturn:
    """Deliver this message again after some seconds."""
    try:
        queue = str((task.request.delivery_info or {}).get("routing_key"))
        raise task.retry(exc=error if isinstance(error, Exception) else None, **rabbit.later(task.app, queue, seconds))
    except Reject as refused:
        # The broker does not take the new message: then it keeps the old one.
        time.sleep(min(seconds, 5.0))
        raise Reject(str(error), requeue=True) from refused


def drop(task: AnyTask) -> NoReturn:
    """End this message here: its chain does not go on, and Flower is told that it is over."""
    task.send_event("task-revoked", terminated=False, signum=None, expired=False)
    raise Ignore()


def backoff(task: AnyTask) -> float:
    """Seconds until the next try: 1, 2, 4 … 30, each varied so that a crowd does not return at once."""
    exponent = min(task.request.retries or 0, 5)
    return float(min(2**exponent, 30)) * random.uniform(0.75, 1.25)  # noqa: S311  # spreading, not secrecy
