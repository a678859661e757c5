"""Figures for Prometheus of what waits, for whom, and of what there is room for."""

import io
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import update

from store import jobs, keys
from store.models import Job
from tests.unit.webapp.conftest import AUTH, SOUND
from tests.unit.webapp.test_metrics import Reading, read
from webapp.services import Services


@pytest.fixture
def ask(app: Flask) -> Callable[[], Reading]:
    """The figures as they are now: an answer that is good for a second is not waited for."""

    def ask() -> Reading:
        services: Services = app.extensions["longhand"]
        services.figures._answered.clear()
        return read(app.test_client().get("/metrics", headers=AUTH).text)

    return ask


def test_the_oldest_message_is_one_that_waits_for_others(services: Services, ask: Callable[[], Reading]) -> None:
    client, before = services.queues._client, time.time()

    def put(count: int, ago: float, **headers: Any) -> None:
        message = json.dumps({"body": "e30=", "headers": {"longhand_sent_at": before - ago, **headers}})
        client.lpush("gpu\x06\x163", *[message] * count)

    def oldest() -> float:
        age = ask()("queue_oldest_message_seconds", queue="gpu", priority="normal")
        assert age is not None
        return age

    put(1, 900, longhand_behind=True)
    assert oldest() == 0
    put(340, 800, longhand_behind=True)
    # Whatever a client calls its request.
    put(1, 500, longhand_request_id='"longhand_behind": true')
    put(2, 400)
    assert 500 <= oldest() < 560
    put(5000, 300, longhand_behind=True)
    figure = ask()
    assert figure("queue_messages", queue="gpu", priority="normal") == 5344
    assert 500 <= oldest() < 560
    client.ltrim("gpu\x06\x163", 0, 4999)
    assert oldest() == 0


def test_jobs_whose_turn_has_not_come_are_told_by_themselves(make: Callable[..., Flask]) -> None:
    app = make(account_jobs=1, max_upload_mb=1)
    services: Services = app.extensions["longhand"]

    def send(**fields: str) -> str:
        data = {"file": (io.BytesIO(SOUND), "talk.mp3"), **fields}
        answer = app.test_client().post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data")
        return str(answer.json["id"])

    def ask() -> Reading:
        services.figures._answered.clear()
        return read(app.test_client().get("/metrics", headers=AUTH).text)

    _, second, third, low = send(), send(), send(), (send(priority="low"), send(priority="low"))[1]
    before = jobs.now()
    with services.store.database.write() as session:
        for job_id, ago in ((second, 9000), (third, 8000), (low, 100)):
            at = before - timedelta(seconds=ago)
            session.execute(update(Job).where(Job.id == job_id).values(created_at=at, submitted_at=at))
    figure = ask()
    assert [figure("turn_jobs_waiting", priority=one) for one in ("high", "normal", "low")] == [0, 2, 1]
    oldest = [figure("turn_oldest_seconds", priority=one) or 0 for one in ("high", "normal", "low")]
    assert oldest == [0, pytest.approx(9030, abs=31), pytest.approx(130, abs=31)]
    assert (figure("jobs_oldest_queued_seconds") or 0) < 60, "what waits for its turn waits for no worker"
    assert figure("turn_wait_seconds_bucket", priority="normal", le="1.0") == 1
    assert figure("turn_wait_seconds_count", priority="high") == 0


def test_accounts_are_there_before_their_first_job(services: Services, ask: Callable[[], Reading]) -> None:
    database = services.store.database
    made, _ = keys.create(database, "batch of ü", scopes=["transcribe"])
    gone, _ = keys.create(database, "gone", scopes=["transcribe"])
    assert keys.revoke(database, gone.id)
    figure = ask()
    for outcome in ("done", "failed", "cancelled"):
        assert figure("key_jobs_ended_total", key="admin", key_name="API_KEY", outcome=outcome) == 0
        assert figure("key_jobs_ended_total", key=made.id, key_name="batch of ü", outcome=outcome) == 0
        assert figure("key_jobs_ended_total", key=gone.id, key_name="gone", outcome=outcome) is None


def test_how_full_redis_is(services: Services, ask: Callable[[], Reading]) -> None:
    client = services.queues._client
    before = client.config_get("maxmemory")["maxmemory"]
    try:
        client.config_set("maxmemory", 0)
        figure = ask()
        assert (figure("redis_memory_used_bytes") or 0) > 100_000 and figure("redis_memory_max_bytes") is None
        client.config_set("maxmemory", 64 << 20)
        assert ask()("redis_memory_max_bytes") == 64 << 20
        # Full, it takes nothing any more and still says so.
        client.config_set("maxmemory", 1 << 20)
        with pytest.raises(redis.ResponseError):
            client.set("more", "x" * 100_000)
        client.script_flush()
        figure = ask()
        assert figure("up", part="redis") == 1 and figure("queue_messages", queue="gpu", priority="normal") == 0
        assert (figure("redis_memory_used_bytes") or 0) > (figure("redis_memory_max_bytes") or 0)
    finally:
        client.config_set("maxmemory", before)
