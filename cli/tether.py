"""Runs a program that the kernel ends when its parent dies: ``python -IS cli/tether.py SIGNAL program arguments…``.

The parent may be killed without a chance to clean up; the kernel still tells its children. Standard library only and
nothing of this project imported, so that it costs some 20 ms.
"""

import ctypes
import os
import signal
import sys

_PDEATHSIG = 1
_CHILD_SUBREAPER = 36


def die_with_parent(signal_number: int, *, parent: int) -> None:
    """Have this process sent a signal when its parent ends; nothing on systems other than Linux.

    Args:
        signal_number: The signal to be sent.
        parent: Process id of the parent, as it was when this process was started.
    """
    _prctl(_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it was gone before the kernel was asked
        os.kill(os.getpid(), signal_number)


def adopt_orphans() -> None:
    """Have processes whose parents die below this one become its children, so that none escapes."""
    _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Become the program named on the command line."""
    die_with_parent(signal.Signals[sys.argv[1]], parent=os.getppid())
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
