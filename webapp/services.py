"""What the routes work with, made once a process and found through the application."""

from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import cast

from flask import current_app

from config.settings import Settings
from store import Store
from store.listening import Listening
from tasks.flow import Flow
from webapp.options import OptionReader
from webapp.probes import Probes

_KEY = "longhand"


@dataclass(frozen=True)
class Services:
    """Settings, store, flow and what was derived from them at start."""

    settings: Settings
    store: Store
    flow: Flow
    options: OptionReader
    waiting: BoundedSemaphore
    """One place for each request that may wait at the same time; the other threads stay free for short requests."""
    listening: Listening
    """Wakes whoever waits for something to happen to a job."""
    probes: Probes
    """The health checks: database, storage, workers."""


def make_services(settings: Settings, store: Store, flow: Flow) -> Services:
    """The services over an open store and flow."""
    return Services(
        settings=settings,
        store=store,
        flow=flow,
        options=OptionReader(flow.stages, settings),
        waiting=BoundedSemaphore(max(1, settings.web_threads * 3 // 4)),
        listening=Listening(settings.redis_url),
        probes=Probes({"database": store.database.ping, "storage": store.files.ping, "workers": store.events.workers}),
    )


def install(services: Services, extensions: dict[str, object]) -> None:
    """Put the services where ``services`` finds them."""
    extensions[_KEY] = services


def services() -> Services:
    """The services of the application that answers this request."""
    return cast(Services, current_app.extensions[_KEY])
