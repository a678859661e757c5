"""Keeps the messages of a live worker its own, and says that the worker is there.

With late acknowledgement Redis hands a message out again once it is older than the visibility timeout, whether its
worker is dead or merely busy. So a live worker keeps making its messages young: then the timeout can be short, a dead
worker's work is taken up soon, and a long task still runs once.
"""

import logging
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from kombu.transport import redis as redis_transport
from redis.exceptions import RedisError

from tasks.worker import Worker

log = logging.getLogger(__name__)

PRESENCE_SECONDS = 5.0
"""How often a worker says that it is there (it counts as gone after store.events.PRESENCE_SECONDS)."""


class _Held(redis_transport.QoS):
    """The messages that a connection has brought.

    As it comes, whatever is still done with them after the connection broke asks the channel for its address, which it
    has no more; that error is none that the consumer knows, and would end the worker.
    """

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Put them back if that can be done, or leave them to the visibility timeout."""
        try:
            super().restore_unacked_once(stderr)
        except Exception as error:  # whatever it is, the connection is of no use any more
            held = self._delivered if self._delivered is not None else {}
            log.warning("%d messages are given out again later: %s", len(held), error)
            held.clear()

    def ack(self, delivery_tag: str) -> None:
        """Take a message off the queue. Whoever gets it once more finds its work done."""
        if self._connected():
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back, or drop it."""
        if self._connected():
            super().reject(delivery_tag, requeue)

    def _connected(self) -> bool:
        if self.channel.connection is not None and not self.channel.closed:
            return True
        log.info("a message's connection is gone; it is given out again")
        return False


def install(worker: Worker) -> None:
    """Add both to every worker started from this app."""
    redis_transport.Channel.QoS = _Held

    class Lease(bootsteps.StartStopStep):
        """Renews the hold on delivered messages."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **_: Any) -> None:
            self._timers: list[Any] = []

        def start(self, consumer: Any) -> None:
            worker.queues = sorted(consumer.app.amqp.queues.consume_from)
            children = int(consumer.pool.num_processes or 1)

            def here() -> None:
                if worker.store.events.here(worker.name, worker.queues, children=children):
                    touch(worker.settings.alive_file)

            here()
            self._timers = [consumer.timer.call_repeatedly(PRESENCE_SECONDS, here)]
            if consumer.connection.transport.driver_type == "redis":
                every = worker.settings.lease_renewal_seconds
                self._timers.append(consumer.timer.call_repeatedly(every, renew, (consumer,)))

        def stop(self, consumer: Any) -> None:
            for timer in self._timers:
                timer.cancel()
            self._timers = []
            worker.store.events.gone(consumer.hostname)

        shutdown = stop

    worker.app.steps["consumer"].add(Lease)


def touch(path: str | None) -> None:
    """Tell a health check that looks at this file's age that the worker lives."""
    if path is not None:
        try:
            Path(path).touch()
        except OSError as error:
            log.warning("ALIVE_FILE cannot be written: %s", error.strerror)


def renew(consumer: Any) -> None:
    """Make every message this worker holds as young as if it had come just now."""
    channel = consumer.task_consumer.channel
    held = list(channel.qos._delivered)
    if not held:
        return
    try:
        with channel.conn_or_acquire() as client:
            # XX: a message that was acknowledged in the meantime must not come back to life.
            client.zadd(channel.unacked_index_key, dict.fromkeys(held, time.time()), xx=True)
    except (RedisError, OSError) as error:
        log.warning("the hold on %d messages was not renewed: %s", len(held), error)
