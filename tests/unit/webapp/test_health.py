"""Health: what is there, what is missing, and that asking is quick."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from webapp.probes import Probes
from webapp.services import Services


def workers_are_there(services: Services, model: str = "demo") -> None:
    services.store.events.here("gpu@a", ["gpu"])
    services.store.events.here("cpu@a", ["cpu", "net"])
    services.store.events.holds("gpu@a", [{"name": model, "device": "cpu", "compute_type": "int8"}])


def test_with_everything_there(client: FlaskClient, services: Services) -> None:
    workers_are_there(services)
    health = client.get("/health")
    assert health.status_code == 200
    assert health.json["gateway"] == "ok"
    model = {"status": "ok", "loaded_models": ["demo"], "device": "cpu", "compute_type": "int8"}
    assert health.json["model"] == model
    assert [w["code"] for w in health.json["warnings"]] == ["demo_model"]
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["ready"]) == (200, True)
    assert set(ready.json["checks"]) == {"database", "redis", "storage", "queue cpu", "queue gpu", "queue net"}


def test_a_real_model_needs_no_warning_and_a_folder_is_not_told(make: Callable[..., Flask]) -> None:
    for folder, shown in (("/srv/secret/own", "own"), ("/srv/secret/other", "mine"), ("small", "small")):
        # An application each: what one has found out is good for a second.
        app = make(whisper_models=["/srv/secret/own"], whisper_aliases={"mine": "/srv/secret/other"})
        services: Services = app.extensions["longhand"]
        workers_are_there(services, folder)
        health = app.test_client().get("/health").json
        assert (health["model"]["loaded_models"], health["warnings"]) == ([shown], [])


def test_a_worker_without_a_model_yet_is_loading(client: FlaskClient, services: Services) -> None:
    services.store.events.here("all@a", ["gpu", "cpu", "net"])
    health = client.get("/health")
    assert (health.status_code, health.json["model"]["status"]) == (200, "loading")


def test_a_queue_without_a_worker_is_named(client: FlaskClient, services: Services) -> None:
    services.store.events.here("cpu@a", ["cpu"])
    ready = client.get("/health/ready")
    assert ready.status_code == 503 and ready.headers["Retry-After"]
    wrong = {name for name, check in ready.json["checks"].items() if not check["ok"]}
    assert wrong == {"queue gpu", "queue net"}
    assert "gpu" in ready.json["checks"]["queue gpu"]["detail"]
    health = client.get("/health")
    assert (health.status_code, health.json["gateway"]) == (503, "degraded")
    assert health.json["model"]["status"] == "unavailable"


def test_without_redis_it_says_so_at_once_and_jobs_can_be_read(make: Callable[..., Flask], tmp_path: Path) -> None:
    # An address nobody answers from, which is worse than one that refuses.
    client = make(redis_url="redis://192.0.2.1:6379/0", api_key=None).test_client()
    began = time.monotonic()
    ready = client.get("/health/ready")
    assert time.monotonic() - began < 15
    assert ready.status_code == 503
    assert not ready.json["checks"]["redis"]["ok"]
    for queue in ("cpu", "gpu", "net"):
        check = ready.json["checks"][f"queue {queue}"]
        assert not check["ok"] and "not known while Redis is away" in check["detail"]
    assert ready.json["checks"]["database"]["ok"]
    assert client.get("/health/live").status_code == 200
    assert client.get("/v1/jobs").status_code == 200


def test_storage_that_cannot_be_written_is_named(make: Callable[..., Flask], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make(storage_url=(tmp_path / "file" / "jobs").as_uri()).test_client()
    checks = client.get("/health/ready").json["checks"]
    assert (checks["storage"]["ok"], checks["redis"]["ok"]) == (False, True)


def test_a_probe_that_hangs_is_asked_once_and_hides_no_other() -> None:
    release, asked = threading.Event(), []

    def hang() -> str:
        asked.append(None)
        assert release.wait(30)
        return "late"

    probes = Probes({"hangs": hang, "answers": lambda: "here"})
    try:
        for _ in range(8):
            found = probes.ask(seconds=0.05)
            assert not found["hangs"].done()
            assert found["answers"].result(0) == "here"
        assert len(asked) == 1
        release.set()
        assert probes.ask(seconds=10)["hangs"].result(0) == "late"
    finally:
        release.set()
        probes.close()


def test_an_answer_is_good_for_a_while_and_then_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    clock = [100.0]
    monkeypatch.setattr("webapp.probes.time", SimpleNamespace(monotonic=lambda: clock[0]))
    probes = Probes({"count": lambda: asked.append(None)})
    for later, expected in ((0.0, 1), (0.9, 1), (1.1, 2)):
        clock[0] = 100.0 + later
        probes.ask(seconds=10)
        assert len(asked) == expected
    probes.close()


def test_health_does_not_wear_out_while_redis_hangs(make: Callable[..., Flask]) -> None:
    client = make(redis_url="redis://192.0.2.1:6379/0", api_key=None).test_client()
    for _ in range(5):
        checks = client.get("/health/ready").json["checks"]
        assert (checks["redis"]["ok"], checks["database"]["ok"], checks["storage"]["ok"]) == (False, True, True)
