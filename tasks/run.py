"""One thin task per stage: begin → fetch → run → keep → done."""

import logging
import random
import time
from typing import Any, NoReturn

from celery.exceptions import Ignore, SoftTimeLimitExceeded
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError

from pipelines.documents import Media, Transcript
from pipelines.errors import Cancelled, EngineError, TransientError
from pipelines.stage import Stage
from store import jobs, steps
from store.files import StorageFull
from store.models import ACTIVE, WHOLE
from store.steps import Begin
from tasks.app import AnyTask
from tasks.flow import QueueUnavailable
from tasks.outcome import lost_child_request
from tasks.watch import STALE_SECONDS, Watch
from tasks.worker import Worker
from tasks.workfiles import WorkFiles

log = logging.getLogger(__name__)

AWAY = (OperationalError, RedisError, QueueUnavailable, ConnectionError)
"""Our own servers are not there for a moment."""
TAKEN_SECONDS = 3.0
"""When to look again at work that an earlier delivery of the same message seems to be doing."""


def register(worker: Worker) -> None:
    """Make the tasks: one per stage, named after it, and those that move a job along."""
    for stage in worker.stages.values():
        _register_stage(worker, stage)

    @worker.app.task(name="job.advance", bind=True, max_retries=None)
    def advance(task: AnyTask, job_id: str) -> None:
        _patiently(task, lambda: worker.flow.submit(job_id))

    @worker.app.task(name="job.finish", bind=True, max_retries=None)
    def finish(task: AnyTask, job_id: str) -> None:
        _patiently(task, lambda: _finish(worker, job_id))


def _register_stage(worker: Worker, stage: Stage) -> None:
    @worker.app.task(name=f"stage.{stage.name}", bind=True, max_retries=None, Request=lost_child_request(worker))
    def run(task: AnyTask, job_id: str, item: int = WHOLE) -> None:
        begun = _begin(worker, task, stage, job_id, item)
        if begun is Begin.RUN:
            _run(worker, task, stage, job_id, item)
        if item != WHOLE and stage.name in steps.finished(worker.store.database, job_id):
            # The last chunk sends the job on. If two are last at once both do, and the work is claimed once.
            _patiently(task, lambda: worker.flow.submit(job_id))

    run.__doc__ = stage.title


def _begin(worker: Worker, task: AnyTask, stage: Stage, job_id: str, item: int) -> Begin:
    try:
        begun = steps.begin(
            worker.store.database,
            job_id,
            stage.name,
            item,
            task_id=_id(task),
            worker=task.request.hostname or worker.name,
            max_attempts=worker.settings.max_attempts,
            stale_seconds=STALE_SECONDS,
        )
    except AWAY as error:
        raise task.retry(exc=error, countdown=_backoff(task)) from error
    if begun is Begin.EXHAUSTED:
        times = worker.settings.max_attempts
        raise EngineError(
            f"The step “{stage.name}” was started {times} times and ended its worker every time; the recording may "
            "be damaged in a way that crashes the decoder, or the worker has too little memory.",
            code="worker_lost",
        )
    if begun is Begin.TAKEN and steps.is_mine(worker.store.database, job_id, stage.name, item, _id(task)):
        # Delivered again while the first delivery's worker may still live: wait until that is certain.
        raise task.retry(countdown=TAKEN_SECONDS)
    if begun in {Begin.TAKEN, Begin.OVER}:
        # Not this message's business any more; a chain behind it must not go on either.
        _drop(task)
    return begun


def _run(worker: Worker, task: AnyTask, stage: Stage, job_id: str, item: int) -> None:
    store, task_id, began = worker.store, _id(task), time.monotonic()
    try:
        job = jobs.get(store.database, job_id)
        if job is None:
            _drop(task)
        scratch = worker.scratch(job_id) / f"{stage.name}-{item}-{task_id}"
        files = WorkFiles(store.files, stage, job_id, item, scratch)
        with Watch(store, job_id, stage.name, item, task_id) as watch:
            stage.run(files, stage.pick(job.options), watch, **worker.tools(stage))
            files.keep()
        if "media.json" in stage.writes:
            media = Media.model_validate_json(store.files.open(job_id, "media.json").read())
            jobs.describe(store.database, job_id, duration=media.duration, source_format=media.format)
        steps.done(store.database, job_id, stage.name, item, task_id=task_id)
        chunk = f" {item}" if item != WHOLE else ""
        log.info("%s%s of job %s took %.2f s", stage.name, chunk, job_id, time.monotonic() - began)
    except Cancelled:
        worker.clear_scratch(job_id)
        _drop(task)
    except MemoryError as error:
        # Celery's parent process does not survive a MemoryError that reaches it.
        _try_again(worker, task, stage, job_id, item, TransientError(str(error), code="out_of_memory"))
    except SoftTimeLimitExceeded as error:
        hours = worker.settings.task_timeout_seconds / 3600
        raise EngineError(f"The step “{stage.name}” took longer than {hours:.3g} h.", code="timeout") from error
    except (TransientError, StorageFull, *AWAY) as error:
        _try_again(worker, task, stage, job_id, item, error)
    store.events.changed(job_id)


def _try_again(worker: Worker, task: AnyTask, stage: Stage, job_id: str, item: int, error: Exception) -> None:
    """Free the step and deliver the message again later, unless it was tried often enough."""
    if isinstance(error, StorageFull):
        error = TransientError("The disk that recordings are kept on is full.", code="storage_full")
    if isinstance(error, TransientError) and task.request.retries + 1 >= worker.settings.max_attempts:
        raise error
    log.warning("%s of job %s is tried again: %s", stage.name, job_id, error)
    steps.release(worker.store.database, job_id, stage.name, item, task_id=_id(task))
    raise task.retry(exc=error, countdown=_backoff(task))


def _finish(worker: Worker, job_id: str) -> None:
    store = worker.store
    if jobs.status(store.database, job_id) not in ACTIVE:
        return
    with store.files.open(job_id, "transcript.json") as stream:
        transcript = Transcript.model_validate_json(stream.read())
    warnings = [warning.model_dump() for warning in transcript.warnings]
    if jobs.finish(store.database, job_id, language=transcript.language, warnings=warnings):
        # Twenty times the size of the recording, and made again from it in seconds.
        store.files.remove(job_id, "audio.wav")
        worker.clear_scratch(job_id)
        store.events.forget(job_id)
        store.events.changed(job_id)
    else:
        worker.flow.submit(job_id)


def _patiently(task: AnyTask, action: Any) -> None:
    try:
        action()
    except AWAY as error:
        raise task.retry(exc=error, countdown=_backoff(task)) from error


def _drop(task: AnyTask) -> NoReturn:
    """End this message here: its chain does not go on, and Flower is told that it is over."""
    task.send_event("task-revoked", terminated=False, signum=None, expired=False)
    raise Ignore()


def _id(task: AnyTask) -> str:
    return str(task.request.id)


def _backoff(task: AnyTask) -> float:
    """Seconds until the next try: 1, 2, 4 … 30, each varied so that a crowd does not return at once."""
    return float(min(2**task.request.retries, 30)) * random.uniform(0.75, 1.25)  # noqa: S311  # spreading, not secrecy
