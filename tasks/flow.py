"""What is left of a job, put on the queues.

``submit`` is the only place that decides what runs next. It asks the record, never Celery: so it can be called at
any time, by anybody, again. The web process calls it for a new job, a worker when a run of stages or the last chunk
is done, upkeep when a job stands still. Work that was queued twice is claimed once (``store.steps.begin``).

    submit ─▶ chain(normalise, chunk, detect_language, advance)       a run of stages, one after the other
    advance = submit ─▶ transcribe(0), transcribe(1), …               a stage with `each`: one message a chunk
    the last chunk: submit ─▶ chain(merge, export, finish)
"""

import json
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from celery import Celery, chain, signals
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from config.settings import Settings
from pipelines.stage import Stage, discover, needs_of
from store import Store, jobs, steps
from store.figures import SENT_AT
from store.models import ACTIVE, WHOLE, Job
from tasks.app import CPU, make_app


class QueueUnavailable(Exception):
    """The broker cannot be reached; nothing was queued, or not all of it."""


@signals.before_task_publish.connect(weak=False)
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    """Note in each message when it was sent, so that the queues show how long they hold up work."""
    headers[SENT_AT] = round(time.time(), 3)


class Flow:
    """Puts work on the queues.

    Args:
        app: The Celery app.
        store: The store.
        stages: All stages by name.
    """

    def __init__(self, app: Celery, store: Store, stages: Mapping[str, Stage]) -> None:
        self.app = app
        self.store = store
        self.stages = stages

    def submit(self, job_id: str) -> None:
        """Queue whatever of this job can run now. Does nothing if the job is over, or gone.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        job = jobs.get(self.store.database, job_id)
        if job is None or job.status not in ACTIVE:
            return
        try:
            self._submit(job)
        except (BrokerError, RedisError) as error:
            raise QueueUnavailable("the queue cannot be reached") from error
        jobs.submitted(self.store.database, job_id)

    def check(self) -> None:
        """Find out whether work can be queued now, before it is promised.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        try:
            with self.app.producer_or_acquire() as producer:
                producer.connection.ensure_connection(max_retries=1, interval_start=0, reraise_as_library_errors=True)
                # Redis is asked: its transport would find out only with the first message.
                if (client := getattr(producer.channel, "client", None)) is not None:
                    client.ping()
        except (BrokerError, RedisError) as error:
            raise QueueUnavailable("the queue cannot be reached") from error

    def waiting(self) -> int:
        """Messages on all queues.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        try:
            with self.app.connection_for_read() as connection, connection.channel() as channel:
                ask: Any = channel
                return sum(ask.queue_declare(name).message_count for name in self.app.amqp.queues)
        except (BrokerError, RedisError) as error:
            raise QueueUnavailable("the queue cannot be reached") from error

    def _submit(self, job: Job) -> None:
        if unknown := [name for name in job.stages if name not in self.stages]:
            detail = f"This installation no longer has the stage “{unknown[0]}”; send the recording again."
            jobs.fail(self.store.database, job.id, code="internal", detail=detail, stage=unknown[0])
            return
        planned = {name: self.stages[name] for name in job.stages}
        finished = steps.finished(self.store.database, job.id)
        for head in ready(planned, finished):
            if head.each:
                self._scatter(job, head)
            else:
                self._chain(job, run_from(head, planned, finished), planned, finished)
        # A stage over no chunks at all is done the moment it is scattered: go on from there.
        if now_finished := steps.finished(self.store.database, job.id) - finished:
            if ready(planned, finished | now_finished) or finished | now_finished >= set(planned):
                self._submit(job)
        elif finished >= set(planned):
            self._message("job.finish", job, CPU).apply_async()

    def _scatter(self, job: Job, stage: Stage) -> None:
        with self.store.files.open(job.id, stage.each or "") as stream:
            count = len(json.load(stream)["chunks"])
        for item in steps.scatter(self.store.database, job.id, stage.name, count=count):
            self._message(f"stage.{stage.name}", job, stage.queue, item).apply_async()

    def _chain(self, job: Job, run: Sequence[Stage], planned: Mapping[str, Stage], finished: AbstractSet[str]) -> None:
        links = [self._message(f"stage.{s.name}", job, s.queue) for s in run]
        all_done = finished | {s.name for s in run} >= set(planned)
        chain(*links, self._message("job.finish" if all_done else "job.advance", job, CPU)).apply_async()

    def _message(self, name: str, job: Job, queue: str, item: int = WHOLE) -> Any:
        args = [job.id] if item == WHOLE else [job.id, item]
        return self.app.signature(name, args=args, immutable=True, queue=queue, priority=jobs.PRIORITIES[job.priority])


def ready(planned: Mapping[str, Stage], finished: AbstractSet[str]) -> list[Stage]:
    """The stages that are not done although everything they read is there, in order."""
    return [s for s in planned.values() if s.name not in finished and needs_of(s, planned) <= finished]


def run_from(head: Stage, planned: Mapping[str, Stage], finished: AbstractSet[str]) -> list[Stage]:
    """A stage and those that can follow it one by one, up to the next that must wait for something else."""
    run = [head]
    for s in planned.values():
        needs = needs_of(s, planned)
        if not s.each and run[-1].name in needs and needs <= finished | {r.name for r in run}:
            run.append(s)
    return run


def open_flow(settings: Settings, store: Store) -> Flow:
    """The flow for a process that sends work and runs none."""
    stages = discover(settings.plugins)
    return Flow(make_app(settings, stages, sends_only=True), store, stages)
