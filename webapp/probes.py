"""Questions to what this installation stands on, asked so that one that hangs holds up nobody."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any

FRESH_SECONDS = 1.0
"""An answer is good for this long: whoever asks in between gets the same."""


class Probes:
    """One thread for each question, and never more than one of a kind under way.

    Args:
        questions: Name -> what raises unless the thing is there; what it returns is kept.
    """

    def __init__(self, questions: Mapping[str, Callable[[], Any]]) -> None:
        self._questions = dict(questions)
        self._pool = ThreadPoolExecutor(len(self._questions), thread_name_prefix="probe")
        self._lock = Lock()
        self._asked: dict[str, Future[Any]] = {}
        self._answered: dict[str, float] = {}

    def ask(self, *names: str, seconds: float) -> dict[str, Future[Any]]:
        """Some questions at once, or all; those that are not done by then are not there.

        A question that hangs is waited for again, not asked again, so callers do not pile up behind it.
        """
        found = {name: self._ask(name) for name in names or self._questions}
        wait(found.values(), timeout=seconds)
        return found

    def close(self) -> None:
        """Ask nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, name: str) -> Future[Any]:
        with self._lock:
            known = self._asked.get(name)
            fresh = self._answered.get(name, 0.0) + FRESH_SECONDS > time.monotonic()
            if known is not None and (fresh or not known.done()):
                return known
            self._asked[name] = self._pool.submit(self._answer, name)
            return self._asked[name]

    def _answer(self, name: str) -> Any:
        try:
            return self._questions[name]()
        finally:
            self._answered[name] = time.monotonic()
