"""How gunicorn serves the API: ``gunicorn -c config/gunicorn.py webapp.main:app``."""

import gc
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from config import logging as longhand_logging
from config import tracing
from config.loading import load
from config.settings import Settings


def _settings() -> Settings:
    """The settings, or one sentence instead of a traceback."""
    found = load()
    try:
        found.check_bind()
    except ValueError as error:
        raise SystemExit(str(error)) from error
    return found


def _open_files(wanted: int) -> int:
    """Raise this process's limit of open files, if it may; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


_chosen = _settings()
_host = _chosen.bind_host.strip("[]")
_memory = Path("/dev/shm")  # noqa: S108  # for gunicorn's own heartbeat files, which it makes safely

bind = f"[{_host}]:{_chosen.bind_port}" if ":" in _host else f"{_host}:{_chosen.bind_port}"
workers = _chosen.web_workers
# Uploads, downloads, waiting and streams take long and do next to nothing: threads. Why not gevent, and why so many:
# docs/decisions/0006. Ours is gthread with bounds on clients that neither send nor take.
worker_class = "config.serving.Worker"
threads = _chosen.web_threads
# Each connection is an open file, and so are the database's, Redis's and the recordings'. A worker that cannot open one
# more would end, so it takes no more connections than it can.
_SPARE_FILES = 300
worker_connections = max(1000, threads * 2)
worker_connections = max(10, min(worker_connections, _open_files(worker_connections + _SPARE_FILES) - _SPARE_FILES))
# A worker's main thread gives the sign of life, so a request may take as long as it needs; a hung worker goes.
timeout = 60
# Time for running requests when stopping; whoever waits for a job then waits again elsewhere.
graceful_timeout = 10
# Longer than clients that poll leave a connection idle, so that they seldom meet one that is just closing.
keepalive = 30
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# A file in the home folder through which other programs could steer the server; nobody here needs it.
control_socket_disable = True
# On a disk the heartbeat could block a worker.
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK) else None
loglevel = _chosen.log_level.lower()


class _Logger(Logger):  # type: ignore[misc]  # as above: no types are published
    """Has gunicorn say everything where everybody does, from its first word on."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        _log_like_everybody(self)


logger_class = _Logger
# One line a request only for those who look closely.
accesslog = "-" if _chosen.log_level == "DEBUG" else None


def on_starting(server: Any) -> None:
    """Send gunicorn's messages where everybody's go (called by gunicorn)."""
    _log_like_everybody(server.log)


def post_fork(server: Any, worker: Any) -> None:
    """The same in a worker (called by gunicorn)."""
    _log_like_everybody(worker.log)


def post_worker_init(worker: Any) -> None:
    """Be ready, and end streams and waiting as soon as a worker is told to stop (called by gunicorn).

    Their clients go on elsewhere.
    """
    # What is loaded by now stays; looking through it for garbage takes a tenth of a second in the middle of a request.
    gc.collect()
    gc.freeze()
    services = getattr(worker.wsgi, "extensions", {}).get("longhand")
    if services is None:
        return

    def watch() -> None:
        while worker.alive:
            time.sleep(0.5)
        services.listening.close()

    threading.Thread(target=watch, name="stopping", daemon=True).start()


def worker_exit(server: Any, worker: Any) -> None:
    """Hand over what was counted, and what is to be traced, since the last time (called by gunicorn)."""
    services = getattr(getattr(worker, "wsgi", None), "extensions", {}).get("longhand")
    if services is not None:
        services.requests.close()
    tracing.close()


def _log_like_everybody(log: Any) -> None:
    longhand_logging.configure(_chosen)
    for logger in (log.error_log, log.access_log):
        logger.handlers.clear()
        logger.propagate = True
