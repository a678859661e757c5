"""Whose each line of a worker's log is, and what is told of each piece of work: lines at both ends, and a span.

What a line is about is bound to the task while it runs (``structlog.contextvars``), so lines of libraries have it too.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from celery import signals
from celery.exceptions import Ignore, Reject, Retry
from sqlalchemy.exc import SQLAlchemyError

from config import tracing
from pipelines.errors import LonghandError
from store import endings
from store.endings import Facts
from store.figures import REQUEST_ID, SENT_AT
from store.models import WHOLE
from store.steps import Piece
from tasks.app import AnyTask
from tasks.threads import HandedBack
from tasks.worker import Worker

log = structlog.get_logger(__name__)

_SETTLED = ("handed_back", "again", "dropped")
"""Outcomes of work that did not come to its end and is no failure: somebody does it again, or nobody wants it."""


def connect(worker: Worker) -> None:
    """Bind to each task of this process, child or thread, what its lines are about."""

    @signals.task_prerun.connect(weak=False)
    def begins(task: AnyTask, args: Sequence[Any], **_: Any) -> None:
        # Cleared first: whatever a task before left behind is none of this one's.
        structlog.contextvars.clear_contextvars()
        request = task.request
        about = _about(str(task.name), args, request.get(REQUEST_ID), request.hostname or worker.name)
        structlog.contextvars.bind_contextvars(**about)

    @signals.task_postrun.connect(weak=False)
    def ends(**_: Any) -> None:
        structlog.contextvars.clear_contextvars()

    @signals.worker_process_shutdown.connect(weak=False)
    def child_ends(**_: Any) -> None:
        tracing.close()

    @signals.worker_shutdown.connect(weak=False)
    def parent_ends(**_: Any) -> None:
        tracing.close()


@contextmanager
def told_of(request: Any) -> Iterator[None]:
    """Bind the same in the worker's parent, while it sees to what became of a task (a ``celery.worker.request``)."""
    sent = request.request_dict.get(REQUEST_ID)
    with structlog.contextvars.bound_contextvars(**_about(str(request.name), request.args, sent, request.hostname)):
        yield


@contextmanager
def work(worker: Worker, task: AnyTask, piece: Piece, queue: str) -> Iterator[None]:
    """Tell of a piece of work that was claimed, from its begin to what became of it."""
    began, clock = time.time(), time.monotonic()
    facts = _facts(worker, piece)
    sent = task.request.get(SENT_AT)
    waited = max(began - float(sent), 0.0) if isinstance(sent, int | float) else None
    # The record knows better than a message that was sent before the job was tried again.
    bound = {"attempt": facts.attempt, **({"request_id": facts.request_id} if facts.request_id else {})}
    structlog.contextvars.bind_contextvars(**bound)
    log.info("work begins", queue=queue, waited_seconds=None if waited is None else round(waited, 3))
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        outcome = outcome_of(error)
        seconds = time.monotonic() - clock
        log.info("work ends", outcome=outcome, seconds=round(seconds, 3), audio_seconds=facts.audio_seconds)
        trace = _Traced(piece, worker=task.request.hostname or worker.name, queue=queue, facts=facts)
        if waited is not None:
            trace.waited(began - waited, began)
        trace.worked(began, began + seconds, outcome)


def lost(request: Any, piece: Piece) -> None:
    """Send the span of a run whose process was killed, so that the next one is not the first to be seen."""
    if request.time_start:
        trace = _Traced(piece, worker=str(request.hostname), queue=None, facts=Facts())
        trace.worked(request.time_start, time.time(), "worker_lost")


def outcome_of(error: BaseException | None) -> str:
    """In a word: done, dropped (nobody wants it any more), handed_back, again, or the code of an error."""
    if error is None:
        return "done"
    if isinstance(error, Retry):
        return "handed_back" if isinstance(error.exc, HandedBack) else "again"
    if isinstance(error, Ignore):
        return "dropped"
    if isinstance(error, Reject):
        return "again"
    return error.code if isinstance(error, LonghandError) else "internal"


class _Traced:
    """The spans of one piece of work."""

    def __init__(self, piece: Piece, *, worker: str, queue: str | None, facts: Facts) -> None:
        chunk = piece.item if piece.item != WHOLE else None
        self._piece = piece
        self._within = "" if chunk is None else piece.stage
        self._attributes = {
            "longhand.stage": piece.stage,
            "longhand.chunk": chunk,
            "longhand.worker": worker,
            "longhand.queue": queue,
            "longhand.attempt": facts.attempt,
            "longhand.request_id": facts.request_id,
        }
        self._more = {"longhand.audio_seconds": facts.audio_seconds, "longhand.model": facts.model}

    def waited(self, start: float, end: float) -> None:
        """On its queue."""
        tracing.emit(
            self._piece.job_id, "queue wait", start=start, end=end, within=self._within, attributes=self._attributes
        )

    def worked(self, start: float, end: float, outcome: str) -> None:
        """In a worker's hands."""
        name = self._piece.stage if self._piece.item == WHOLE else f"{self._piece.stage} chunk"
        attributes = {**self._attributes, **self._more, "longhand.outcome": outcome}
        failed = outcome if outcome not in ("done", *_SETTLED) else None
        tracing.emit(
            self._piece.job_id,
            name,
            start=start,
            end=end,
            failed=failed,
            within=self._within,
            attributes=attributes,
        )


def _facts(worker: Worker, piece: Piece) -> Facts:
    try:
        return endings.facts(worker.store.database, piece)
    except SQLAlchemyError:  # what is only told must not keep the work from being done
        return Facts()


def _about(name: str, args: Sequence[Any], request_id: Any, worker: str) -> dict[str, Any]:
    kind, _, what = name.partition(".")
    about: dict[str, Any] = {"worker": worker}
    if isinstance(request_id, str):
        about["request_id"] = request_id
    if kind == "stage" and args:
        about |= {"job": args[0], "stage": what}
        if len(args) > 1 and args[1] != WHOLE:
            about["chunk"] = args[1]
    else:
        about["task"] = name
        if args:
            about["delivery" if kind == "webhook" else "job"] = args[0]
        if name == "job.without" and len(args) > 1:
            about["stage"] = args[1]
    return about
