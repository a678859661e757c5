"""Work on many files: several at a time, and how far it is."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Told = Callable[[int, int], None]
"""Is told of further files: how many, and their bytes."""
_AHEAD = 32
_EVERY_SECONDS = 0.2
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def in_turn(pool: Executor, work: Callable[[_In], _Out], things: Iterable[_In]) -> Iterator[_Out]:
    """What becomes of each thing, in their order; few are waited for at a time, however many there are."""
    waiting: deque[Future[_Out]] = deque()
    try:
        for thing in things:
            waiting.append(pool.submit(work, thing))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


class Counter:
    """How many files, and bytes, have been worked on; on a terminal a line tells it as it goes.

    Args:
        what: Is done to them.
        of: Bytes there are in all; None: nobody knows.
    """

    def __init__(self, what: str, of: int | None = None) -> None:
        self.files = self.bytes = 0
        self._what, self._of = what, of
        self._shown_at = 0.0
        self._stream = sys.stderr

    def __call__(self, files: int, size: int) -> None:
        """Count further ones."""
        self.files += files
        self.bytes += size
        now = time.monotonic()
        if self._stream.isatty() and now - self._shown_at > _EVERY_SECONDS:
            self._shown_at = now
            share = f" of {amount(self._of)}" if self._of else ""
            self._stream.write(f"\r\033[K{self._what}: {self.files:,} files, {amount(self.bytes)}{share}")
            self._stream.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._stream.isatty() and self._shown_at:
            self._stream.write("\r\033[K")
            self._stream.flush()


def amount(size: int) -> str:
    """Bytes for people: 7 bytes, 4.4 MB, 1.3 GB."""
    for least, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} bytes"
