"""Failures, written to the record. Signals fire in every case, also when a child was killed or never began."""

import contextvars
import logging
import threading
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.worker.request import Request
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from pipelines.errors import InputError, LonghandError, OptionsError
from store import jobs, standing, steps
from store.models import WHOLE
from store.steps import Piece
from tasks import journal, webhooks
from tasks.app import AnyTask
from tasks.worker import Worker

log = logging.getLogger(__name__)

FREE_SECONDS = 3.0
"""How long a worker's parent waits for the record."""
BROKER_AWAY = (BrokerError, RedisError)


def connect(worker: Worker) -> None:
    """Listen to the failures of this process's tasks."""

    @signals.task_failure.connect(weak=False)
    def failed(sender: AnyTask, task_id: str, exception: BaseException, args: list[Any], **_: Any) -> None:
        if not args or not sender.name.startswith(("stage.", "job.")):
            return
        if isinstance(exception, BROKER_AWAY):
            # The work is done and recorded; only the message to the next step was not taken. Upkeep sends it.
            log.warning("job %s stands still after %s: the queue took no message", args[0], sender.name)
            standing.stands(worker.store.database, str(args[0]))
            return
        if isinstance(exception, TimeLimitExceeded) and _wears_out(worker, sender.name, task_id, args):
            return
        job_id = str(args[0])
        stage = sender.name.removeprefix("stage.") if sender.name.startswith("stage.") else None
        code, detail = describe(exception)
        claim = getattr(sender.request, "claim", None)
        if jobs.fail(worker.store.database, job_id, code=code, detail=detail, stage=stage, claim=claim):
            theirs = isinstance(exception, InputError | OptionsError)
            log.log(logging.INFO if theirs else logging.ERROR, "job %s failed in %s: %s", job_id, sender.name, detail)
            worker.store.events.forget(job_id)
            worker.store.events.changed(job_id)
            webhooks.tell(worker.flow, job_id)
            worker.flow.ended(job_id)


def _wears_out(worker: Worker, name: str, task_id: str, args: list[Any]) -> bool:
    """Have a stage that knows how to go on without its work do that; its process was killed, so it could not itself."""
    stage = worker.stages.get(name.removeprefix("stage."))
    if stage is None or stage.otherwise is None:
        return False
    piece = Piece(str(args[0]), stage.name, int(args[1]) if len(args) > 1 else WHOLE)
    steps.wear_out(worker.store.database, piece, task_id=task_id, attempts=worker.settings.max_attempts)
    worker.flow.submit(piece.job_id)
    return True


def lost_child_request(worker: Worker) -> type[Request]:
    """Celery's request, which the worker's parent keeps for a running task, with one thing more.

    When a child is killed the parent puts the message back on the queue without any signal. Whoever gets it must find
    the step free, not "running" until its last sign of life is old enough.
    """

    class LostChildRequest(Request):
        def on_timeout(self, soft: bool, timeout: float) -> Any:
            with journal.told_of(self):
                return super().on_timeout(soft, timeout)

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
            with journal.told_of(self):
                return self._failed(exc_info, send_failed_event, return_ok)

        def _failed(self, exc_info: Any, send_failed_event: bool, return_ok: bool) -> Any:
            error = getattr(exc_info.exception, "exc", exc_info.exception)
            if isinstance(error, WorkerLostError | SystemExit):
                job_id, item = str(self.args[0]), int(self.args[1]) if len(self.args) > 1 else WHOLE
                stage = self.task.name.removeprefix("stage.")
                log.warning("a worker's child died in %s of job %s; it is started again", self.task.name, job_id)
                # Whatever is wrong with the record, Celery must put the message back, or this worker stands still. A
                # busy database must not keep it from giving signs of life for its other children.
                piece = Piece(job_id, stage, item)
                here = contextvars.copy_context().run
                free = threading.Thread(target=here, args=(_free, worker, piece, self.id), daemon=True)
                free.start()
                journal.lost(self, piece)
                free.join(FREE_SECONDS)
            return super().on_failure(exc_info, send_failed_event, return_ok)

    return LostChildRequest


def _free(worker: Worker, piece: Piece, task_id: str) -> None:
    try:
        steps.free_dead(worker.store.database, piece, task_id=task_id, worker=worker.name)
    except Exception:
        log.exception("%s of job %s is not freed now, but will be when found abandoned", piece.stage, piece.job_id)


def describe(exception: BaseException) -> tuple[str, str]:
    """Code and sentence for a person; what is not one of ours stays in the log."""
    if isinstance(exception, LonghandError):
        return exception.code, exception.detail
    if isinstance(exception, TimeLimitExceeded):
        return "timeout", "The step took longer than the operator allows and was stopped."
    return "internal", "Something went wrong on our side; the operator finds the reason in the worker's log."
