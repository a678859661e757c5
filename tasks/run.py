"""One thin task per stage: begin → fetch → run → keep → done."""

import json
import logging
from typing import NoReturn

from celery.exceptions import SoftTimeLimitExceeded, TaskPredicate

from pipelines.errors import Cancelled, EngineError, InputError, LonghandError, OptionsError, TransientError
from pipelines.stage import SOURCE, Stage
from store import Store, jobs, steps, usage
from store.figures import SENT_AT
from store.file_errors import FULL, ScratchFull, StorageAway, StorageFull
from store.models import ACTIVE, WHOLE
from store.steps import Begin, Piece, Wait
from tasks import journal, webhooks
from tasks.again import AWAY, again, backoff, drop, outlast, patiently
from tasks.app import CPU, AnyTask
from tasks.outcome import describe, lost_child_request
from tasks.threads import HandedBack
from tasks.watch import Watch
from tasks.worker import Worker
from tasks.workfiles import WorkFiles

log = logging.getLogger(__name__)

_ENDLESS = 1 << 30
_UNSERVED = "no worker has served the queue {} for a while; the operator must start one."
TAKEN_SECONDS = 3.0
"""When to look again at work that an earlier delivery of the same message seems to be doing."""


def register(worker: Worker) -> None:
    """Make the tasks: one per stage, named after it, and the one that ends a job."""
    for stage in worker.stages.values():
        _register_stage(worker, stage)

    @worker.app.task(name="job.finish", bind=True, max_retries=None)
    def finish(task: AnyTask, job_id: str) -> None:
        patiently(task, lambda: _finish(worker, job_id))

    @worker.app.task(name="job.without", bind=True, max_retries=None)
    def without(task: AnyTask, job_id: str, name: str) -> None:
        stage, piece = worker.stages[name], Piece(job_id, name)
        if claim := _begin(worker, task, piece, once_more=True):
            task.request.update(claim=claim)
            unserved = stage.after(LonghandError(_UNSERVED.format(stage.queue)))
            with journal.work(worker, task, piece, CPU):
                _run(worker, task, unserved, piece, claim)
        patiently(task, lambda: _go_on(worker, task, piece, done_before=not claim))


def _register_stage(worker: Worker, stage: Stage) -> None:
    @worker.app.task(
        name=f"stage.{stage.name}",
        bind=True,
        max_retries=None,
        # What is wrong with a user's file is no error of ours: Celery logs no traceback for what a task throws.
        throws=(InputError, OptionsError),
        Request=lost_child_request(worker),
    )
    def run(task: AnyTask, job_id: str, item: int = WHOLE) -> None:
        piece = Piece(job_id, stage.name, item)
        try:
            claim, now = _begin(worker, task, piece, wait=_wait(worker, task, stage)), stage
        except EngineError as exhausted:
            if stage.otherwise is None:
                raise
            log.error("%s of job %s is given up: %s", stage.name, job_id, exhausted.detail)
            claim, now = _begin(worker, task, piece, once_more=True), stage.after(exhausted)
        if claim:
            # For `outcome`: a run that was given up must not fail the job of the one that took over.
            task.request.update(claim=claim)
            with journal.work(worker, task, piece, stage.queue):
                _run(worker, task, now, piece, claim)
        if not task.request.chain:
            # Before this message ends: what goes on with the job is on its queue when this worker takes the next.
            patiently(task, lambda: _go_on(worker, task, piece, done_before=not claim))

    run.__doc__ = stage.title


def _wait(worker: Worker, task: AnyTask, stage: Stage) -> Wait | None:
    """Since when its message has been on its queue; None: it does not say."""
    sent = task.request.get(SENT_AT)
    if not isinstance(sent, int | float):
        return None
    return Wait(queue=stage.queue, since=float(sent), target=worker.settings.queue_wait_target_seconds)


