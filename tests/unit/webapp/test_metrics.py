"""Figures for Prometheus: what they say, in both formats, with parts away, and to whom."""

import math
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from sqlalchemy import delete, event, update

from config.version import program_version
from store import jobs, keys, standing, steps, totals, uploads
from store.files import Storage
from store.models import WHOLE, Job
from store.steps import Piece
from store.uploads import NewUpload
from tests.unit.webapp.conftest import AUTH, begin, do, some_transcript, work_off
from webapp.metrics import Figures
from webapp.services import Services, make_services

Reading = Callable[..., float | None]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: list[Metric]) -> Samples:
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def read(text: str) -> Reading:
    found = samples(list(parser.text_string_to_metric_families(text)))

    def figure(name: str, **labels: str) -> float | None:
        return found.get((f"longhand_{name}", frozenset(labels.items())))

    return figure


@pytest.fixture
def ask(app: Flask) -> Callable[[], Reading]:
    """The figures as they are now: an answer that is good for a second is not waited for."""

    def ask() -> Reading:
        services: Services = app.extensions["longhand"]
        services.figures._answered.clear()
        response = app.test_client().get("/metrics", headers=AUTH)
        assert response.status_code == 200, response.text
        return read(response.text)

    return ask


def test_an_installation_without_jobs(client: FlaskClient, ask: Callable[[], Reading]) -> None:
    figure = ask()
    assert figure("build_info", version=program_version()) == 1
    assert (figure("up", part="database"), figure("up", part="redis")) == (1, 1)
    assert figure("queue_wait_target_seconds") == 60
    for status in ("queued", "running", "done", "failed", "cancelled"):
        assert figure("jobs", status=status) == 0
    for queue in ("cpu", "gpu"):
        assert figure("workers", queue=queue) == 0
        for priority in ("high", "normal", "low"):
            assert figure("queue_messages", queue=queue, priority=priority) == 0
            assert figure("queue_oldest_message_seconds", queue=queue, priority=priority) == 0
    assert figure("jobs_ended_total", outcome="done", code="") == 0
    assert figure("jobs_oldest_queued_seconds") == 0
    assert figure("upkeep_age_seconds") == math.inf, "there was none yet"
    assert "longhand_gpu" not in client.get("/metrics", headers=AUTH).text


def test_how_long_ago_upkeep_was(services: Services, ask: Callable[[], Reading]) -> None:
    services.store.events.looked_after()
    assert 0 <= (ask()("upkeep_age_seconds") or 0) < 60
    services.store.events._client.set("longhand:upkeep", services.store.events._time() - 700)
    assert 700 <= (ask()("upkeep_age_seconds") or 0) < 760


def test_jobs_and_what_they_used_outlive_them(
    send: Callable[..., Any], services: Services, ask: Callable[[], Reading]
) -> None:
    database = services.store.database
    done, failed, cancelled, again = (send().json["id"] for _ in range(4))
    work_off(services, done)
    begin(services, failed, "normalise")
    assert jobs.fail(database, failed, code="undecodable", detail="d", stage="normalise")
    assert not jobs.fail(database, failed, code="internal", detail="d", stage="normalise")
    assert jobs.cancel(database, cancelled) and not jobs.cancel(database, cancelled)
    assert jobs.cancel(database, again) and jobs.retry(database, again)
    assert not jobs.finish(database, done)
    for stays in (True, False):
        figure = ask()
        assert figure("jobs_ended_total", outcome="done", code="") == 1
        assert figure("jobs_ended_total", outcome="failed", code="undecodable") == 1
        assert figure("jobs_ended_total", outcome="failed", code="internal") == 0
        assert figure("jobs_ended_total", outcome="failed", code="no_audio") == 0
        assert figure("jobs_ended_total", outcome="cancelled", code="") == 2
        assert figure("audio_seconds_total", model="demo", language="en") == 30
        assert figure("stage_duration_seconds_count", stage="normalise") == 1
        assert figure("stage_duration_seconds_count", stage="transcribe") == 2
        assert figure("jobs", status="queued") == stays
        assert figure("jobs", status="done") == stays
        with database.write() as session:
            session.execute(delete(Job))


def test_pieces_of_work_are_counted_by_how_long_they_took(
    send: Callable[..., Any], services: Services, ask: Callable[[], Reading]
) -> None:
    database, job_id = services.store.database, send().json["id"]
    with database.write() as session:
        for seconds in (0.1, 0.2, 4.0, 5000.0):
            bound = next((b for b in totals.BOUNDS if seconds <= b), float("inf"))
            totals.add(session, totals.PIECES, "export", totals.name_of(bound), seconds)
        # A bound that this version does not know any more.
        totals.add(session, totals.PIECES, "export", "3", 2.9)
    claim = begin(services, job_id, "normalise")
    piece = Piece(job_id, "normalise", WHOLE)
    assert steps.done(database, piece, claim) and steps.done(database, piece, claim), (
        "it is asked again, and counts once"
    )
    figure = ask()

    def bucket(le: str) -> float | None:
        return figure("stage_duration_seconds_bucket", stage="export", le=le)

    assert [bucket(le) for le in ("0.1", "0.25", "2.5", "3.0", "5.0", "3600.0", "+Inf")] == [1, 2, 2, 3, 4, 4, 5]
    assert figure("stage_duration_seconds_sum", stage="export") == pytest.approx(5007.2)
    assert figure("stage_duration_seconds_count", stage="normalise") == 1


