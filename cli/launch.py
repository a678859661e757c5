"""Starts the stack, waits until it is ready, and ends it without leaving a process behind."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from cli import redis_server
from cli.client import ApiError, Client
from cli.places import Places
from cli.preflight import Refused, broker_trouble
from cli.processes import end_descendants
from cli.redis_server import RedisTrouble
from cli.stack import Program, environment, programs
from cli.storage import storage_trouble
from cli.supervision import Process, Supervisor
from cli.tether import adopt_orphans
from config.settings import Settings
from store import open_store
from store.events import Events
from store.schema import TooNew

READY_SECONDS = 180.0
LOADING_SECONDS = 300.0
"""How long a model may take to load once everything else is there."""
_DEATHS = 2
"""Ends right after the start that are no accident any more."""


@dataclass(frozen=True)
class Workers:
    """How many processes of which kind."""

    cpu: int
    gpu: int
    gpus: list[str] = field(default_factory=list)


@contextmanager
def running(settings: Settings, places: Places, workers: Workers) -> Iterator[Supervisor]:
    """The stack, from its start to its end; not yet ready when the block begins.

    Args:
        settings: REDIS_URL not set: a Redis of our own is started.
        places: Held by the caller.
        workers: How many.

    Raises:
        Refused: It cannot be started.
        cli.supervision.SupervisorTrouble: The process manager does not start.
    """
    adopt_orphans()
    if (left := places.last_sockets()) is not None and redis_server.stop_leftover(left / redis_server.SOCKET):
        time.sleep(0.2)  # it writes its file to the end
    with places.sockets() as sockets:
        socket = sockets / redis_server.SOCKET
        redis = None
        if "redis_url" not in settings.model_fields_set:
            redis = _own_redis(places, socket)
            settings = settings.model_copy(update={"redis_url": redis_server.url(socket)})
        supervisor = Supervisor(places, sockets, environment(settings, os.environ))
        try:
            count = {"cpu_workers": workers.cpu, "gpu_workers": workers.gpu}
            supervisor.start(
                programs(settings, **count, gpus=workers.gpus, diarise=settings.diarisation == "on"), redis=redis
            )
            _prepare(settings, supervisor, socket if redis else None)
            supervisor.start_group()
            yield supervisor
        finally:
            try:
                supervisor.stop()
            finally:
                end_descendants(os.getpid())  # what was lost on the way came to us (adopt_orphans)


def _own_redis(places: Places, socket: Path) -> Program:
    try:
        found = redis_server.find()
    except RedisTrouble as error:
        raise Refused(str(error)) from error
    written = places.run / "redis.conf"
    written.write_text(redis_server.configuration(places.redis, socket), "utf-8")
    return Program("redis", (found.path, str(written)))


def _prepare(settings: Settings, supervisor: Supervisor, own_redis: Path | None) -> None:
    """Redis answers and is the right one, and the tables are there, before anything needs them."""
    events = Events(settings.redis_url)
    if own_redis is not None:
        try:
            redis_server.wait_until_own(own_redis, lambda: supervisor.pid("redis"))
        except RedisTrouble as error:
            raise Refused(f"{error}\n{supervisor.log_tail('redis')}".rstrip()) from error
        # Nobody else uses this Redis, so whoever it remembers was killed with its last run.
        for worker in events.workers():
            events.gone(worker.name)
    else:
        try:
            events.ping()
        except Exception as error:  # whatever the client raises, the address does not lead to a Redis
            raise Refused(
                "The Redis of REDIS_URL does not answer: start it, or unset REDIS_URL to use our own."
            ) from error
    if settings.broker_url is not None and (trouble := broker_trouble(settings)) is not None:
        raise Refused(trouble)
    if (trouble := storage_trouble(settings)) is not None:
        raise Refused(trouble)
    try:
        open_store(settings).database.upgrade()
    except TooNew as error:
        raise Refused(str(error)) from None
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise Refused("The database cannot be opened: check DATABASE_URL and that its server runs.") from error


def wait_until_ready(supervisor: Supervisor, client: Client, show: Callable[[str], None]) -> None:
    """Wait until jobs can be worked off and a model is in memory.

    Args:
        supervisor: Watched for processes that die at once.
        client: Of the API that is coming up.
        show: Told what is still missing.

    Raises:
        Refused: A process dies again and again, or it takes too long.
    """
    deaths = Deaths()
    began = time.monotonic()
    while True:
        if (died := deaths.look(supervisor.processes())) is not None:
            raise Refused(
                f"{died} ends as soon as it is started; the end of its log:\n{supervisor.log_tail(died)}".rstrip()
            )
        missing = missing_parts(client)
        if not missing:
            return
        if missing == [LOADING]:
            if time.monotonic() - began > LOADING_SECONDS:
                return  # a job will say what is the matter with the model
        elif time.monotonic() - began > READY_SECONDS:
            raise Refused(
                f"Not ready after {READY_SECONDS:.0f} s; still missing: {', '.join(missing)}. "
                f"See the logs in {supervisor.logs}."
            )
        show(", ".join(missing))
        time.sleep(0.15)


LOADING = "model (loading)"


def missing_parts(client: Client) -> list[str]:
    """What is not there yet, by name; empty once everything is."""
    try:
        _, health = client.health("/health")
    except ApiError:
        return ["API"]
    checks = health.get("checks")
    if not isinstance(checks, dict):
        return ["API"]
    missing = [name for name, check in checks.items() if not check.get("ok")]
    if not missing and health.get("model", {}).get("status") == "loading":
        return [LOADING]
    return missing


class Deaths:
    """Notices a process that ends again and again right after its start."""

    def __init__(self) -> None:
        self._ends: dict[str, set[int]] = {}

    def look(self, processes: list[Process]) -> str | None:
        """The name of one that does; None if none does."""
        for process in processes:
            if process.state == "FATAL":
                return process.name
            if process.state in {"BACKOFF", "EXITED"}:
                ends = self._ends.setdefault(process.name, set())
                ends.add(process.stopped)
                if len(ends) >= _DEATHS:
                    return process.name
        return None
