"""What is left of a job, put on the queues.

This is the only place that decides what runs next. It asks the record, never Celery: so ``submit`` can be called at any
time, by anybody, again. The web process calls it for a new job, upkeep when a job stands still; a worker calls
``advance`` when a run of stages or a chunk is done. Work that was queued twice is claimed once (``store.steps.begin``).

    submit ─▶ chain(normalise, chunk, detect_language)                a run of stages, one after the other
    its last stage: advance ─▶ transcribe(0), transcribe(1)           a stage with `each`: one message a chunk, a few
    each chunk: advance ─▶ transcribe(2)                              at a time
    the last chunk: advance ─▶ chain(merge, export, finish)

A job goes only when it is its account's turn (``store.turns``); until then nothing of it is on a queue.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

from celery import Celery, chain, signals
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from config.settings import Settings
from pipelines.stage import Stage, discover
from store import Store, jobs, standing, steps, turns
from store.figures import BEHIND, REQUEST_ID, SENT_AT, QueueFigures
from store.file_errors import StorageAway
from store.models import ACTIVE, WHOLE, Job
from tasks import rabbit
from tasks.app import CPU, NET, make_app
from tasks.capacity import Capacity
from tasks.order import ready, run_from

log = logging.getLogger(__name__)

LARGE_BYTES = 16 << 20
"""A recording of this size keeps a process busy for seconds, one of many hours for minutes, until it is in chunks."""


_MISSING = "What the job needs to go on is missing on the server; send the recording again."


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
        capacity: How much may be on the queues at the same time.
    """

    def __init__(self, app: Celery, store: Store, stages: Mapping[str, Stage], capacity: Capacity) -> None:
        self.app = app
        self.store = store
        self.stages = stages
        self.capacity = capacity

    def submit(self, job_id: str) -> None:
        """Queue whatever of this job can run now, also what was queued before: that may be lost.

        Does nothing if the job is over, or gone. If it is not its turn, it is queued when it is.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        self._go(job_id, anew=True)

    def advance(self, job_id: str) -> None:
        """Queue what can run now because something of this job is done; what is queued already is not queued again.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        self._go(job_id, anew=False)

    def take_up(self, job_id: str) -> None:
        """Submit a job that stands still; one that cannot be sent, outages aside, fails instead of standing for ever.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        try:
            self.submit(job_id)
        except (QueueUnavailable, SQLAlchemyError, StorageAway):
            raise
        except Exception:
            log.exception("job %s cannot be queued", job_id)
            self._give_up(job_id)

    def admit(self, owner: str) -> None:
        """Queue the jobs of an account whose turn it is.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        with _reaching():
            self._begin(turns.give(self.store.database, owner, limits=self.capacity.turns()))

    def ended(self, job_id: str) -> None:
        """Let another job have the turn of one that is over. Best effort: what fails here upkeep does."""
        try:
            if (owner := turns.account_of(self.store.database, job_id)) is not None:
                self.admit(owner)
        except (QueueUnavailable, SQLAlchemyError, StorageAway) as error:
            log.warning("whose turn it is after job %s is seen to later: %s", job_id, type(error).__name__)

    def check(self) -> None:
        """Find out whether work can be queued now, before it is promised.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        with _reaching():
            if rabbit.is_broker(self.app):
                rabbit.ask(self.app)
                return
            with self.app.producer_or_acquire() as producer:
                producer.connection.ensure_connection(max_retries=1, interval_start=0, reraise_as_library_errors=True)
                # Redis is asked: its transport would find out only with the first message.
                if (client := getattr(producer.channel, "client", None)) is not None:
                    client.ping()

    def waiting(self) -> int:
        """Messages on all queues.

        Raises:
            QueueUnavailable: The broker cannot be reached.
        """
        with _reaching():
            if rabbit.is_broker(self.app):
                return sum(one.messages for one in rabbit.look(self.app, list(self.app.amqp.queues)).waiting)
            with self.app.connection_for_read() as connection, connection.channel() as channel:
                ask: Any = channel
                return sum(ask.queue_declare(name).message_count for name in self.app.amqp.queues)

    def figures(self) -> QueueFigures | None:
        """What waits on RabbitMQ; None where the broker is Redis, which ``store.figures.Queues`` looks at.

        Raises:
            kombu.exceptions.OperationalError: It cannot be asked.
        """
        return rabbit.look(self.app, sorted(self.app.amqp.queues)) if rabbit.is_broker(self.app) else None

    def _go(self, job_id: str, *, anew: bool) -> None:
        job = jobs.get(self.store.database, job_id)
        if job is None or job.status not in ACTIVE:
            return
        if unknown := [name for name in job.stages if name not in self.stages]:
            detail = f"This installation no longer has the stage “{unknown[0]}”; send the recording again."
            self._give_up(job.id, detail, stage=unknown[0])
            self.ended(job.id)
            return
        with _reaching():
            lane = self._lane(job)
            if job.lane == lane and job.admitted_at is not None:
                self._send(job, anew=anew)
            else:
                self._begin(turns.ask(self.store.database, job.id, lane, limits=self.capacity.turns()), job.id)

    def _lane(self, job: Job) -> str:
        """What a job needs a turn for."""
        planned = {name: self.stages[name] for name in job.stages}
        finished = steps.finished(self.store.database, job.id)
        queues = {head.queue for head in ready(planned, finished)}
        if job.lane == turns.WORK:
            return turns.WORK
        if queues == {NET} and job.lane in (None, turns.NET):
            return turns.NET
        # What somebody waits for is not one of many, however large it is.
        large = job.source_bytes >= LARGE_BYTES and job.priority != "high"
        whole = any(stage.each and stage.name not in finished for stage in planned.values())
        return turns.PREPARE if large and whole and CPU in queues else turns.WORK

    def _begin(self, job_ids: Sequence[str], own: str | None = None) -> None:
        """Queue jobs that have got their turn just now; what is wrong with others than ``own`` is not the caller's."""
        wrong: Exception | None = None
        for n, job_id in enumerate(job_ids):
            try:
                job = jobs.get(self.store.database, job_id)
                if job is not None and job.status in ACTIVE:
                    self._send(job, anew=True)
            except (BrokerError, RedisError, SQLAlchemyError, StorageAway):
                turns.give_back(self.store.database, job_ids[n:])
                raise
            except Exception as error:
                if job_id == own:
                    wrong = error
                else:
                    log.exception("job %s cannot be queued", job_id)
                    self._give_up(job_id)
        if wrong is not None:
            raise wrong

    def _give_up(self, job_id: str, detail: str = _MISSING, *, stage: str | None = None) -> None:
        """End a job that cannot go on; its turn the caller sees to, or upkeep: this may run while turns are given."""
        if jobs.fail(self.store.database, job_id, code="internal", detail=detail, stage=stage):
            self.store.events.forget(job_id)
            self.store.events.changed(job_id)

    def _send(self, job: Job, *, anew: bool) -> None:
        planned = {name: self.stages[name] for name in job.stages}
        finished = steps.finished(self.store.database, job.id)
        for head in ready(planned, finished):
            if head.each:
                self._chunks(job, head, anew=anew)
            else:
                self._chain(job, run_from(head, planned, finished), planned, finished, anew=anew)
        # A stage over no chunks at all is done the moment it is scattered: go on from there.
        if now_finished := steps.finished(self.store.database, job.id) - finished:
            if ready(planned, finished | now_finished) or finished | now_finished >= set(planned):
                self._send(job, anew=anew)
        elif finished >= set(planned):
            self._message("job.finish", job, CPU).apply_async()
            standing.submitted(self.store.database, job.id)

    def _chunks(self, job: Job, stage: Stage, *, anew: bool) -> None:
        """Send the next chunks of a stage, as many as may be on the queue."""
        database = self.store.database
        whole = next(step for step in job.steps if step.stage == stage.name and step.item == WHOLE)
        if whole.total is None:
            count = len(json.loads(self.store.files.read(job.id, stage.each or ""))["chunks"])
            steps.scatter(database, job.id, stage.name, count=count)
        items = steps.take_next(database, job.id, stage.name, window=self.capacity.window(stage.queue), anew=anew)
        for n, item in enumerate(items):
            # As in `steps.begin`: a stage waits until its first chunk begins.
            behind = n > 0 or whole.status != "pending"
            try:
                self._message(f"stage.{stage.name}", job, stage.queue, item, behind=behind).apply_async()
            except BaseException:
                steps.give_back(database, job.id, stage.name, items[n:])
                raise

    def _chain(
        self,
        job: Job,
        run: Sequence[Stage],
        planned: Mapping[str, Stage],
        finished: AbstractSet[str],
        *,
        anew: bool,
    ) -> None:
        """Send a run of stages, at whose end the last of them advances the job."""
        if not steps.take_whole(self.store.database, job.id, run[0].name, anew=anew):
            return
        links = [self._message(f"stage.{s.name}", job, s.queue) for s in run]
        if finished | {s.name for s in run} >= set(planned):
            links.append(self._message("job.finish", job, CPU))
        try:
            chain(*links).apply_async()
        except BaseException:
            steps.give_back(self.store.database, job.id, run[0].name, [WHOLE])
            raise

    def _message(self, name: str, job: Job, queue: str, item: int = WHOLE, *, behind: bool = False) -> Any:
        args = [job.id] if item == WHOLE else [job.id, item]
        priority = rabbit.priority(self.app, jobs.PRIORITIES[job.priority])
        # Whoever sends it, now or again: the log of its work is that of the request that set the job going.
        headers: dict[str, Any] = {REQUEST_ID: job.request_id} if job.request_id else {}
        headers |= {BEHIND: True} if behind else {}
        return self.app.signature(name, args=args, immutable=True, queue=queue, priority=priority, headers=headers)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (BrokerError, RedisError) as error:
        raise QueueUnavailable("the queue cannot be reached") from error


def open_flow(settings: Settings, store: Store) -> Flow:
    """The flow for a process that sends work and runs none."""
    stages = discover(settings.plugins)
    return Flow(make_app(settings, stages, sends_only=True), store, stages, Capacity(store.events, settings))
