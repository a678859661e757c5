"""What beat does again and again: send on what stands still, delete what has expired."""

import logging
from collections.abc import Callable, Iterable

from store import jobs, steps
from tasks.app import AnyTask
from tasks.worker import Worker

log = logging.getLogger(__name__)

ABANDONED_SECONDS = 180.0
"""Running work without a sign of life for this long is freed, should its message be lost as well."""


def register(worker: Worker) -> None:
    """Make the task."""

    @worker.app.task(name="job.upkeep", bind=True)
    def upkeep(_: AnyTask) -> None:
        sweep(worker)


def sweep(worker: Worker) -> None:
    """Look after all jobs once; two at a time do no harm."""
    store = worker.store
    emptied = store.events.emptied()
    if emptied:
        # The queues are gone with everything else in Redis; the record is not.
        _each("submit", jobs.unfinished(store.database), worker.flow.submit)
        store.events.remember()
    abandoned = steps.stale(store.database, seconds=ABANDONED_SECONDS)
    _each("submit", abandoned, worker.flow.submit)
    if worker.settings.retention_days:
        expired = jobs.expired(store.database, days=worker.settings.retention_days)

        def delete(job_id: str) -> None:
            # Files first: a row without files can be deleted again, files without a row are found by nobody.
            store.files.delete(job_id)
            worker.clear_scratch(job_id)
            jobs.delete_record(store.database, job_id)

        _each("delete", expired, delete)


def _each(what: str, job_ids: Iterable[str], action: Callable[[str], None]) -> None:
    for job_id in job_ids:
        try:
            action(job_id)
        except Exception:  # one bad row must not stop the sweep; the next sweep tries again
            log.exception("upkeep could not %s job %s", what, job_id)
        else:
            log.info("upkeep: %s job %s", what, job_id)