def test_queues_by_priority_are_what_celery_has_on_them(
    send: Callable[..., Any], services: Services, ask: Callable[[], Reading]
) -> None:
    began = time.time()
    for priority in ("high", "low", "low", "normal", "normal", "normal"):
        assert send(priority=priority).status_code == 202
    job_id = send(priority="low").json["id"]
    do(services, job_id, "normalise")
    services.flow._message("stage.transcribe", _job(services, job_id), "gpu", 0).apply_async()
    figure = ask()
    depth = {
        (queue, priority): figure("queue_messages", queue=queue, priority=priority)
        for queue in ("cpu", "gpu")
        for priority in ("high", "normal", "low")
    }
    assert depth == {
        ("cpu", "high"): 1, ("cpu", "normal"): 3, ("cpu", "low"): 3,
        ("gpu", "high"): 0, ("gpu", "normal"): 0, ("gpu", "low"): 1,
    }  # fmt: skip
    assert services.flow.waiting() == 8
    age = figure("queue_oldest_message_seconds", queue="cpu", priority="normal")
    assert age is not None and 0 < age <= time.time() - began + 0.01
    assert figure("queue_oldest_message_seconds", queue="gpu", priority="high") == 0


def _job(services: Services, job_id: str) -> Job:
    found = jobs.get(services.store.database, job_id)
    assert found is not None
    return found


def test_how_long_the_oldest_queued_job_waits(
    send: Callable[..., Any], services: Services, ask: Callable[[], Reading]
) -> None:
    database = services.store.database
    old, running, stands, _ = (send().json["id"] for _ in range(4))
    before = jobs.now().timestamp()
    with database.write() as session:
        for job_id, ago in ((old, 500.0), (running, 900.0)):
            at = jobs.now().fromtimestamp(before - ago, jobs.now().tzinfo)
            session.execute(update(Job).where(Job.id == job_id).values(created_at=at, submitted_at=at))
    begin(services, running, "normalise")
    standing.stands(database, stands)
    seconds = ask()("jobs_oldest_queued_seconds")
    assert seconds is not None and 500 <= seconds < 530


def test_workers_models_and_uploads(services: Services, ask: Callable[[], Reading]) -> None:
    events = services.store.events
    events.here("gpu@a", ["gpu"])
    events.here("all@b", ["cpu", "gpu", "a-queue-of-nobody"], children=3)
    for worker, model in (("gpu@a", "demo"), ("all@b", "somebody/elses")):
        events.holds(worker, [{"name": model, "device": "cpu", "compute_type": "int8"}])
    database = services.store.database
    for sha256 in (None, "0" * 64):
        upload = uploads.create(database, NewUpload("admin", "a", "", 10), hours=1)
        if sha256:
            assert uploads.lock(database, upload.id, claim="c", hours=1)
            assert uploads.complete(database, upload.id, claim="c", sha256=sha256, hours=1)
    figure = ask()
    assert (figure("workers", queue="cpu"), figure("workers", queue="gpu")) == (1, 2)
    assert [figure("worker_processes", queue=queue) for queue in ("cpu", "gpu", "net")] == [3, 4, 0]
    assert figure("stage_info", stage="transcribe", queue="gpu") == 1
    assert figure("workers", queue="a-queue-of-nobody") is None
    for shown in ("demo", "other"):
        assert figure("models_loaded", model=shown, device="cpu", compute_type="int8") == 1
    assert figure("uploads_in_progress") == 1


def test_labels_are_bounded_whatever_requests_say(make: Callable[..., Flask], client: FlaskClient) -> None:
    app = make(whisper_models=["demo", "/srv/a/own"], whisper_aliases={"fast": "small"}, allowed_models=["*"])
    services: Services = app.extensions["longhand"]
    with services.store.database.write() as session:
        for number in range(30):
            totals.add(session, totals.AUDIO, f"org/model-{number}", "en", 1)
            totals.add(session, totals.JOBS, "failed", f'"\n{number}', 1)
        for model, language in (("/srv/a/own", "de"), ("fast", "de"), ("demo", "zz"), ("demo", "")):
            totals.add(session, totals.AUDIO, model, language, 2)
    text = app.test_client().get("/metrics", headers=AUTH).text
    figure = read(text)
    assert figure("audio_seconds_total", model="other", language="en") == 30
    assert figure("audio_seconds_total", model="own", language="de") == 2
    assert figure("audio_seconds_total", model="fast", language="de") == 2
    assert figure("audio_seconds_total", model="demo", language="other") == 4
    assert figure("jobs_ended_total", outcome="failed", code="other") == 30
    assert "/srv" not in text and "org/" not in text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", True),
        ("Application/OpenMetrics-Text", True),
        ("application/openmetrics-text;version=x;escaping=ü;q=nonsense, ;;,=", None),
    ],
)
def test_both_formats_hold_the_same(
    client: FlaskClient, services: Services, send: Callable[..., Any], accept: str | None, expected: bool | None
) -> None:
    work_off(services, send().json["id"], some_transcript())
    response = client.get("/metrics", headers={**AUTH, **({"Accept": accept} if accept else {})})
    assert response.status_code == 200 and response.headers["Vary"] == "Accept"
    assert expected is None or (response.mimetype == "application/openmetrics-text") == expected
    if response.mimetype == "application/openmetrics-text":
        families = list(openmetrics.text_string_to_metric_families(response.text))
        assert response.text.endswith("# EOF\n")
    else:
        assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
        families = list(parser.text_string_to_metric_families(response.text))
    found = samples(families)
    assert found["longhand_jobs", frozenset({("status", "done")})] == 1
    assert found["longhand_jobs_ended_total", frozenset({("outcome", "done"), ("code", "")})] == 1
    names = [family.name for family in families]
    assert len(names) == len(set(names)) >= 14
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert family.name.startswith("longhand_")


