"""The Celery app and its configuration, each setting with its reason."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from kombu import Exchange, Queue

from config.settings import Settings
from pipelines.stage import Stage
from tasks import rabbit

if TYPE_CHECKING:
    AnyTask = Task[Any, Any]
else:
    AnyTask = Task  # generic for the type checker only

CPU = "cpu"
"""The queue of everything that needs no model; also of the tasks that only move jobs along."""
NET = "net"
"""The queue of everything that waits for other people's servers, which may take its time: nothing else is on it."""


def make_app(settings: Settings, stages: Mapping[str, Stage], *, sends_only: bool = False) -> Celery:
    """A Celery app that can send every task. Workers also register them (``tasks.run``).

    Args:
        settings: What the operator chose.
        stages: All stages by name.
        sends_only: Whether nobody will listen with it: then a broker that hangs is noticed within seconds. (A worker
            listens by a call that is meant to hang.)
    """
    app = Celery("longhand", broker=settings.broker, set_as_current=False)
    queues = sorted({CPU, NET, *(s.queue for s in stages.values())})
    exchange = Exchange("longhand", type="direct")
    on_rabbit = rabbit.is_broker(app)
    app.conf.update(_settings(settings))
    app.conf.update(
        # Each its own routing key: queues that share one would each get a copy of every message.
        task_queues=[
            rabbit.queue(name, exchange) if on_rabbit else Queue(name, exchange, routing_key=name) for name in queues
        ],
        beat_schedule=_schedule(app, settings),
        task_routes={f"stage.{s.name}": {"queue": s.queue} for s in stages.values()} | {"webhook.*": {"queue": NET}},
    )
    if on_rabbit:
        app.conf.update(rabbit.configuration(settings, sends_only=sends_only))
    elif sends_only:
        # Somebody waits for it, and what could not be queued is told so, or queued by upkeep.
        quick: dict[str, float] = {"socket_timeout": 2, "socket_connect_timeout": 2, "health_check_interval": 0}
        # As long where nobody listens: a Redis that is just being started anew is worth waiting for, by short steps.
        quick |= {"max_retries": 6, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}
        app.conf.broker_transport_options = {**app.conf.broker_transport_options, **quick}
        app.conf.task_publish_retry = False
    return app


def _settings(settings: Settings) -> dict[str, Any]:
    return {**_messages(), **_workers(settings), **_broker(settings)}


def _messages() -> dict[str, Any]:
    return {
        # A message is ids in JSON; nothing else is ever unpickled or trusted.
        "task_serializer": "json",
        "accept_content": ["json"],
        # The record holds the results; without a backend no payload passes through Redis and none can be lost there.
        "task_ignore_result": True,
        # A message leaves the broker when its work is done, not when it begins; a dead child's goes back at once.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A typing error in a queue's name is an error, not a queue that nobody reads.
        "task_default_queue": CPU,
        "task_default_exchange": "longhand",
        "task_default_routing_key": CPU,
        "task_create_missing_queues": False,
        "task_default_priority": 3,
    }


def _workers(settings: Settings) -> dict[str, Any]:
    return {
        # One task a child and none in reserve: a long chunk must not hold up what waits behind it.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # The first limit raises in the task, so that it can say why; the second kills what does not listen.
        "task_soft_time_limit": settings.task_timeout_seconds,
        "task_time_limit": settings.task_timeout_seconds + 60,
        # SIGQUIT, which `longhand up` sends: finish within this time or hand the work back. SIGTERM waits for it.
        "worker_soft_shutdown_timeout": 5.0,
        "worker_enable_soft_shutdown_on_idle": False,
        # Loading (and once downloading) a model happens before a child reports for work.
        "worker_proc_alive_timeout": 1800,
        # Flower shows what is queued, received and running.
        "task_track_started": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        # Our logging (config.logging) is everybody's.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "enable_utc": True,
    }


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        # The broker may be restarted under us.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 4,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.3},
        "broker_transport_options": {
            "visibility_timeout": settings.visibility_timeout_seconds,
            # How often an idle worker looks for messages whose worker has died; the default takes minutes.
            "unacked_restore_interval": max(1.0, settings.visibility_timeout_seconds / 10),
            "unacked_restore_throttle": 1,
            "priority_steps": [0, 3, 6, 9],
            "queue_order_strategy": "priority",
            "socket_connect_timeout": 4,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
    }


def _schedule(app: Celery, settings: Settings) -> dict[str, Any]:
    first = rabbit.priority(app, 0)
    return {
        "upkeep": {
            "task": "job.upkeep",
            "schedule": settings.upkeep_seconds,
            # One that waited longer than this has been overtaken by the next.
            "options": {"expires": settings.upkeep_seconds, "priority": first},
        },
        "webhooks": {"task": "webhook.due", "schedule": 15.0, "options": {"expires": 15.0, "priority": first}},
        "sweep": {"task": "job.sweep", "schedule": 3600.0, "options": {"expires": 3600.0}},
    }
