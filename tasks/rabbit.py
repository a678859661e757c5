"""What is different where the broker is RabbitMQ (BROKER_URL) and not Redis.

Its own redelivery serves: it keeps a message for as long as the connection of the worker that has it lives, so no lease
is renewed. What waits for some seconds waits on a queue of its own there, not in a worker (``later``).
"""

import ssl
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError, NotFound
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError as BrokerError

from config.settings import Settings
from store.figures import QueueFigures, Waiting

LEVELS = 9
"""The highest priority there; the highest of Redis, and of ours, is 0."""
HEARTBEAT_SECONDS = 10
"""A worker whose machine is cut off has lost its messages after two of these; one that dies, at once."""
HOLD_MILLISECONDS = 2**31 - 1
"""How long a worker may have a message: for ever. Its connection tells whether it lives, our time limits the rest."""
DELAYS = (1, 2, 4, 8, 16, 32, 40, 64)
"""Seconds that a message can be put off by; each is a queue of its own, so that none waits for a later one."""
_MARK = "longhand.mark"


class PatientQueue(Queue):
    """A queue whose messages may be worked on for as long as that takes.

    RabbitMQ 3.12 to 4.2 take a message back after half an hour, unless the queue says otherwise. Before, only its
    configuration file could; since 4.3 it does not happen with queues of this type, and saying so is an error.
    """

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declare it as this server understands it."""
        asked: Any = channel or self.channel
        self.queue_arguments = arguments(str(asked.connection.server_properties.get("version", "")))
        return super().queue_declare(nowait=nowait, passive=passive, channel=channel)


def arguments(version: str) -> dict[str, Any]:
    """What a queue is declared with.

    Priorities need the classic type, whatever type the operator made the usual one. A broker that is lost with all its
    disks loses nothing but messages, which upkeep sends again: copies of them on several machines are not needed.
    """
    found: dict[str, Any] = {"x-queue-type": "classic"}
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if (3, 12) <= numbers < (4, 3):
        found["x-consumer-timeout"] = HOLD_MILLISECONDS
    return found


def is_broker(app: Celery) -> bool:
    """Whether this app's messages go over RabbitMQ."""
    return str(app.conf.broker_url).startswith("amqp")


def queue(name: str, exchange: Exchange) -> Queue:
    """One of ours: durable, with priorities."""
    return PatientQueue(name, exchange, routing_key=name, durable=True, max_priority=LEVELS)


def configuration(settings: Settings, *, sends_only: bool) -> dict[str, Any]:
    """Celery's settings for it.

    Args:
        settings: What the operator chose.
        sends_only: Whether nobody will listen with it: then a server that hangs is noticed within seconds.
    """
    # A message counts as sent once it is on the server's disk.
    options: dict[str, Any] = {"confirm_publish": True}
    found: dict[str, Any] = {
        "broker_heartbeat": HEARTBEAT_SECONDS,
        "worker_disable_prefetch": False,  # Redis' word for what the server does here by itself
        "task_default_priority": LEVELS - 3,
        "task_default_delivery_mode": "persistent",
        "broker_transport_options": options,
    }
    if sends_only:
        options |= {"read_timeout": 2, "write_timeout": 2, "max_retries": 1, "interval_start": 0}
        # A connection that has lain idle may be gone: a second one shows whether the server is.
        found |= {"task_publish_retry": True, "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0}}
    if (settings.broker_url or "").startswith("amqps"):
        # Whose certificate it is counts; the library would believe any.
        found["broker_use_ssl"] = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    return found


def priority(app: Celery, number: int) -> int:
    """A priority of ours, 0 the highest, as this app's broker counts it."""
    return LEVELS - number if is_broker(app) else number


def later(app: Celery, name: str, seconds: float) -> dict[str, Any]:
    """Options of a message that comes to a queue some seconds later (rounded up), at most ``DELAYS[-1]``.

    With Celery's own countdown a worker has the message meanwhile, in the place of one that it could work on.
    """
    if seconds <= 0 or not is_broker(app):
        return {"countdown": seconds}
    wait = DELAYS[min(bisect_left(DELAYS, seconds), len(DELAYS) - 1)]
    where = f"longhand.later.{wait}"
    waiting = Queue(
        where,
        Exchange(where, type="fanout", durable=True),
        durable=True,
        message_ttl=wait,
        # From there it goes to the queue that its routing key names.
        queue_arguments={"x-queue-type": "classic", "x-dead-letter-exchange": ""},
    )
    return {"exchange": where, "routing_key": name, "declare": [waiting]}


def ask(app: Celery) -> None:
    """Find out whether the server answers.

    Raises:
        kombu.exceptions.OperationalError: It does not.
    """
    with _reaching(), app.producer_or_acquire() as producer:

        def passively() -> None:
            channel: Any = producer.channel
            channel.exchange_declare("amq.direct", "direct", passive=True)

        # Once more, with a new connection, if that in hand has been closed.
        producer.connection.ensure(producer, passively, max_retries=1, interval_start=0)()


def look(app: Celery, names: Sequence[str]) -> QueueFigures:
    """How many messages wait on these queues. How long, and with which priority, the server does not tell.

    Raises:
        kombu.exceptions.OperationalError: It cannot be asked.
    """
    with _reaching(), app.connection_for_read() as connection:
        counts = {name: _count(connection, name) for name in names}
    return QueueFigures([Waiting(name, "any", count or 0, None) for name, count in counts.items()], None)


def emptied(app: Celery) -> bool:
    """Whether the server has lost (or never had) what ``remember`` left there.

    Raises:
        kombu.exceptions.OperationalError: It cannot be asked.
    """
    with _reaching(), app.connection_for_read() as connection:
        return _count(connection, _MARK) is None


def remember(app: Celery) -> None:
    """Leave a mark that is gone if the server lost its queues: a queue that nobody uses.

    Raises:
        kombu.exceptions.OperationalError: The server cannot be reached.
    """
    with _reaching(), app.connection_for_write() as connection:
        mark = Queue(_MARK, durable=True, queue_arguments={"x-queue-type": "classic"})
        mark(connection.channel()).queue_declare()


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except (AMQPError, OSError) as error:  # also that the server refuses the user, which the library leaves as it is
        raise BrokerError(type(error).__name__) from error


def _count(connection: Any, name: str) -> int | None:
    """Messages that wait on a queue; None: there is no such queue."""
    channel = connection.channel()
    try:
        return int(channel.queue_declare(name, passive=True).message_count)
    except NotFound:  # which closes the channel
        return None
    finally:
        channel.close()
