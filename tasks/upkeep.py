"""What beat does again and again: send on what stands still, delete what has expired."""

import contextlib
import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from store import Store, idempotency, jobs, ownership, standing, steps, turns, uploads
from store.files import HERE
from store.forgotten import abandon, forgotten, old_probes
from store.models import ACTIVE
from tasks import rabbit, unserved
from tasks.again import AWAY
from tasks.app import AnyTask
from tasks.worker import Worker

log = logging.getLogger(__name__)

ABANDONED_TIMEOUTS = 3
"""Running work without a sign of life for this many visibility timeouts is freed, should its message be lost as well:
long enough for the queue to give the message out again first."""
STANDING_SECONDS = 60.0
"""A job that nobody works on, queued this long ago, is queued again if no queue holds anything: its message is lost."""
STANDING_LONG_SECONDS = 900.0
"""The same where queues hold something, which may be its message: a second one does no harm, many would."""
UNSENT_SECONDS = 30.0
"""A job of which nothing was ever sent by then is sent now, whatever the queues hold: none of it can be its message."""
TEMPORARY_SECONDS = (3600.0, 25 * 3600.0)
"""What nobody wants of a job that failed or was cancelled is kept for the first of these, in case it is tried again,
and removed by any sweep until the second."""
FORGOTTEN_SECONDS = 24 * 3600.0
"""Files that belong to no job and have not changed for this long are what is left of an upload or a run that died."""
DELETING_SECONDS = 10.0
"""How long one round deletes what has expired: others wait behind it, and the next round goes on in half a minute."""
OUTAGE = 3
"""So many in a row for which a server or a disk was not there: nor will it be for the rest, each of which may take long
to find that out."""


def register(worker: Worker) -> None:
    """Make the task."""

    @worker.app.task(name="job.upkeep", bind=True)
    def upkeep(_: AnyTask) -> None:
        _unless_away("upkeep", lambda: look_after_jobs(worker))

    @worker.app.task(name="job.sweep", bind=True)
    def sweep(_: AnyTask) -> None:
        _unless_away("the sweep", lambda: remove_forgotten(worker))


def _unless_away(what: str, action: Callable[[], None]) -> None:
    """Do it, or leave it to the next time: a line a time is enough in the log of an outage."""
    try:
        action()
    except AWAY as error:
        log.warning("%s waits for the next time: %s", what, type(error).__name__)


def look_after_jobs(worker: Worker) -> None:
    """Look after all jobs once; two at a time do no harm."""
    store = worker.store
    on_rabbit = rabbit.is_broker(worker.app)
    if rabbit.emptied(worker.app) if on_rabbit else store.events.emptied():
        # The queues are gone with everything else on the broker; the record is not.
        _each("submit job", standing.unfinished(store.database), worker.flow.take_up)
        rabbit.remember(worker.app) if on_rabbit else store.events.remember()
    _each("submit job", _abandoned(worker), worker.flow.take_up)
    _each("submit job", standing.unsent(store.database, seconds=UNSENT_SECONDS), worker.flow.take_up)
    patience = STANDING_LONG_SECONDS if worker.flow.waiting() else STANDING_SECONDS
    _each("submit job", standing.standing(store.database, seconds=patience), worker.flow.take_up)
    unserved.go_without(worker)
    # Whoever ended a job may have died before the next had its turn.
    _each("see whose turn it is of account", turns.waiting_accounts(store.database), worker.flow.admit)
    idempotency.expire(store.database)
    if worker.settings.retention_days:
        expired = standing.expired(store.database, days=worker.settings.retention_days)
        # In any order: what cannot be deleted does not keep back the rest.
        random.shuffle(expired)

        def delete(job_id: str) -> None:
            # Files first: a row without files can be deleted again, files without a row are found only after a day.
            store.files.delete(job_id)
            worker.clear_scratch(job_id)
            uploads.forget(store.database, job_id)
            jobs.delete_record(store.database, job_id)

        _each("delete job", expired, delete, seconds=DELETING_SECONDS)
    given_up = uploads.expired(store.database)
    _each("delete upload", given_up, lambda upload_id: _delete_upload(worker, upload_id), seconds=DELETING_SECONDS)
    store.events.looked_after()


def _abandoned(worker: Worker) -> list[str]:
    """Free the work that nobody is at any more; its jobs."""
    database = worker.store.database
    seconds = ABANDONED_TIMEOUTS * worker.settings.visibility_timeout_seconds
    if not (found := steps.silent(database, seconds=seconds)):
        return []
    # If the database was away, nobody could give a sign of life: now they can.
    time.sleep(2 * worker.settings.lease_renewal_seconds)
    return steps.free(database, found)


def remove_forgotten(worker: Worker) -> None:
    """Remove folders of files that belong to no job any more."""
    store = worker.store

    temporary = [name for stage in worker.stages.values() for name in stage.temporary]
    after, until = TEMPORARY_SECONDS
    ended = standing.ended_in_vain(store.database, after=until, before=after)
    _each("remove temporary files of", ended, lambda job_id: _remove_temporary(worker, job_id, temporary))
    before = time.time() - FORGOTTEN_SECONDS
    for folder in worker.settings.scratch.glob("*"):
        # A run may end, and take its folder along, while we look.
        with contextlib.suppress(FileNotFoundError):
            _remove_scratch(worker, folder, before)
    _remove_unknown(store)


def _remove_unknown(store: Store) -> None:
    """Remove what the record does not know, if it is sure that the files are those of this record."""

    def known(ids: Collection[str]) -> set[str]:
        return uploads.known(store.database, ids)

    def delete(job_id: str) -> None:
        if not known([job_id]):
            store.files.delete(job_id)

    seconds = FORGOTTEN_SECONDS
    try:
        if not ownership.claim(store.database, store.files, seconds=seconds, known=known):
            return
    except ownership.NotOurs as error:
        log.error("files that belong to no job are left where they are: %s", error)
        return
    _each("remove the files of", list(forgotten(store.files, seconds=seconds, known=known)), delete)
    store.files.remove(HERE, *old_probes(store.files, seconds=seconds))
    abandon(store.files, seconds=seconds)


def _remove_temporary(worker: Worker, job_id: str, names: list[str]) -> None:
    # It may have been tried again just now.
    if jobs.status(worker.store.database, job_id) in ("failed", "cancelled"):
        worker.store.files.remove(job_id, *names)


def _delete_upload(worker: Worker, upload_id: str) -> None:
    """Delete an upload whose time is over; if a job took it, the files are the job's."""
    if jobs.status(worker.store.database, upload_id) is None:
        worker.store.files.delete(upload_id)
    uploads.forget(worker.store.database, upload_id)


def _remove_scratch(worker: Worker, folder: Path, before: float) -> None:
    job_id = folder.name.split("-")[0]
    if folder.stat().st_mtime < before and jobs.status(worker.store.database, job_id) not in ACTIVE:
        shutil.rmtree(folder, ignore_errors=True)


def _each(what: str, found: Iterable[str], action: Callable[[str], None], *, seconds: float = math.inf) -> None:
    """Do it to each, for so long; what is left has its turn the next time."""
    end, in_vain = time.monotonic() + seconds, 0
    for one in found:
        try:
            action(one)
            in_vain = 0
        except AWAY as error:
            log.warning("upkeep could not %s %s, which waits for the next time: %s", what, one, type(error).__name__)
            in_vain += 1
        except Exception:  # one bad row must not stop the sweep; the next sweep tries again
            log.exception("upkeep could not %s %s", what, one)
        else:
            log.info("upkeep: %s %s", what, one)
        if time.monotonic() > end or in_vain == OUTAGE:
            return
