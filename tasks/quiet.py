"""What Celery prints past all logging, as lines of the log: a machine that reads it understands no others."""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from celery import Celery, signals
from celery.apps import worker as celery_worker


def install(app: Celery) -> None:
    """Let this process print nothing but lines of the log."""

    class QuietBeat(app.Beat):  # type: ignore[name-defined, misc]  # made by the app
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **{**more, "quiet": True})

    vars(app)["Beat"] = QuietBeat

    @signals.celeryd_init.connect(weak=False)
    def no_banner(instance: Any, **_: Any) -> None:
        instance.quiet = True

    # What it says when it is told to stop.
    vars(celery_worker)["safe_say"] = _say


def _say(message: str, _: Any = None) -> None:
    """Write a line where a signal was handled: nothing there may take a lock, as logging does."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line = {"event": message.strip(), "level": "info", "logger": "celery.apps.worker", "timestamp": at}
    # Standard error may be closed already; nobody is to be kept from stopping by that.
    try:
        os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, f"{json.dumps(line)}\n".encode())
    except (OSError, ValueError):
        return
