"""Records of every earlier schema, with something in each of their tables, are brought up to date without a loss."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import TableClause, column, insert, inspect, select, table, text

from store import deliveries, jobs, schema, steps, totals
from store.database import Database
from store.models import WHOLE, Record
from store.steps import Begin, Piece
from tests.postgres_server import PostgresServer
from tests.stack import KEY, ROOT, free_port

AT = datetime(2026, 3, 29, 1, 30, 0, 250_000, tzinfo=UTC)
ID = {name: f"{number:032x}" for number, name in enumerate(("queued", "running", "waiting", "done", "failed"), 1)}
STAGES = ["normalise", "chunk", "transcribe", "merge"]


def job(name: str, **values: Any) -> dict[str, Any]:
    return {
        "id": ID[name], "status": name if name != "waiting" else "running", "owner": "news", "batch": "b" * 32,
        "priority": "high", "options": {"language": "de", "hotwords": ["Žižek", "🎙"]}, "details": {"box": [1, None]},
        "stages": STAGES, "source_name": "Müllers “Rede” 🎙.wav", "source_bytes": 5_000_000_000,
        "source_sha256": "a" * 64, "source_format": "wav", "duration": 61.25, "language": "de",
        "warnings": [{"code": "clipped"}], "error": None, "speaker_names": {"S1": "Zoë"}, "request_id": "r-1",
        "webhook_url": "https://example.org/hook", "fingerprint": None, "audio_quota": 3600.5, "created_at": AT,
        "submitted_at": AT, "lane": None, "admitted_at": None, "started_at": AT, "finished_at": None, **values,
    }  # fmt: skip


def step(name: str, stage: str, status: str, *, item: int = WHOLE, **values: Any) -> dict[str, Any]:
    return {
        "job_id": ID[name], "stage": stage, "item": item, "position": STAGES.index(stage), "status": status,
        "total": None, "attempts": 1, "task_id": "t-1", "claim": "c" * 32, "worker": "gpu@host", "sent_at": None,
        "started_at": AT, "alive_at": AT, "finished_at": AT if status == "done" else None, **values,
    }  # fmt: skip


ROWS: dict[str, list[dict[str, Any]]] = {
    "jobs": [
        job("queued", started_at=None), job("running"), job("waiting"), job("done", finished_at=AT),
        job("failed", finished_at=AT, error={"code": "no_audio", "detail": "Nichts zu hören."}),
    ],
    "steps": [
        step("queued", "normalise", "pending", attempts=0, task_id=None, claim=None, worker=None, alive_at=None),
        step("running", "normalise", "done"), step("running", "transcribe", "running", item=3, total=8),
        step("waiting", "normalise", "pending"), step("done", "merge", "done"), step("failed", "normalise", "failed"),
    ],
    "idempotency_keys": [
        {"owner": "news", "key": "k-1", "fingerprint": "f" * 64, "job_id": ID["done"], "batch": None, "jobs": 1,
         "settled": True, "created_at": AT},
    ],
    "api_keys": [
        {"id": "k" * 32, "owner": "news", "name": "Redaktion", "hash": "h" * 64, "hint": "lh-…abcd",
         "scopes": ["write", "read"], "requests_per_minute": 60, "audio_seconds_per_day": 3600.5,
         "webhook_secret": "whsec_eA==", "created_at": AT, "expires_at": None, "revoked_at": AT, "used_at": AT},
    ],
    "uploads": [
        {"id": "u" * 32, "owner": "news", "name": "long.wav", "length": 5_000_000_000, "offset": 4_294_967_297,
         "parts": [["part-0", 4_294_967_297]], "details": "filename bG9uZy53YXY=", "sha256": None, "lock": None,
         "locked_at": None, "taken_at": None, "created_at": AT, "expires_at": AT},
    ],
    "usage": [
        {"job_id": ID["done"], "owner": "news", "day": "2026-03-29", "model": "small", "audio_seconds": 61.25,
         "bytes": 5_000_000_000, "at": AT},
    ],
    "totals": [{"figure": totals.JOBS, "label": "done", "detail": "", "count": 7, "amount": 70.5}],
    "account_totals": [
        {"figure": "jobs", "owner": "news", "label": "done", "detail": "", "count": 7, "amount": 70.5},
    ],
    "deliveries": [
        {"id": "d" * 32, "job_id": ID["done"], "event": "job.done", "url": "https://example.org/hook",
         "endpoint": "e" * 64, "status": "delivered", "attempts": 2, "tries": [{"status": 500}], "since_at": AT,
         "due_at": None, "lease_until": None, "response_status": 204, "error": None, "created_at": AT,
         "tried_at": AT, "delivered_at": AT},
    ],
}  # fmt: skip


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    return ScriptDirectory.from_config(config)


def revisions() -> list[str]:
    return [one.revision for one in scripts().walk_revisions()][::-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path / 'record.db'}")
        yield found
        found.engine.dispose()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    found = Database(server.create())
    yield found
    found.engine.dispose()
    server.drop(found.url)


def as_it_is(database: Database, name: str) -> TableClause:
    """A table with those of today's columns that it has by now."""
    there = {one["name"] for one in inspect(database.engine).get_columns(name)}
    return table(
        name, *(column(one.name, one.type) for one in Record.metadata.tables[name].columns if one.name in there)
    )


