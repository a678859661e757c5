"""Jobs that wait for nothing but work they can do without, on a queue that nobody serves."""

import logging

from store import standing
from tasks.worker import Worker

log = logging.getLogger(__name__)

UNSERVED_SECONDS = 900.0
"""For so long a queue without a worker is waited for; a restart, an update or a new machine takes less."""


def go_without(worker: Worker) -> None:
    """Have the jobs go on that wait for a stage whose queue has had no worker for long."""
    for stage in worker.stages.values():
        if stage.otherwise is None or worker.store.events.unserved_for(stage.queue) < UNSERVED_SECONDS:
            continue
        for job_id in standing.waiting_for(worker.store.database, stage.name):
            try:
                worker.flow.without(job_id, stage.name)
            except Exception:  # one bad row must not stop the others; the next look tries again
                log.exception("job %s cannot go on without %s", job_id, stage.name)
