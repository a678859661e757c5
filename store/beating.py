"""Signs of life while something is waited for that gives none."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS = 1.0


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Call something again and again, in a thread of its own, until the block is over.

    Raises:
        Exception: What it raised, after the block: it is not called any more then.
    """
    over = threading.Event()
    failed: list[Exception] = []

    def again() -> None:
        while not failed and not over.wait(_SECONDS):
            try:
                beat()
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=again, name="beating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
