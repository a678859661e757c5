"""Figures for Prometheus of what is counted in the record, and of GPUs: right, named for people, bounded."""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from store import deliveries, jobs, keys, steps
from store.steps import Piece
from tasks.worker import make_worker
from tests.stack import WEBHOOK_SECRET
from tests.unit.webapp.conftest import AUTH, begin, work_off
from tests.unit.webapp.test_metrics import Figures, read
from webapp.services import Services


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make(webhook_secret=WEBHOOK_SECRET)


@pytest.fixture
def ask(make: Callable[..., Flask]) -> Callable[[], Figures]:
    """The figures as they are now, of a process that was not asked before."""
    return lambda: read(make().test_client().get("/metrics", headers=AUTH).text)


def test_what_waits_is_told_against_the_target(
    make: Callable[..., Flask], send: Callable[..., Any], services: Services
) -> None:
    """Also under a target that was changed since."""
    limits = {"max_attempts": 3, "stale_seconds": 60}
    for seconds, priority in ((2.0, "normal"), (44.0, "normal"), (50.0, "normal"), (90.0, "high")):
        piece = Piece(send(priority=priority).json["id"], "normalise")
        wait = steps.Wait("cpu", time.time() - seconds, 45.5)
        steps.begin(services.store.database, piece, task_id="t", worker="w", wait=wait, **limits)
    for target, within in ((45.5, 2), (40.0, 1)):
        text = make(queue_wait_target_seconds=target).test_client().get("/metrics", headers=AUTH).text
        figure = read(text)
        labels = {"queue": "cpu", "priority": "normal"}
        assert figure("queue_wait_seconds_bucket", **labels, le=repr(target)) == within
        assert figure("queue_wait_seconds_bucket", **labels, le="45.5") == 2
        assert figure("queue_wait_seconds_count", **labels) == 3
        assert figure("queue_waits_over_target_total", **labels) == 1
        assert figure("queue_waits_over_target_total", queue="cpu", priority="high") == 1
        assert figure("queue_waits_over_target_total", queue="gpu", priority="low") == 0
        assert figure("queue_wait_seconds_count", queue="gpu", priority="low") == 0


def test_what_goes_wrong_is_told_from_the_first_time_on(
    send: Callable[..., Any], services: Services, ask: Callable[[], Figures]
) -> None:
    figure = ask()
    for how in ("child", "silent"):
        assert figure("leases_lost_total", stage="transcribe", how=how) == 0
    assert figure("stage_retries_total", stage="transcribe", reason="worker_lost") == 0
    assert figure("jobs_warned_total", code="diarisation_failed") == 0
    for outcome in ("delivered", "refused", "unanswered", "worker_lost"):
        assert figure("webhook_tries_total", outcome=outcome) == 0
    assert figure("webhooks_given_up_total") == 0
    database, job_id = services.store.database, send(webhook_url="https://example.org/").json["id"]
    for reason in ("out_of_memory", "no code at all"):
        steps.release(
            database, Piece(job_id, "normalise"), begin(services, job_id, "normalise"), refund=False, reason=reason
        )
    begin(services, job_id, "normalise")
    steps.free_dead(database, Piece(job_id, "normalise"), task_id="normalise--1", worker="w")
    assert jobs.fail(database, job_id, code="internal", detail="d", stage=None)
    (owed,) = deliveries.due(database)
    tried = deliveries.claim(database, owed)
    assert tried is not None
    assert deliveries.missed(database, tried, error="e", response_status=500, due_at=None)
    figure = ask()
    for reason in ("out_of_memory", "other", "worker_lost"):
        assert figure("stage_retries_total", stage="normalise", reason=reason) == 1
    assert figure("leases_lost_total", stage="normalise", how="child") == 1
    assert figure("webhook_tries_total", outcome="refused") == 1
    assert figure("webhooks_given_up_total") == 1


def test_what_each_key_used_is_told_by_its_name(
    client: FlaskClient, send: Callable[..., Any], services: Services, ask: Callable[[], Figures]
) -> None:
    record, key = keys.create(services.store.database, 'Radio "1"\n', scopes=["read", "transcribe"])
    other, same = keys.create(services.store.database, "its second", scopes=["transcribe"], account=record.id)
    assert other.owner == record.id
    for bearer in (key, same):
        data = {"file": (io.BytesIO(b"x"), "a.wav")}
        job_id = client.post("/v1/jobs", headers={"Authorization": f"Bearer {bearer}"}, data=data).json["id"]
        work_off(services, job_id)
    work_off(services, send().json["id"])
    figure = ask()
    labels = {"key": record.id, "key_name": 'Radio "1"\n'}
    assert figure("key_audio_seconds_total", **labels, model="demo", language="en") == 60
    assert figure("key_jobs_ended_total", **labels, outcome="done") == 2
    assert figure("key_jobs_ended_total", **labels, outcome="cancelled") == 0
    own = {"key": "admin", "key_name": "API_KEY"}
    assert figure("key_audio_seconds_total", **own, model="demo", language="en") == 30
    assert figure("audio_seconds_total", model="demo", language="en") == 90
    assert figure("job_real_time_factor_count", model="demo") == 3
    assert figure("transcription_real_time_factor_bucket", model="demo", le="10.0") == 3
    assert figure("jobs_warned_total", code="demo_model") == 3
    text = client.get("/metrics", headers=AUTH).text
    assert key not in text and record.hash not in text


def test_gpus_are_told_once_each(
    make: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    told = tmp_path / "gpus.json"
    gpus = [{"uuid": f"GPU-{n}", "name": "H200", "busy": 50 * n, "used": n} for n in (1, 2)]
    told.write_text(json.dumps([*gpus, {"uuid": "GPU-3", "name": "MIG", "used": 3}]))
    monkeypatch.setenv("LONGHAND_TEST_GPUS", str(told))
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "plugins" / "nvml")
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    for name in ("gpu1@host-a", "gpu2@host-a"):
        worker = make_worker(services.settings)
        worker.name = name
        worker.store.events.here(name, ["gpu"])
        worker.announce()
        worker.app.close()
        worker.store.events._client.close()
    text = make().test_client().get("/metrics", headers=AUTH).text
    figure = read(text)
    assert text.count("longhand_gpu_utilisation_ratio{") == 2 and text.count("longhand_gpu_memory_used_bytes{") == 3
    assert figure("gpu_utilisation_ratio", host="host-a", gpu="1", model="H200") == 1
    assert figure("gpu_memory_used_bytes", host="host-a", gpu="2", model="MIG") == 3
    assert figure("gpu_memory_total_bytes", host="host-a", gpu="0", model="H200") == 80 << 30
    sys.modules.pop("pynvml", None)
