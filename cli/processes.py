"""The processes below this one, found by parenthood and never by name."""

import contextlib
import os
import signal
import time
from pathlib import Path


def descendants(root: int) -> list[int]:
    """The processes below ``root``, parents first; zombies are left out. Empty where there is no /proc."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The name in parentheses may itself hold spaces and parentheses.
            state, parent = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if state not in {"Z", "X"}:
                below.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        children = below.get(queue.pop(0), [])
        found += children
        queue += children
    return found


def end_descendants(root: int) -> None:
    """Kill every process below ``root``, which is this process or one of its children."""
    # A process may have started another before it died, so the last look is the one that finds nobody.
    for _ in range(100):
        left = descendants(root)
        if not left:
            break
        kill_all(left)
        reap()
        time.sleep(0.02)
    reap()


def kill_all(processes: list[int]) -> None:
    """Kill processes, those that have ended meanwhile excepted."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def reap() -> None:
    """Take leave of children that have ended, adopted ones among them."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
