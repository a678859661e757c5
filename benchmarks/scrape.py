"""How long ``GET /metrics`` takes over a record of many jobs.

Usage: ``python -m benchmarks.scrape [--jobs 100000] [--queued 5000] [--messages 20000] [--accounts 5000] [--plans]``.
The record is SQLite, Redis a real one; the answer is made anew for every scrape. Every total there can be is there,
every route was asked for, every account used two models and three languages, and 49 of 50 queued jobs wait for their
turn. ``--plans`` also shows how each query is worked off.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Connection, event, insert

from benchmarks.machine import machine
from config.settings import Settings
from store import figures, jobs, totals
from store.database import Database
from store.models import WHOLE, Delivery, Job, ResumableUpload, Step, Usage
from store.totals import Addition
from tests.stack import KEY, RedisServer
from webapp import create_app, latency
from webapp.services import Services

_STAGES = ("normalise", "chunk", "detect_language", "transcribe", "merge", "export")
_MODELS = ("small", "large-v3-turbo")
_LANGUAGES = ("de", "en", "fr")
_AUTH = {"Authorization": f"Bearer {KEY}"}


def fill(database: Database, count: int, queued: int) -> None:
    """Write that many jobs, each with its stages, usage and webhook; the newest of them are queued and running."""
    at = jobs.now()
    kinds = [*("done",) * 90, *("failed",) * 7, *("cancelled",) * 3]
    rows: dict[type[Any], list[dict[str, Any]]] = {Job: [], Step: [], Usage: [], Delivery: []}
    for n in range(count):
        active = n >= count - 2 * queued
        status = ("queued" if n % 2 else "running") if active else kinds[n % 100]
        job_id, when = f"{n:032x}", at - timedelta(seconds=count - n)
        rows[Job].append(_job(job_id, status, f"key{n % 20}", began=when, ended=None if active else when))
        turn = active and (status == "running" or n % 100 == 51)
        rows[Job][-1] |= {"lane": "work" if active else None, "admitted_at": when if turn else None}
        rows[Step] += [_step(job_id, place, "pending" if active else "done", at=when) for place in range(len(_STAGES))]
        if not active:
            rows[Usage].append(_usage(job_id, when))
            rows[Delivery].append(_delivery(job_id, when))
    rows[ResumableUpload] = [_upload(f"{n:032x}", at) for n in range(200)]
    with database.write() as session:
        for table, found in rows.items():
            session.execute(insert(table), found)


def _job(job_id: str, status: str, owner: str, *, began: datetime, ended: datetime | None) -> dict[str, Any]:
    return {
        "duration": 60.0, "language": "en", "webhook_url": "https://example.org/", "fingerprint": None,
        "id": job_id, "status": status, "owner": owner, "batch": None, "priority": "normal",
        "options": {"model": "small"}, "details": {}, "stages": list(_STAGES), "source_name": "a.mp3",
        "source_bytes": 1000, "source_sha256": "0" * 64, "source_format": "mp3", "warnings": [],
        "error": None, "speaker_names": {}, "request_id": None, "created_at": began, "submitted_at": began,
        "started_at": began, "finished_at": ended,
    }  # fmt: skip


def _step(job_id: str, place: int, status: str, *, at: datetime) -> dict[str, Any]:
    return {
        "job_id": job_id, "stage": _STAGES[place], "item": WHOLE, "position": place, "status": status, "total": 1,
        "attempts": 1, "task_id": None, "claim": None, "worker": None, "started_at": at, "alive_at": None,
        "finished_at": None,
    }  # fmt: skip


def _usage(job_id: str, at: datetime) -> dict[str, Any]:
    return {
        "job_id": job_id, "owner": "a", "day": "2026-01-01", "model": "small", "audio_seconds": 1.0, "bytes": 1,
        "at": at,
    }  # fmt: skip


def _delivery(job_id: str, at: datetime) -> dict[str, Any]:
    return {
        "id": job_id, "job_id": job_id, "event": "job.done", "url": "https://example.org/hook",
        "endpoint": "0" * 64, "status": "delivered", "attempts": 1, "since_at": at, "due_at": None,
        "lease_until": None, "response_status": 204, "error": None, "created_at": at, "tried_at": at,
        "delivered_at": at,
    }  # fmt: skip


def _upload(upload_id: str, at: datetime) -> dict[str, Any]:
    return {
        "id": upload_id, "owner": "a", "name": "a", "length": 9, "offset": 1, "parts": [], "details": "",
        "sha256": None, "lock": None, "locked_at": None, "taken_at": None, "created_at": at,
        "expires_at": at + timedelta(hours=1),
    }  # fmt: skip


def count(services: Services, accounts: int) -> None:
    """Write running totals: of everything that is counted, in every range, and of so many accounts."""
    queues, stages = services.queue_names(), list(services.flow.stages)
    found = [Addition(totals.AUDIO, model, language, 1.0) for model in _MODELS for language in _LANGUAGES]
    found += [Addition(totals.JOBS, "failed", f"code_{n}", 1.0) for n in range(20)]
    found += [Addition(totals.PIECES, stage, f"{bound:g}", 1.0) for stage in stages for bound in totals.BOUNDS]
    found += [
        Addition(totals.WAITS, queue, f"{priority} {bound:g}", 1.0)
        for queue in queues
        for priority in jobs.PRIORITIES
        for bound in totals.BOUNDS
    ]
    found += [Addition(totals.TURNS, one, f"{bound:g}", 1.0) for one in jobs.PRIORITIES for bound in totals.LINES]
    found += [Addition(totals.AGAIN, stage, f"reason_{n}") for stage in stages for n in range(10)]
    for figure in (totals.FACTORS, totals.HEARD):
        found += [Addition(figure, model, f"{bound:g}", 1.0) for model in _MODELS for bound in totals.RATIOS]
    with services.store.database.write() as session:
        totals.add_all(session, found)
        for n in range(accounts):
            own = [Addition(totals.AUDIO, model, language, 1.0) for model in _MODELS for language in _LANGUAGES]
            ends = [Addition(totals.JOBS, "done", "", float(n)), Addition(totals.JOBS, "failed", "no_audio")]
            totals.add_all(session, [*own, *ends], owner=f"{n:032x}")


def ask(app: Flask, services: Services) -> None:
    """Count requests to every route, of every speed."""
    counted: Counter[str] = Counter()
    for rule in app.url_map.iter_rules():
        for status in ("2xx", "4xx"):
            for bound in ("sum", *(f"{bound:g}" for bound in latency.BOUNDS)):
                counted[f"{sorted(rule.methods or ['GET'])[0]} {status} {bound} {rule.rule}"] += 1
    services.requests.add(counted)
    assert services.requests.hand_over()


def plans(database: Database) -> None:
    """Show how SQLite works off each query of a scrape."""
    seen: list[tuple[str, Any]] = []

    def note(_: Connection, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    figures.of_record(database)
    event.remove(database.engine, "before_cursor_execute", note)
    with database.engine.connect() as connection:
        for statement, parameters in seen:
            print(" ".join(statement.split()))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
                print("    ", row[3])


def busy_queues(services: Services, messages: int) -> None:
    """Put messages on a queue, and have fifty workers tell of themselves and their GPUs."""
    with services.queues._client.pipeline(transaction=False) as pipe:
        for _ in range(messages):
            pipe.lpush("gpu\x06\x163", f'{{"headers": {{"longhand_sent_at": {time.time()}}}}}')
        pipe.execute()
    for n in range(50):
        services.store.events.here(f"gpu@{n}", ["gpu"])
        told = [{"uuid": f"{n}-{i}", "index": i, "name": "GPU", "utilisation": 0.5, "memory_used": 1} for i in range(8)]
        services.store.events.sees(f"gpu@{n}", told)


def main() -> None:
    """Fill, scrape, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--queued", type=int, default=5_000, help="as many are running")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--scrapes", type=int, default=30)
    parser.add_argument("--plans", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, closing(RedisServer()) as server:
        server.start()
        settings = {"data_dir": Path(folder), "redis_url": server.url, "api_key": KEY, "whisper_models": list(_MODELS)}
        app = create_app(Settings(_env_file=None, **settings))  # type: ignore[arg-type,call-arg]
        services = app.extensions["longhand"]
        fill(services.store.database, asked.jobs, asked.queued)
        busy_queues(services, asked.messages)
        count(services, asked.accounts)
        ask(app, services)
        # As where it is served (config/gunicorn.py).
        gc.collect()
        gc.freeze()
        client, took, busy = app.test_client(), [], time.process_time()
        for _ in range(asked.scrapes):
            services.figures._answered.clear()
            began = time.perf_counter()
            answer = client.get("/metrics", headers=_AUTH)
            assert answer.status_code == 200
            took.append((time.perf_counter() - began) * 1000)
        busy = (time.process_time() - busy) * 1000 / asked.scrapes
        print(machine())
        print(f"{asked.jobs} jobs, {asked.messages} messages, 50 workers, {asked.accounts} accounts:")
        samples = sum(not line.startswith("#") for line in answer.text.splitlines())
        print(f"GET /metrics, {asked.scrapes} times: {samples} samples, {len(answer.data) // 1024} KB")
        print(f"median {statistics.median(took):.0f} ms, worst {max(took):.0f} ms; {busy:.0f} ms of them at work")
        for name in services.figures._questions:
            began = time.perf_counter()
            services.figures._questions[name]()
            print(f"  of it {name} {(time.perf_counter() - began) * 1000:.0f} ms")
        if asked.plans:
            plans(services.store.database)


if __name__ == "__main__":
    main()