def _begin(worker: Worker, task: AnyTask, piece: Piece, *, once_more: bool = False, wait: Wait | None = None) -> str:
    """The claim to run under; empty if the work is done already.

    Args:
        worker: This one.
        task: Whose message it is.
        piece: The work.
        once_more: Begin although it was begun too often: what is done now cannot be what went wrong.
        wait: Counted if the work begins for the first time.
    """
    limit = _ENDLESS if once_more else worker.settings.max_attempts
    node = task.request.hostname or worker.name
    message = str(task.request.id)
    database = worker.store.database
    try:
        # Less patience than the queue's by one sign of life: when it gives the message out again, the work is free. Who
        # found it taken would have to look again, and might have got something long to do by then.
        stale = worker.settings.visibility_timeout_seconds - worker.settings.lease_renewal_seconds
        begun, claim = steps.begin(
            database, piece, task_id=message, worker=node, max_attempts=limit, stale_seconds=stale, wait=wait
        )
        repeated = begun is Begin.TAKEN and steps.runs_for(database, piece) == message
    except AWAY as error:
        again(task, backoff(task), error)
    if begun is Begin.EXHAUSTED:
        raise EngineError(
            f"The step “{piece.stage}” was started {limit} times and never came to its end; the recording may be "
            "damaged in a way that crashes the decoder, or the worker has too little memory.",
            code="worker_lost",
        )
    if repeated:
        # Delivered again while the first delivery's worker may still live: wait until that is certain.
        again(task, TAKEN_SECONDS)
    if begun in {Begin.TAKEN, Begin.OVER}:
        # Not this message's business any more; a chain behind it must not go on either.
        drop(task)
    return claim


def _run(worker: Worker, task: AnyTask, stage: Stage, piece: Piece, claim: str) -> None:
    try:
        try:
            _do(worker, stage, piece, claim)
        except (Cancelled, HandedBack):
            raise
        except Exception as error:
            if _unwanted(worker, piece, claim):
                # The job was deleted or failed elsewhere, its files taken away under this run: no error of anybody's.
                drop(task)
            _go_without(worker, task, stage, piece, claim, error)
    except Cancelled:
        drop(task)
    except HandedBack as stopping:
        _hand_back(worker, task, piece, claim, stopping)
    worker.store.events.changed(piece.job_id)


def _go_without(worker: Worker, task: AnyTask, stage: Stage, piece: Piece, claim: str, error: Exception) -> None:
    """Try again what may pass by itself. What does not fails the job, unless the stage knows how to go on."""
    try:
        _explain(worker, task, piece, claim, error)
    except (TaskPredicate, Cancelled, HandedBack, *AWAY):
        raise
    except Exception as final:
        if stage.otherwise is None:
            raise
        ours = not isinstance(final, InputError | OptionsError)
        log.error("%s of job %s is given up", stage.name, piece.job_id, exc_info=final if ours else None)
        code, detail = describe(final)
        try:
            _do(worker, stage.after(LonghandError(detail, code=code)), piece, claim)
        except (Cancelled, HandedBack):
            raise
        except Exception as error:
            _explain(worker, task, piece, claim, error)


def _explain(worker: Worker, task: AnyTask, piece: Piece, claim: str, error: Exception) -> NoReturn:
    """Try again what may pass by itself; raise everything else as what it is."""
    if not isinstance(error, AWAY) and worker.store.files.away():
        # Whatever it looked like (a file that is missing, a recording that cannot be read): the disk is gone.
        error = StorageAway("the place where files are kept is not there")
    if isinstance(error, OSError) and error.errno in FULL:
        # What a stage writes is on the worker's disk until it is kept.
        error = StorageFull() if worker.store.files.local else ScratchFull()
    if isinstance(error, (TransientError, StorageFull, MemoryError, *AWAY)):
        _try_again(worker, task, piece, claim, error)
    if _out_of_time(error):
        hours = worker.settings.task_timeout_seconds / 3600
        raise EngineError(f"The step “{piece.stage}” took longer than {hours:.3g} h.", code="timeout") from error
    raise error


def _unwanted(worker: Worker, piece: Piece, claim: str) -> bool:
    try:
        return not steps.alive(worker.store.database, piece, claim)
    except AWAY:
        return False


