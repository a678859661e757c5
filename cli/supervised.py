"""Runs supervisord so that it cannot outlive `longhand up`, and nothing can outlive it.

``python -m cli.supervised PARENT CONFIGURATION``: PARENT is the process id of whoever starts it.
"""

import os
import signal
import sys

from cli.processes import end_descendants
from cli.tether import adopt_orphans, die_with_parent


def main() -> None:
    """Be supervisord; afterwards end whatever it left behind."""
    from supervisor.supervisord import main as supervisord

    parent, configuration = int(sys.argv[1]), sys.argv[2]
    die_with_parent(signal.SIGTERM, parent=parent)
    adopt_orphans()
    try:
        supervisord(["--nodaemon", "--configuration", configuration])
    finally:
        end_descendants(os.getpid())


if __name__ == "__main__":
    main()
