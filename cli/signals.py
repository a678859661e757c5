"""Ctrl-C and its kin: the first stops in order, the second at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """Somebody asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def heard(at_once: Callable[[], None]) -> Iterator[None]:
    """Raise ``Stopped`` in the main thread at the first signal; call ``at_once`` at every later one.

    Args:
        at_once: Ends everything without asking.
    """
    count = 0

    def hear(number: int, _: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise Stopped(number)
        at_once()

    before = {number: signal.signal(number, hear) for number in _HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
