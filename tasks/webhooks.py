"""Tells whoever asked for it that a job is over.

What is to be told stands in the record (``store.deliveries``); a message only says that something may be due. So an
emptied queue loses nothing: ``webhook.due`` looks again and again.
"""

import json
import logging
import random
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from config import tracing
from config.settings import Settings
from config.version import program_version
from store import deliveries, jobs, keys, views
from store.models import Delivery
from tasks import rabbit
from tasks.app import NET, AnyTask
from tasks.flow import Flow
from tasks.posting import Outcome, post
from tasks.threads import HandedBack

if TYPE_CHECKING:
    from tasks.worker import Worker

log = logging.getLogger(__name__)

AWAY = (BrokerError, RedisError, OperationalError, PoolTimeout)
SOON_SECONDS = 60.0
"""A try that is due within this time gets a message that waits for it; later ones are found."""
MAX_RETRY_AFTER = 6 * 3600.0
"""A server may ask to be left alone for this many seconds."""
_NO_SECRET = "Nothing signs webhooks here any more: set WEBHOOK_SECRET, then send it again."  # noqa: S105  # a sentence
_OURS = "Something went wrong on our side; the operator finds the reason in the worker's log."


def register(worker: "Worker") -> None:
    """Make the tasks."""
    places = Places(max(1, worker.settings.net_threads // 2))

    @worker.app.task(name="webhook.deliver", soft_time_limit=45, time_limit=60)
    def send(delivery_id: str) -> None:
        """Try a delivery once."""
        if not places.take():
            return
        try:
            deliver(worker, delivery_id)
        except HandedBack:
            log.info("delivery %s is tried again within two minutes: this worker stops", delivery_id)
        except AWAY as error:
            log.warning("delivery %s is tried again later: %s", delivery_id, type(error).__name__)
        finally:
            crowded = places.give_back()
        if crowded:
            tell(worker.flow, limit=places.count)

    @worker.app.task(name="webhook.due", bind=True)
    def due(_: AnyTask) -> None:
        """Send what is due."""
        try:
            deliveries.give_up(worker.store.database)
            for delivery_id in deliveries.due(worker.store.database):
                # Those that are still waiting for a worker then are overtaken by later ones.
                _message(worker.flow, delivery_id, expires=SOON_SECONDS)
        except AWAY as error:
            log.warning("what is due is sent a little later: %s", type(error).__name__)


class Places:
    """How many deliveries one process makes at once: receivers that hang must leave threads for everything else."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count)
        self._crowded = threading.Event()

    def take(self) -> bool:
        """Whether there was one. Whoever gets none need not wait: what is due stands in the record."""
        if self._free.acquire(blocking=False):
            return True
        self._crowded.set()
        return False

    def give_back(self) -> bool:
        """Whether somebody was refused since this was last asked, so that the record must be asked what is due."""
        self._free.release()
        crowded = self._crowded.is_set()
        self._crowded.clear()
        return crowded


def tell(flow: Flow, job_id: str | None = None, *, limit: int = 100) -> None:
    """Have what is due, of one job or at all, told at once. Best effort: what is not told now is told soon."""
    try:
        for delivery_id in deliveries.due(flow.store.database, job_id=job_id, limit=limit):
            _message(flow, delivery_id)
    except AWAY as error:
        log.warning("the end of job %s is told a little later: %s", job_id or "…", type(error).__name__)


def deliver(worker: "Worker", delivery_id: str) -> None:
    """Try a delivery once, if it is due, and see to the next one for the same server."""
    database = worker.store.database
    delivery = deliveries.claim(database, delivery_id)
    if delivery is None:
        return
    structlog.contextvars.bind_contextvars(job=delivery.job_id)
    began = time.time()
    try:
        outcome = _try(worker, delivery)
    except (HandedBack, *AWAY):
        raise
    except Exception:  # whatever it is, it must not be tried for ever
        log.exception("delivery %s could not be made", delivery_id)
        outcome = Outcome(error=_OURS)
    _trace(worker, delivery, outcome, began)
    _settle(worker, delivery, outcome)
    for following in deliveries.due(database, endpoint=delivery.endpoint):
        _message(worker.flow, following)


def next_try(since: datetime, at: datetime, *, retry_after: float | None = None) -> datetime | None:
    """When to try again what failed; None: never.

    The pauses grow with the time that has passed: 5 s, then about 12 s, 30 s, 80 s, 3 min, 8 min, 20 min … 14 h.

    Args:
        since: When the first try was due.
        at: Now.
        retry_after: Seconds that the server asked for.
    """
    end = since + timedelta(hours=deliveries.GIVE_UP_HOURS)
    passed = max((at - since).total_seconds(), 0.0)
    pause = (5.0 + 1.5 * passed) * random.uniform(0.8, 1.2)  # noqa: S311  # spreading, not secrecy
    if at + timedelta(seconds=pause) > end:
        return None
    asked = min(retry_after or 0.0, MAX_RETRY_AFTER)
    return min(at + timedelta(seconds=max(pause, asked)), end)


def _try(worker: "Worker", delivery: Delivery) -> Outcome:
    from standardwebhooks import Webhook

    job = jobs.get(worker.store.database, delivery.job_id)
    if job is None:
        return Outcome(error="The job was deleted.", final=True)
    if job.request_id:
        structlog.contextvars.bind_contextvars(request_id=job.request_id)
    secret = _secret(worker, job.owner)
    if secret is None:
        return Outcome(error=_NO_SECRET)
    weights = {stage.name: stage.weight for stage in worker.stages.values()}
    shown = views.job_view(worker.store, job, weights=weights, base=base_address(worker.settings))
    body = json.dumps({"type": delivery.event, "timestamp": views.timestamp(delivery.created_at), "data": shown})
    at = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": f"Longhand/{program_version()}",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery.id, at, body),
        **({"x-request-id": job.request_id} if job.request_id else {}),
    }
    return post(delivery.url, body.encode(), headers, allow_private=worker.settings.allow_private_urls)


def _trace(worker: "Worker", delivery: Delivery, outcome: Outcome, began: float) -> None:
    failed = None if outcome.error is None else "refused" if outcome.status is not None else "unanswered"
    about = {"delivery": delivery.id, "event": delivery.event, "status": outcome.status, "worker": worker.name}
    attributes = {f"longhand.{name}": value for name, value in about.items()}
    tracing.emit(delivery.job_id, "webhook", start=began, end=time.time(), failed=failed, attributes=attributes)


def _secret(worker: "Worker", owner: str) -> str | None:
    """What signs the webhooks of an owner's jobs, also if the key was revoked since."""
    key = keys.get(worker.store.database, owner)
    if key is not None:
        return key.webhook_secret
    secret = worker.settings.webhook_secret
    return secret.get_secret_value() if secret else None


def base_address(settings: Settings) -> str:
    """What links begin with where there is no request to tell."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = settings.bind_host.strip("[]")
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  # compared, not bound to
        host = socket.gethostname()
    return f"http://[{host}]:{settings.bind_port}" if ":" in host else f"http://{host}:{settings.bind_port}"


def _settle(worker: "Worker", delivery: Delivery, outcome: Outcome) -> None:
    database, name = worker.store.database, delivery.id
    if outcome.error is None and outcome.status is not None:
        deliveries.arrived(database, delivery, response_status=outcome.status)
        log.info("delivery %s (%s of job %s) arrived", name, delivery.event, delivery.job_id)
        return
    at = datetime.now(UTC)
    again = None if outcome.final else next_try(delivery.since_at, at, retry_after=outcome.retry_after)
    error = outcome.error or _OURS
    deliveries.missed(database, delivery, error=error, response_status=outcome.status, due_at=again)
    answer = f"answer {outcome.status}" if outcome.status else "no answer"
    what = "given up" if again is None else "to be tried again"
    log.info("delivery %s (%s of job %s): %s, %s", name, delivery.event, delivery.job_id, answer, what)
    if again is not None and (pause := (again - at).total_seconds()) <= SOON_SECONDS:
        # A little late rather than a little early, when it would not be due yet.
        _message(worker.flow, name, **rabbit.later(worker.app, NET, pause + 0.1))


def _message(flow: Flow, delivery_id: str, **options: Any) -> None:
    signature: Any = flow.app.signature("webhook.deliver", args=[delivery_id], immutable=True, queue=NET)
    # Before recordings that wait to be fetched: a delivery takes seconds.
    signature.apply_async(priority=rabbit.priority(flow.app, 0), **options)