def test_who_may_see_it(client: FlaskClient, services: Services) -> None:
    for scopes, status in ((["read", "transcribe"], 403), (["admin"], 200)):
        _, key = keys.create(services.store.database, "k", scopes=scopes)
        assert client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == status
    assert client.get("/metrics").status_code == 401
    assert client.head("/metrics", headers=AUTH).status_code == 200


def test_without_redis_the_rest_is_told(make: Callable[..., Flask], send: Callable[..., Any]) -> None:
    send()
    # One address nobody listens at, and one nobody answers from.
    for url in ("redis://127.0.0.1:1/0", "redis://192.0.2.1:6379/0"):
        client = make(redis_url=url).test_client()
        began = time.monotonic()
        response = client.get("/metrics", headers=AUTH)
        assert time.monotonic() - began < 20
        assert response.status_code == 200
        figure = read(response.text)
        assert (figure("up", part="redis"), figure("up", part="database")) == (0, 1)
        assert figure("jobs", status="queued") == 1
        assert "longhand_queue_messages" not in response.text and "longhand_workers" not in response.text


def test_without_the_database_the_rest_is_told(client: FlaskClient, services: Services) -> None:
    services.store.events.here("cpu@a", ["cpu"])
    engine = services.store.database.engine

    def away(*_: Any) -> None:
        raise ConnectionError("away")

    event.listen(engine, "before_cursor_execute", away)
    try:
        response = client.get("/metrics", headers=AUTH)
    finally:
        event.remove(engine, "before_cursor_execute", away)
    assert response.status_code == 200
    figure = read(response.text)
    assert (figure("up", part="redis"), figure("up", part="database")) == (1, 0)
    assert figure("workers", queue="cpu") == 1 and "longhand_jobs" not in response.text


def test_the_room_on_disks(ask: Callable[[], Reading], tmp_path: Path) -> None:
    figure = ask()
    disk = shutil.disk_usage(tmp_path)
    for place in ("data", "storage"):
        free, size = figure("disk_free_bytes", place=place), figure("disk_size_bytes", place=place)
        assert free is not None and abs(free - disk.free) < 1 << 30 and size == disk.total
    assert figure("up", part="storage") == 1


def test_of_a_bucket_there_is_no_room_to_tell(services: Services) -> None:
    store = replace(services.store, files=Storage(f"memory://{secrets.token_hex(4)}"))
    elsewhere = make_services(services.settings, store, services.flow)
    try:
        found = samples(list(Figures(elsewhere).collect()))
    finally:
        for part in (elsewhere.probes, elsewhere.figures, elsewhere.queues, elsewhere.listening, elsewhere.tickets):
            part.close()
    assert found["longhand_up", frozenset({("part", "storage")})] == 1
    assert {name for name in found if name[0] == "longhand_disk_free_bytes"} == {
        ("longhand_disk_free_bytes", frozenset({("place", "data")}))
    }


def test_a_disk_that_is_gone_is_not_told_as_full(
    ask: Callable[[], Reading], services: Services, tmp_path: Path
) -> None:
    assert services.store.files.local is not None
    services.store.files.local.rename(tmp_path / "elsewhere")
    figure = ask()
    assert figure("up", part="storage") == 0 and figure("up", part="database") == 1
    assert figure("disk_free_bytes", place="storage") is None and figure("disk_free_bytes", place="data")


def test_a_disk_that_hangs_holds_up_only_what_it_would_tell(
    ask: Callable[[], Reading], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.metrics._SECONDS", 0.5)
    released = threading.Event()
    for name in ("disk storage", "storage"):
        monkeypatch.setitem(services.figures._questions, name, released.wait)
    try:
        began = time.monotonic()
        figure = ask()
        assert time.monotonic() - began < 5
    finally:
        released.set()
    assert figure("up", part="storage") == 0 and figure("up", part="redis") == 1
    assert figure("disk_free_bytes", place="storage") is None and figure("disk_free_bytes", place="data")
    assert figure("jobs", status="queued") == 0
