"""Webhooks as a worker sends them: over a real record, a real broker and to a real server."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import update

from config.settings import Settings
from store import deliveries, jobs, keys
from store.models import Delivery
from tasks import webhooks
from tasks.worker import Worker, make_worker
from tests.receiver import Receiver, receiving, status
from tests.stack import WEBHOOK_SECRET, RedisServer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def worker(redis_server: RedisServer, tmp_path: Path) -> Iterator[Worker]:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        redis_url=redis_server.empty(),
        data_dir=tmp_path,
        webhook_secret=SecretStr(WEBHOOK_SECRET),
        allow_private_urls=True,
        public_url="https://longhand.example/",
    )
    made = make_worker(settings)
    made.store.database.upgrade()
    yield made
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushdb()
    made.app.close()
    made.store.database.engine.dispose()


def failed_job(worker: Worker, url: str, owner: str = "admin") -> str:
    new = jobs.NewJob(
        id=jobs.new_id(), owner=owner, options={"language": "en"}, stages=["normalise"], source_name="t.mp3",
        source_bytes=1, source_sha256="", webhook_url=url, details={"case": "\ud800 ü"},
    )  # fmt: skip
    jobs.create(worker.store.database, new)
    assert jobs.fail(worker.store.database, new.id, code="no_audio", detail="No audio.", stage="normalise")
    return new.id


def only(worker: Worker, job_id: str) -> Delivery:
    [found] = deliveries.of_job(worker.store.database, job_id)
    return found


def make_due(worker: Worker, delivery: Delivery) -> None:
    with worker.store.database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == delivery.id).values(due_at=jobs.now()))


def messages(worker: Worker) -> int:
    with redis.Redis.from_url(worker.settings.redis_url) as client:
        return sum(client.llen(name) for name in client.keys("net*"))  # type: ignore[misc,union-attr]


def test_it_is_signed_and_says_what_the_api_says(worker: Worker, receiver: Receiver) -> None:
    job_id = failed_job(worker, receiver.url + "/hook?token=t")
    delivery = only(worker, job_id)
    webhooks.deliver(worker, delivery.id)
    told = receiver.verified(WEBHOOK_SECRET)
    assert (told["type"], told["data"]["id"], told["data"]["status"]) == ("job.failed", job_id, "failed")
    assert told["data"]["error"] == {"code": "no_audio", "detail": "No audio.", "stage": "normalise"}
    assert told["data"]["metadata"] == {"case": "\ud800 ü"}
    assert told["data"]["options"]["webhook_url"] == receiver.url + "/hook?token=t"
    assert told["data"]["links"]["self"] == f"https://longhand.example/v1/jobs/{job_id}"
    [one] = receiver.got
    assert one.headers["webhook-id"] == delivery.id
    assert one.headers["content-type"] == "application/json"
    assert one.headers["user-agent"].startswith("Longhand/")
    found = only(worker, job_id)
    assert (found.status, found.attempts, found.response_status, found.error) == ("delivered", 1, 204, None)
    webhooks.deliver(worker, delivery.id)
    assert len(receiver.got) == 1


def test_another_key_s_jobs_are_signed_with_its_own_secret(worker: Worker, receiver: Receiver) -> None:
    key, _ = keys.create(worker.store.database, "one", scopes=["transcribe"])
    job_id = failed_job(worker, receiver.url, owner=key.id)
    assert keys.revoke(worker.store.database, key.id)
    webhooks.deliver(worker, only(worker, job_id).id)
    assert receiver.verified(key.webhook_secret)["data"]["id"] == job_id


def test_a_failure_is_tried_again_under_the_same_id(
    worker: Worker, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [status(500, b"on fire")]
    job_id = failed_job(worker, receiver.url + "/?token=secret-token")
    delivery = only(worker, job_id)
    with caplog.at_level(logging.DEBUG):
        webhooks.deliver(worker, delivery.id)
    found = only(worker, job_id)
    assert (found.status, found.response_status, found.error) == ("pending", 500, "The server answered 500: on fire")
    assert found.due_at is not None
    assert timedelta(seconds=3) < found.due_at - jobs.now() < timedelta(seconds=8)
    assert messages(worker) == 1, "the next try is waiting"
    make_due(worker, delivery)
    webhooks.deliver(worker, delivery.id)
    assert only(worker, job_id).status == "delivered"
    first, second = (json.loads(one.body) for one in receiver.got)
    assert first == second
    assert receiver.got[0].headers["webhook-id"] == receiver.got[1].headers["webhook-id"] == delivery.id
    assert WEBHOOK_SECRET[6:] not in caplog.text
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("tasks")]
    assert ours and not [line for line in ours if "secret-token" in line]


def test_gone_stops_it(worker: Worker, receiver: Receiver) -> None:
    receiver.answers = [status(410)]
    job_id = failed_job(worker, receiver.url)
    webhooks.deliver(worker, only(worker, job_id).id)
    found = only(worker, job_id)
    assert (found.status, found.due_at, found.response_status) == ("failed", None, 410)
    assert messages(worker) == 0


@pytest.mark.parametrize(
    ("setting", "becomes", "error"),
    [({"allow_private_urls": False}, "failed", "not public"), ({"webhook_secret": None}, "pending", "WEBHOOK_SECRET")],
    ids=["to an address inside", "without a secret"],
)
def test_nothing_is_sent(worker: Worker, receiver: Receiver, setting: dict[str, Any], becomes: str, error: str) -> None:
    worker.settings = worker.settings.model_copy(update=setting)
    job_id = failed_job(worker, receiver.url)
    webhooks.deliver(worker, only(worker, job_id).id)
    found = only(worker, job_id)
    assert found.status == becomes and error in (found.error or "")
    assert receiver.got == []


def test_a_fault_of_ours_does_not_keep_it_going_for_ever(
    worker: Worker, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = failed_job(worker, receiver.url)
    worker.settings = worker.settings.model_copy(update={"webhook_secret": SecretStr("whsec_")})
    webhooks.deliver(worker, only(worker, job_id).id)
    found = only(worker, job_id)
    assert found.status == "pending" and "on our side" in (found.error or "")
    assert found.due_at is not None and found.due_at > jobs.now()


def test_the_next_for_the_same_server_follows(worker: Worker, receiver: Receiver) -> None:
    first, second = (only(worker, failed_job(worker, receiver.url)) for _ in range(2))
    webhooks.deliver(worker, first.id)
    assert messages(worker) == 1
    assert deliveries.due(worker.store.database) == [second.id]


def test_an_emptied_queue_loses_nothing(worker: Worker, receiver: Receiver) -> None:
    webhooks.register(worker)
    job_id = failed_job(worker, receiver.url)
    webhooks.tell(worker.flow, job_id)
    assert messages(worker) == 1
    with redis.Redis.from_url(worker.settings.redis_url) as client:
        client.flushdb()
    worker.app.tasks["webhook.due"]()
    assert messages(worker) == 1


def test_a_queue_that_is_away_does_no_harm_to_the_job(tmp_path: Path, worker: Worker, receiver: Receiver) -> None:
    settings = worker.settings.model_copy(update={"redis_url": f"unix://{tmp_path}/no.sock"})
    alone = make_worker(settings)
    job_id = failed_job(worker, receiver.url)
    webhooks.tell(alone.flow, job_id)
    alone.app.close()
    alone.store.database.engine.dispose()
    assert only(worker, job_id).attempts == 0


def test_the_pauses_grow_for_a_day() -> None:
    since = jobs.now()
    at, pauses = since, []
    while (following := webhooks.next_try(since, at)) is not None:
        pauses.append((following - at).total_seconds())
        at = following
    assert 8 <= len(pauses) <= 20
    assert 4 <= pauses[0] <= 6 and pauses == sorted(pauses)
    assert timedelta(hours=6) < at - since <= timedelta(hours=24)
    assert len({webhooks.next_try(since, since) for _ in range(5)}) > 1, "many must not come back at once"


def test_retry_after_is_respected_within_bounds() -> None:
    since = jobs.now()

    def pause(at: timedelta, asked: float) -> float:
        following = webhooks.next_try(since, since + at, retry_after=asked)
        assert following is not None
        return (following - since - at).total_seconds()

    assert pause(timedelta(), 120) == 120
    assert pause(timedelta(), 1) >= 4
    assert pause(timedelta(), 10**9) == webhooks.MAX_RETRY_AFTER
    assert pause(timedelta(hours=8), 10**9) <= 16 * 3600


@pytest.mark.parametrize(
    ("host", "base"),
    [("127.0.0.1", "http://127.0.0.1:8081"), ("::1", "http://[::1]:8081"), ("box.example", "http://box.example:8081")],
)
def test_links_have_an_address_without_a_request(host: str, base: str) -> None:
    settings = Settings(_env_file=None, bind_host=host)  # type: ignore[call-arg]
    assert webhooks.base_address(settings) == base
    everywhere = settings.model_copy(update={"bind_host": "0.0.0.0"})
    assert "0.0.0.0" not in webhooks.base_address(everywhere)


def test_who_finds_no_place_is_remembered_once() -> None:
    places = webhooks.Places(2)
    assert places.take() and places.take()
    assert not places.take() and not places.take()
    assert places.give_back(), "somebody was refused"
    assert not places.give_back()
    assert places.take()
