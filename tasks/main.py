"""The entry point of workers, beat and Flower: ``celery -A tasks.main …``."""

import os
from typing import Any

from celery import signals

from config import logging as longhand_logging
from config import tracing
from config.loading import load
from tasks import journal, lease, outcome, quiet, run, threads, upkeep, webhooks
from tasks.worker import make_worker

settings = load()
# Before Celery does, which has things to say by then.
longhand_logging.configure(settings)
worker = make_worker(settings)
app = worker.app

run.register(worker)
upkeep.register(worker)
webhooks.register(worker)
outcome.connect(worker)
journal.connect(worker)
lease.install(worker)
threads.install()
tracing.enable(settings)
if settings.log_format == "json":
    quiet.install(app)

_NICE = 10
"""How far a worker that only tells speakers apart stands back where cores are scarce: the text is waited for first."""


@signals.setup_logging.connect(weak=False)
def _logging(**_: Any) -> None:
    longhand_logging.configure(settings)


@signals.celeryd_init.connect(weak=False)
def _name(sender: str, **_: Any) -> None:
    # Before any child is forked, so that children know whose they are.
    worker.name = sender


@signals.worker_process_init.connect(weak=False)
def _child(**_: Any) -> None:
    # Of a forked child alone: threads share the parent's store, which allows for that, and hold no models.
    worker.store.reopen()
    if not worker.queues:
        worker.queues = sorted(app.amqp.queues.consume_from)
    if worker.serves("models"):
        worker.preload()
    elif worker.serves("diarisers"):
        os.nice(_NICE)
    if worker.serves("models", "diarisers"):
        worker.keep_announcing()
