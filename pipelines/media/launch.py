"""Become another program under limits: what ``prlimit`` and ``setpriv`` do, for a machine that has them not.

Run as a script, ``python -I -S launch.py NAME=LIMIT… -- PROGRAM ARGUMENT…``, with nothing but the standard library:
some twenty milliseconds, against two of the real ones. Limits are set, then the program takes this process's place.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys

_DIE_WITH_PARENT = 1
_NO_NEW_PRIVILEGES = 38
_NOT_STARTED = 127


def main() -> None:
    """Set the limits that the command line names, and start the program after ``--``."""
    split = sys.argv.index("--")
    parent = os.getppid()
    for setting in sys.argv[1:split]:
        name, _, limit = setting.partition("=")
        kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if kind is not None:
            with contextlib.suppress(ValueError, OSError):  # macOS knows the name of some that it does not keep
                resource.setrlimit(kind, (int(limit), int(limit)))
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        libc = ctypes.CDLL(None)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit(_NOT_STARTED)
    try:
        os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        sys.exit(_NOT_STARTED)


if __name__ == "__main__":
    main()
