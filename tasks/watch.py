"""A sign of life while a stage runs, and the ear for a cancel."""

import contextvars
import logging
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Self

from billiard import current_process
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import Cancelled
from store import Store, jobs, steps
from store.models import ACTIVE
from store.steps import Piece
from tasks.threads import check_stopping

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the record is asked whether the work is still wanted; a cancel must stop the decoder within 2 s."""
LISTEN_SECONDS = 1.0
"""How long unwanted work may take to notice; a decoder in the middle of a batch hears nothing."""
REPORT_SECONDS = 0.5
"""Least time between two progress reports."""


class Watch:
    """Watches over one run of one step; call it to report progress (``pipelines.stage.Progress``).

    Args:
        store: The store.
        piece: The work.
        claim: What it is done under.
        alive_seconds: How often the record is told that it goes on.
        scratch: The run's folder, which goes with it should its process have to be ended.
    """

    def __init__(self, store: Store, piece: Piece, claim: str, *, alive_seconds: float, scratch: Path) -> None:
        self._scratch = scratch
        self._alive_seconds = alive_seconds
        self._store = store
        self._piece = piece
        self._claim = claim
        self._unwanted = threading.Event()
        self._ended = threading.Event()
        # Its lines are the task's, too.
        watch = contextvars.copy_context().run
        self._thread = threading.Thread(target=watch, args=(self._watch,), name=f"watch-{piece.stage}", daemon=True)
        self._reported = 0.0

    def __call__(self, done: float, total: float) -> None:
        """Report progress.

        Raises:
            Cancelled: The job was cancelled or failed, or somebody else has taken this piece over.
            tasks.threads.HandedBack: This worker stops.
        """
        check_stopping()
        if self._unwanted.is_set():
            raise Cancelled("The job was cancelled.")
        at = time.monotonic()
        if at - self._reported >= REPORT_SECONDS:
            self._reported = at
            self._store.events.report(*self._piece, done / total if total > 0 else 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        signed = time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            try:
                wanted = jobs.status(self._store.database, self._piece.job_id) in ACTIVE
                if wanted and time.monotonic() - signed >= self._alive_seconds:
                    wanted = steps.alive(self._store.database, self._piece, self._claim)
                    signed = time.monotonic()
            except SQLAlchemyError:
                # A database that is away for a moment is no reason to stop work that goes well.
                continue
            if not wanted:
                self._unwanted.set()
                if not self._ended.wait(LISTEN_SECONDS):
                    self._stop_process()
                return

    def _stop_process(self) -> None:
        """End what cannot be told to stop: the worker starts another process, and loads its model anew."""
        if current_process().name == "MainProcess":  # a thread, not a worker's child: nobody would start another
            return
        log.warning("%s of job %s is not wanted any more and does not stop: its process ends", *self._piece[1::-1])
        shutil.rmtree(self._scratch, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)
