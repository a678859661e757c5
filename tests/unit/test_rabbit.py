"""What we tell RabbitMQ, without one. With one: tests/integration/test_rabbit.py."""

import socket
import time
from urllib.parse import quote

import pytest
import redis
from kombu import Connection
from kombu.exceptions import OperationalError

from config.redis_address import celery_socket
from config.settings import Settings
from pipelines.stage import discover
from store import jobs
from tasks import rabbit
from tasks.app import make_app
from tests.stack import RedisServer

AMQP = "amqp://user:password@127.0.0.1:1//"


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "timeout"),
    [
        ("3.10.8", False),
        ("3.12.0", True),
        ("3.13.7", True),
        ("4.2.1", True),
        ("4.3.2", False),
        ("5.0", False),
        ("", False),
    ],
)
def test_a_queue_says_how_long_it_waits_only_where_that_is_understood(version: str, timeout: bool) -> None:
    found = rabbit.arguments(version)
    assert found["x-queue-type"] == "classic", "the only type with our priorities"
    assert ("x-consumer-timeout" in found) == timeout


def test_the_highest_priority_is_the_highest_on_either_broker() -> None:
    on_redis, on_rabbit = make_app(settings(), discover([])), make_app(settings(broker_url=AMQP), discover([]))
    high, normal, low = (jobs.PRIORITIES[name] for name in ("high", "normal", "low"))
    assert [rabbit.priority(on_redis, one) for one in (high, normal, low)] == [0, 3, 6]
    assert [rabbit.priority(on_rabbit, one) for one in (high, normal, low)] == [9, 6, 3]
    assert (on_redis.conf.task_default_priority, on_rabbit.conf.task_default_priority) == (3, 6)
    for app, first in ((on_redis, 0), (on_rabbit, 9)):
        assert app.conf.beat_schedule["upkeep"]["options"]["priority"] == first
    assert all(queue.durable and queue.max_priority == 9 for queue in on_rabbit.amqp.queues.values())


def test_what_comes_later_waits_on_a_queue_of_its_own() -> None:
    on_redis, on_rabbit = make_app(settings(), discover([])), make_app(settings(broker_url=AMQP), discover([]))
    assert rabbit.later(on_redis, "gpu", 3.0) == {"countdown": 3.0}
    assert rabbit.later(on_rabbit, "gpu", 0.0) == {"countdown": 0.0}, "what is handed back is not put off"
    for seconds, waits in ((0.2, 1), (3.0, 4), (37.5, 40), (60.1, 64), (1e6, 64)):
        found = rabbit.later(on_rabbit, "gpu", seconds)
        [queue] = found["declare"]
        assert (queue.message_ttl, found["exchange"], found["routing_key"]) == (waits, queue.name, "gpu")


def test_a_server_that_hangs_is_noticed_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}//"
        app = make_app(settings(broker_url=url), discover([]), sends_only=True)
        began = time.monotonic()
        with pytest.raises(OperationalError):
            rabbit.ask(app)
        assert time.monotonic() - began < 20
        app.close()


def test_whose_certificate_it_is_counts() -> None:
    found = make_app(settings(broker_url="amqps://user:password@mq.example/v"), discover([])).conf.broker_use_ssl
    assert found == {"cert_reqs": 2, "server_hostname": None}, "which kombu fills in"


@pytest.mark.parametrize("url", ["redis://host", "host", "amqp://host;amqps://host", "amqps://a;amqps://b"])
def test_only_an_address_of_rabbitmq_is_taken(url: str) -> None:
    with pytest.raises(ValueError, match="BROKER_URL must begin with"):
        settings(broker_url=url)
    assert settings(broker_url="amqp://a;amqp://b").broker == "amqp://a;amqp://b"


def test_redis_on_a_socket_keeps_its_password() -> None:
    server, password = RedisServer(), "p@ss/w ord?#"
    quoted = quote(password, safe="")
    try:
        server.start()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", password)
        for url in (f"unix://:{quoted}@{server.socket}?db=3", f"unix://{server.socket}?db=3&password={quoted}"):
            with redis.Redis.from_url(url) as ours:
                assert ours.ping()
            with Connection(settings(redis_url=url).broker) as connection:
                client = connection.channel().client
                assert client.ping() and client.connection_pool.connection_kwargs["db"] == 3
    finally:
        server.close()
    assert celery_socket("unix:///run/r.sock") == "redis+socket:///run/r.sock?virtual_host=0"
    assert celery_socket("unix://me:pw@/run/r.sock") == "redis+socket://me:pw@/run/r.sock?virtual_host=0"
