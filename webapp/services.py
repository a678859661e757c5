"""What the routes work with, made once a process and found through the application."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore
from typing import cast

import structlog
from flask import current_app

from config.settings import Settings
from store import Store, figures, jobs
from store.listening import Listening
from store.models import ACTIVE
from store.tallies import Tallies
from store.tickets import Tickets
from store.waiters import Waiters
from tasks import webhooks
from tasks.flow import Flow
from webapp import api_check, diarising
from webapp.intake.options import OptionReader
from webapp.probes import Probes
from webapp.serving import PROBE, Serving
from webapp.waiting.departures import Departure, Departures

log = structlog.get_logger(__name__)

_KEY = "longhand"
BROKER = "rabbitmq"
"""The probe of the broker, where that is not Redis."""
DISK = "disk "
"""What the probe of a disk's room begins with; the place stands behind it."""


@dataclass(frozen=True)
class Services:
    """Settings, store, flow and what was derived from them at start."""

    settings: Settings
    store: Store
    flow: Flow
    options: OptionReader
    diarising: diarising.Diarising
    """Whether speakers can be told apart."""
    waiting: BoundedSemaphore
    """One place for each request that may wait at the same time; the other threads stay free for short requests."""
    listening: Listening
    """Wakes whoever waits for something to happen to a job."""
    waiters: Waiters
    """Counts those whose job ends when they leave."""
    tickets: Tickets
    """For those who listen without the key."""
    departures: Departures
    """Ends the jobs of those who left."""
    probes: Probes
    """The health checks: database, storage, workers."""
    serving: Serving
    """Who serves which queue."""
    queues: figures.Queues
    """A look at what waits on Celery's queues."""
    figures: Probes
    """What /metrics tells: record, queues, workers, Redis' memory, upkeep, requests, storage, disks."""
    requests: Tallies
    """Counts requests and how long they took, of all processes."""

    def queue_names(self) -> list[str]:
        """Every queue there is."""
        return sorted(self.flow.app.amqp.queues)


def make_services(settings: Settings, store: Store, flow: Flow) -> Services:
    """The services over an open store and flow."""
    waiters = Waiters(settings.redis_url)
    stage = flow.stages.get(diarising.STAGE)
    queues = figures.Queues(settings.redis_url)
    requests = Tallies(settings.redis_url, "http")
    probes = Probes(
        {
            "database": store.database.ping,
            "storage": store.files.check,
            "workers": store.events.workers,
            PROBE: lambda: store.events.served(sorted(flow.app.amqp.queues)),
            diarising.PROBE: lambda: bool(store.events.known([stage.queue]) if stage else []),
        }
        | ({BROKER: flow.check} if settings.broker_url else {})
    )
    told_apart = diarising.Diarising(settings.diarisation, probes, stage)
    return Services(
        settings=settings,
        store=store,
        flow=flow,
        options=OptionReader(flow.stages, settings, diarising=told_apart),
        diarising=told_apart,
        waiting=BoundedSemaphore(max(1, settings.web_threads * 3 // 4)),
        listening=Listening(settings.redis_url),
        waiters=waiters,
        tickets=Tickets(settings.redis_url, settings.api_key.get_secret_value() if settings.api_key else ""),
        departures=Departures(lambda left: waiters.expects(left.owner, left.size), _ender(flow, waiters)),
        probes=probes,
        serving=Serving(probes, flow.stages),
        queues=queues,
        figures=_figures(settings, store, flow, queues, requests),
        requests=requests,
    )


def _figures(settings: Settings, store: Store, flow: Flow, queues: figures.Queues, requests: Tallies) -> Probes:
    """What /metrics asks, each source by itself: a mount that hangs hides no other disk."""
    places = {"storage": store.files.local} if store.files.local else {}
    api: dict[str, Callable[[], object]] = {}
    if settings.metrics_api_url is None:
        places["data"] = settings.data_dir
    else:  # this process is not the API, and its folder is not where the API takes uploads
        api[api_check.PROBE] = partial(api_check.answers, settings.metrics_api_url)
    return Probes(
        {
            "record": lambda: figures.of_record(store.database),
            "queues": lambda: flow.figures() or queues.look(sorted(flow.app.amqp.queues)),
            "workers": store.events.workers,
            "memory": store.events.memory,
            "upkeep": store.events.since_looked_after,
            "requests": requests.read,
            "storage": store.files.check,
        }
        | api
        | {f"{DISK}{place}": partial(figures.of_disk, folder) for place, folder in places.items()}
    )


def _ender(flow: Flow, waiters: Waiters) -> Callable[[Departure], None]:
    store = flow.store

    def end(left: Departure) -> None:
        over = jobs.status(store.database, left.job_id) not in ACTIVE
        if over or not waiters.close(left.job_id, left.left):
            return
        if jobs.cancel(store.database, left.job_id, abandoned=True):
            store.events.changed(left.job_id)
            webhooks.tell(flow, left.job_id)
            flow.ended(left.job_id)
            log.info("a job was cancelled because nobody waits for it any more", job=left.job_id)

    return end


def install(services: Services, extensions: dict[str, object]) -> None:
    """Put the services where ``services`` finds them."""
    extensions[_KEY] = services


def services() -> Services:
    """The services of the application that answers this request."""
    return cast(Services, current_app.extensions[_KEY])