def fill(database: Database) -> dict[str, TableClause]:
    """Put rows into all tables that are there."""
    there = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    filled = {name: as_it_is(database, name) for name in ROWS if name in there}
    assert there <= set(filled), "a table that this test has no rows for"
    with database.write() as session:
        for name, one in filled.items():
            for row in ROWS[name]:
                session.execute(insert(one).values({c.name: row[c.name] for c in one.columns}))
    return filled


def rows(database: Database, one: TableClause) -> list[tuple[Any, ...]]:
    with database.read() as session:
        return sorted((tuple(row) for row in session.execute(select(one)).all()), key=repr)


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_no_row_of_an_earlier_schema_is_lost_or_changed(bare: Database, revision: str) -> None:
    schema.upgrade(bare.engine, revision)
    filled = fill(bare)
    # An account's turns came with 0003, which gives them to what is under way.
    turns = {"lane", "admitted_at"} if revision < "0003" else set()
    before = {name: rows(bare, one) for name, one in filled.items()}
    assert sum(map(len, before.values())) >= sum(len(ROWS[name]) for name in ("jobs", "steps", "idempotency_keys"))
    bare.upgrade()
    assert {name: rows(bare, one) for name, one in filled.items()} == before
    assert not turns & {c.name for c in filled["jobs"].columns}
    with bare.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Record.metadata) == []
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_its_jobs_go_on_with_the_columns_that_came_later(bare: Database, revision: str) -> None:
    schema.upgrade(bare.engine, revision)
    fill(bare)
    bare.upgrade()
    found = {name: jobs.get(bare, job_id) for name, job_id in ID.items()}
    assert all(found.values())
    running, queued = found["running"], found["queued"]
    assert running is not None and queued is not None
    if revision < "0002":
        assert running.speaker_names == {} and running.webhook_url is None
    if revision < "0003":
        assert (running.lane, running.admitted_at) == ("work", AT), "it has begun, so it has its turn"
        assert all(one.lane is None for name, one in found.items() if one and name != "running")
    if "0002" <= revision < "0004":
        assert [one.tries for one in deliveries.of_job(bare, ID["done"])] == [[]]
    piece = Piece(ID["queued"], "normalise")
    begun, claim = steps.begin(bare, piece, task_id="t", worker="w", max_attempts=3, stale_seconds=30)
    assert begun is Begin.RUN and steps.done(bare, piece, claim)
    lost = Piece(ID["running"], "transcribe", 3)
    begun, _ = steps.begin(bare, lost, task_id="u", worker="w", max_attempts=3, stale_seconds=30)
    assert begun is Begin.RUN, "nobody has been at it since March"
    jobs.delete_record(bare, ID["done"])
    assert jobs.get(bare, ID["done"]) is None
    with bare.read() as session:
        assert session.execute(text("SELECT count(*) FROM steps WHERE job_id = :id"), {"id": ID["done"]}).scalar() == 0


def test_tables_of_a_newer_version_are_left_alone_and_said_to_be(bare: Database, tmp_path: Path) -> None:
    bare.upgrade()
    with bare.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.TooNew, match="start that version, or restore the backup"):
        bare.upgrade()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATABASE_URL": bare.url, "DATA_DIR": str(tmp_path)}
    for command, status in (["store.upgrade"], 1), (["gunicorn", "-c", "config/gunicorn.py", "webapp.main:app"], 3):
        port = {"BIND_PORT": str(free_port()), "API_KEY": KEY}
        ended = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=env | port, capture_output=True, text=True, timeout=60
        )
        assert "of a newer version of Longhand: start that version" in ended.stdout + ended.stderr, ended
        assert ended.returncode == status and "Traceback" not in ended.stdout + ended.stderr, ended
    with bare.engine.connect() as connection:
        assert schema.current(connection) == "9999"
