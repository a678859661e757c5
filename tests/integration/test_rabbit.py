"""RabbitMQ as the broker: a real one, and what can happen to it and to workers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from config.settings import Settings
from pipelines.stage import discover
from tasks import rabbit as ours
from tasks.app import make_app
from tests.rabbit_server import RabbitServer, rabbit_executable
from tests.stack import ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
PLUGINS = ROOT / "tests" / "plugins"

pytestmark = pytest.mark.skipif(
    rabbit_executable() is None, reason="needs RabbitMQ: install rabbitmq-server (Debian, Ubuntu) and run it again"
)


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitServer]:
    server = RabbitServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="module")
def on_rabbit(tmp_path_factory: pytest.TempPathFactory, rabbit: RabbitServer, fuse: Path) -> Iterator[Stack]:
    env = {
        "PLUGINS": str(PLUGINS), "WHISPER_ENGINE": "deadly", "LONGHAND_TEST_DEADLY": str(fuse),
        "VISIBILITY_TIMEOUT_SECONDS": "2", "LEASE_RENEWAL_SECONDS": "0.5", "UPKEEP_SECONDS": "2",
        "BROKER_URL": rabbit.url,
    }  # fmt: skip
    with Stack(tmp_path_factory.mktemp("rabbit"), cpu_children=1, net_threads=2, beat=True, **env) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(on_rabbit: Stack) -> dict[str, Any]:
    done = on_rabbit.run(SAMPLE)
    assert done["status"] == "done", done
    return on_rabbit.transcript(done["id"])


def make(rabbit: RabbitServer) -> Celery:
    settings = Settings(_env_file=None, broker_url=rabbit.url)  # type: ignore[call-arg]
    return make_app(settings, discover([]), sends_only=True)


def received(app: Celery, count: int) -> list[tuple[str, int]]:
    """Arguments and priorities of the next messages of the queue gpu, in the order in which a worker gets them."""
    with app.connection_for_read() as connection:
        queue = app.amqp.queues["gpu"](connection.channel())
        found = [until(lambda: queue.get(no_ack=True), 30, "a message") for _ in range(count)]
        return [(message.payload[0][0], message.properties["priority"]) for message in found]


def send(app: Celery, name: str, priority: int, **options: Any) -> None:
    wanted = ours.priority(app, priority)
    app.signature("stage.transcribe", args=[name], queue="gpu", priority=wanted, **options).apply_async()


# Before the installation is started: nobody takes the messages.
def test_messages_outlive_the_server_and_come_by_priority_and_when_they_are_due(rabbit: RabbitServer) -> None:
    app = make(rabbit)
    assert ours.emptied(app)
    ours.remember(app)
    for name, priority in (("low", 6), ("normal", 3), ("high", 0)):
        send(app, name, priority)
    rabbit.kill()
    with pytest.raises(OperationalError):
        ours.ask(app)
    rabbit.start()
    assert not ours.emptied(app), "what it remembers is still there"
    ours.ask(app)  # although the connection in hand is of before
    send(app, "second", 0, **ours.later(app, "gpu", 1.5))
    send(app, "first", 6, **ours.later(app, "gpu", 0.5))
    sent = time.monotonic()
    assert received(app, 3) == [("high", 9), ("normal", 6), ("low", 3)]
    assert ours.look(app, ["gpu"]).waiting[0].messages == 0, "they wait elsewhere"
    assert received(app, 2) == [("first", 3), ("second", 9)], "each with the priority it had"
    assert 1.4 < time.monotonic() - sent < 30
    app.close()


def test_a_job_is_done_and_the_installation_tells_of_its_broker(on_rabbit: Stack, undisturbed: dict[str, Any]) -> None:
    assert undisturbed["segments"]
    checks = on_rabbit.client.get("/health/ready").raise_for_status().json()["checks"]
    assert checks["rabbitmq"]["ok"] and checks["redis"]["ok"] and checks["queue gpu"]["ok"]
    figures = on_rabbit.client.get("/metrics").raise_for_status().text
    assert 'longhand_up{part="rabbitmq"} 1.0' in figures and 'longhand_up{part="redis"} 1.0' in figures
    assert 'longhand_queue_messages{priority="any",queue="gpu"} 0.0' in figures
    assert "longhand_queue_oldest_message_seconds{" not in figures and "unacknowledged" not in figures


def test_a_child_and_a_whole_worker_killed_in_the_middle_of_a_chunk_cost_nothing_else(
    on_rabbit: Stack, fuse: Path, undisturbed: dict[str, Any]
) -> None:
    fuse.write_text("xh")  # the first time it dies in the middle of the chunk, the second it hangs there
    accepted = on_rabbit.post(SAMPLE)
    until(lambda: fuse.read_text() == "h", 30, "the child to die")
    until(lambda: fuse.read_text() == "", 30, "the chunk to be begun again")
    on_rabbit.kill("gpu1")
    on_rabbit.start_worker("gpu2", "gpu", 1)
    done = on_rabbit.wait(accepted["id"], 60)
    assert done["status"] == "done"
    assert on_rabbit.transcript(done["id"]) == undisturbed
    begun = {s["stage"]: s["attempts"] for s in done["steps"]}
    assert begun == {**dict.fromkeys(begun, 1), "transcribe": 3}, "only the interrupted work is done again"


def test_a_server_that_comes_back_empty_loses_no_job(
    on_rabbit: Stack, rabbit: RabbitServer, undisturbed: dict[str, Any]
) -> None:
    accepted = [on_rabbit.post(SAMPLE)["id"] for _ in range(2)]
    rabbit.kill()
    rabbit.wipe()
    refused = on_rabbit.client.post("/v1/jobs", files={"file": ("talk.flac", SAMPLE.read_bytes())})
    assert refused.status_code == 503 and refused.json()["code"] == "internal", refused.text
    assert int(refused.headers["Retry-After"]) > 0
    rabbit.launch()  # which takes seconds

    def told() -> bool:
        answer = on_rabbit.client.get("/health/ready")
        return answer.status_code == 503 and not answer.json()["checks"]["rabbitmq"]["ok"]

    until(told, 30, "the outage to be told")
    assert on_rabbit.client.get(f"/v1/jobs/{accepted[0]}").status_code == 200
    rabbit.wait()
    for job_id in accepted:
        assert on_rabbit.wait(job_id, 90)["status"] == "done"
        assert on_rabbit.transcript(job_id) == undisturbed
    assert on_rabbit.client.get("/health/ready").status_code == 200
