"""Jobs that wait for nothing but work they can do without, on a queue that nobody serves."""

import logging

from store import jobs, standing, steps
from store.figures import REQUEST_ID
from store.models import ACTIVE
from tasks.app import CPU
from tasks.flow import Flow
from tasks.order import ready
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
                send_on(worker.flow, job_id, stage.name)
            except Exception:  # one bad row must not stop the others; the next look tries again
                log.exception("job %s cannot go on without %s", job_id, stage.name)


def send_on(flow: Flow, job_id: str, name: str) -> None:
    """Have a job go on without a stage, if nothing else of it can run and that was not sent before."""
    database = flow.store.database
    job = jobs.get(database, job_id)
    if job is None or job.status not in ACTIVE or not flow.stages.keys() >= set(job.stages):
        return
    planned = {stage: flow.stages[stage] for stage in job.stages}
    waiting = [stage.name for stage in ready(planned, steps.finished(database, job_id))]
    if waiting == [name] and steps.take_whole(database, job_id, name):
        headers = {REQUEST_ID: job.request_id} if job.request_id else {}
        message = flow.app.signature("job.without", args=[job_id, name], immutable=True, queue=CPU, headers=headers)
        message.apply_async()