def _do(worker: Worker, stage: Stage, piece: Piece, claim: str) -> None:
    store = worker.store
    job = jobs.get(store.database, piece.job_id)
    if job is None:
        raise Cancelled("The job was deleted.")
    scratch = worker.scratch(piece, claim)
    watching = Watch(store, piece, claim, alive_seconds=worker.settings.lease_renewal_seconds, scratch=scratch)
    sums = {SOURCE: job.source_sha256} if job.source_sha256 else {}
    with WorkFiles(store.files, stage, piece, scratch, sums=sums) as files, watching as watch:
        stage.run(files, stage.pick(job.options), watch, **worker.tools(stage))
        # Whoever was away so long that another took over must not write over the other's files.
        if not outlast(lambda: steps.alive(store.database, piece, claim)):
            raise Cancelled("The job was cancelled.")
        outlast(files.keep)
    if stage.describes:
        outlast(lambda: _describe(store, piece.job_id, str(stage.describes)))
    won = outlast(lambda: steps.done(store.database, piece, claim))
    if outlast(lambda: jobs.status(store.database, piece.job_id)) is None:
        # Deleted while the files were being kept; upkeep would find them only after a day.
        store.files.delete(piece.job_id)
    if not won:
        raise Cancelled("Somebody else does this work.")


def _describe(store: Store, job_id: str, name: str) -> None:
    """Take what a stage found out over into the record."""
    facts = json.loads(store.files.read(job_id, name))
    jobs.describe(store.database, job_id, facts)
    if "duration" in facts and usage.used_up(store.database, job_id):
        # At submission nobody knew how long it is.
        detail = "The audio that the API key has for a day is used up; try the job again after midnight UTC."
        raise OptionsError(detail, code="rate_limited")


def _try_again(worker: Worker, task: AnyTask, piece: Piece, claim: str, error: BaseException) -> NoReturn:
    """Free the step and deliver the message again later, unless it was tried often enough."""
    ours = isinstance(error, AWAY)
    if isinstance(error, StorageFull):
        detail = "The disk that recordings are kept on is full; the operator must make room."
        error = TransientError(detail, code="storage_full")
    elif isinstance(error, MemoryError):
        # Celery's parent process does not survive a MemoryError that reaches it.
        error = TransientError("The worker has too little memory for this recording.", code="out_of_memory")
    try:
        if not ours and steps.attempts(worker.store.database, piece) >= worker.settings.max_attempts:
            raise error
        # Outages of our own servers say nothing about the recording, and must not use up its attempts.
        reason = "outage" if ours else error.code if isinstance(error, LonghandError) else "internal"
        outlast(lambda: steps.release(worker.store.database, piece, claim, refund=ours, reason=reason))
    except AWAY as away:
        log.warning("%s is not freed now, but will be when it is found abandoned: %s", piece, away)
    log.warning("%s of job %s is tried again: %s", piece.stage, piece.job_id, error)
    again(task, backoff(task), error)


def _hand_back(worker: Worker, task: AnyTask, piece: Piece, claim: str, stopping: HandedBack) -> NoReturn:
    """Free the step and put the message back on the queue; the start does not count."""
    try:
        steps.release(worker.store.database, piece, claim, refund=True, reason="handed_back")
    except AWAY as away:
        log.warning("%s is not freed now, but will be when it is found abandoned: %s", piece, away)
    log.info("%s of job %s is handed back", piece.stage, piece.job_id)
    again(task, 0.0, stopping)


def _go_on(worker: Worker, task: AnyTask, piece: Piece, *, done_before: bool) -> None:
    """Send on the job: its next chunks, or what comes after the last."""
    info = task.request.delivery_info or {}
    if done_before and (info.get("redelivered") or task.request.retries):
        # Whoever did the work died, or was cut off, while sending on the job: what of that arrived nobody knows.
        worker.flow.submit(piece.job_id)
    else:
        worker.flow.advance(piece.job_id)


def _finish(worker: Worker, job_id: str) -> None:
    store = worker.store
    status = jobs.status(store.database, job_id)
    temporary = [name for stage in worker.stages.values() for name in stage.temporary]
    if status == "done":
        # An earlier delivery may have died between finishing and tidying up.
        store.files.remove(job_id, *temporary)
    if status not in ACTIVE:
        return
    if jobs.finish(store.database, job_id):
        worker.clear_scratch(job_id)
        store.events.forget(job_id)
        store.events.changed(job_id)
        webhooks.tell(worker.flow, job_id)
        worker.flow.ended(job_id)
        store.files.remove(job_id, *temporary)
    else:
        worker.flow.submit(job_id)


def _out_of_time(error: BaseException | None) -> bool:
    """Whether the time limit is what an error comes from; libraries like to wrap it in one of theirs."""
    while error is not None and not isinstance(error, SoftTimeLimitExceeded):
        error = error.__cause__ or error.__context__
    return error is not None
