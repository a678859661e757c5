"""Keys and usage in the record: what is kept, who wins, what is counted once."""

import base64
import contextlib
import hashlib
import threading
import time
from datetime import date, timedelta

import pytest
from limits import parse_many
from pydantic import ValidationError
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from config.settings import Settings
from store import jobs, keys, usage
from store.database import BUSY_SECONDS, Database
from store.models import ApiKey, Job, Step, Usage

TODAY = date(2026, 5, 5)


def finished(
    database: Database, owner: str, *, seconds: float | None = 12.5, model: str = "demo", size: int = 5
) -> str:
    job_id = running(database, owner, seconds=seconds, model=model, size=size)
    assert jobs.finish(database, job_id)
    return job_id


def running(database: Database, owner: str, *, seconds: float | None = 12.5, model: str = "demo", size: int = 5) -> str:
    new = jobs.NewJob(
        id=jobs.new_id(), owner=owner, options={"model": model}, stages=["merge"], source_name="t", source_bytes=size,
        source_sha256="0" * 64,
    )  # fmt: skip
    jobs.create(database, new)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == new.id).values(status="running", duration=seconds))
        session.execute(update(Step).where(Step.job_id == new.id).values(status="done"))
    return new.id


def test_only_the_hash_of_a_key_is_kept(database: Database) -> None:
    record, key = keys.create(database, "Ada", scopes=["transcribe", "read"])
    assert key.startswith("lh-") and len(base64.urlsafe_b64decode(key[3:] + "=")) == 32
    assert record.webhook_secret.startswith("whsec_")
    assert len(base64.b64decode(record.webhook_secret.removeprefix("whsec_"))) == 32
    with database.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM api_keys")).mappings().one()
    assert row["hash"] == hashlib.sha256(key.encode()).hexdigest()
    assert key.startswith(row["hint"]) and len(row["hint"]) < 12
    assert not [value for value in row.values() if value == key]
    found = keys.find(database, key)
    assert found is not None and (found.id, found.scopes) == (record.id, ["read", "transcribe"])
    assert keys.find(database, key[:-1]) is None and keys.find(database, key.swapcase()) is None


def test_no_two_keys_are_the_same(database: Database) -> None:
    made = [keys.create(database, "same name", scopes=["read"]) for _ in range(20)]
    for of in (lambda r, k: r.id, lambda r, k: k, lambda r, k: r.webhook_secret):
        assert len({of(record, key) for record, key in made}) == 20
    assert [record.id for record in keys.every(database)] == [record.id for record, _ in made][::-1]


def test_the_first_revocation_counts(database: Database) -> None:
    record, key = keys.create(database, "Ada", scopes=["read"])
    assert keys.revoke(database, record.id)
    first = keys.get(database, record.id)
    assert keys.revoke(database, record.id)
    again = keys.find(database, key)
    assert first is not None and again is not None
    assert first.revoked_at is not None and again.revoked_at == first.revoked_at
    assert not keys.revoke(database, jobs.new_id())


def test_use_is_noted_once_a_minute(database: Database) -> None:
    record, key = keys.create(database, "Ada", scopes=["read"])
    keys.touch(database, record)
    first = keys.find(database, key)
    assert first is not None and first.used_at is not None
    keys.touch(database, record)  # another request that saw the same record
    keys.touch(database, first)
    again = keys.find(database, key)
    assert again is not None and again.used_at == first.used_at
    with database.write() as session:
        session.execute(update(ApiKey).values(used_at=jobs.now() - timedelta(seconds=61)))
    old = keys.find(database, key)
    assert old is not None
    keys.touch(database, old)
    new = keys.find(database, key)
    assert new is not None and new.used_at is not None and new.used_at > first.used_at


def test_a_job_is_booked_once_however_often_it_ends(database: Database) -> None:
    job_id = running(database, "k1")
    won: list[bool] = []
    together = threading.Barrier(4)

    def end() -> None:
        together.wait()
        won.append(jobs.finish(database, job_id))

    threads = [threading.Thread(target=end) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    with database.write() as session:  # as if it was brought back to life
        session.execute(update(Job).where(Job.id == job_id).values(status="running"))
    assert jobs.finish(database, job_id)
    with database.read() as session:
        rows = session.query(Usage).all()
    assert [(r.job_id, r.owner, r.model, r.audio_seconds, r.bytes) for r in rows] == [(job_id, "k1", "demo", 12.5, 5)]


def test_usage_outlives_its_job_and_knows_no_failed_one(database: Database) -> None:
    jobs.delete_record(database, finished(database, "k1", seconds=None))
    jobs.fail(database, running(database, "k1"), code="x", detail="x", stage="merge")
    jobs.cancel(database, running(database, "k1"))
    day = usage.today()
    # A day may begin between the booking and the question.
    assert usage.totals(database, first=day - timedelta(1), last=day) == [usage.Sum((), 0.0, 1, 5)]


def test_a_booking_is_undone_with_the_end_it_belongs_to(database: Database) -> None:
    job_id = running(database, "k1")
    with pytest.raises(RuntimeError), database.write() as session:
        usage.book(session, job_id)
        raise RuntimeError
    assert usage.counted_today(database, "k1") == 12.5  # as a job under way, no more


def test_sums_by_group(database: Database) -> None:
    for owner, model, seconds, day in [
        ("k1", "small", 10, "2026-05-04"), ("k1", "large", 20, "2026-05-04"), ("k1", "small", 40, "2026-05-05"),
        ("k2", "small", 80, "2026-05-05"), ("k2", "small", 160, "2026-05-06"),
    ]:  # fmt: skip
        job_id = finished(database, owner, seconds=seconds, model=model)
        with database.write() as session:
            session.execute(update(Usage).where(Usage.job_id == job_id).values(day=day))

    def found(*groups: str, owner: str | None = None, last: date = TODAY) -> list[tuple[tuple[str, ...], float, int]]:
        rows = usage.totals(database, first=date(2026, 5, 4), last=last, group_by=groups, owner=owner)
        return [(row.group, row.audio_seconds, row.jobs) for row in rows]

    assert found() == [((), 150, 4)]
    assert found("day") == [(("2026-05-04",), 30, 2), (("2026-05-05",), 120, 2)]
    assert found("key", last=date(2026, 5, 6)) == [(("k1",), 70, 3), (("k2",), 240, 2)]
    assert found("model", "key") == [(("large", "k1"), 20, 1), (("small", "k1"), 50, 2), (("small", "k2"), 80, 1)]
    assert found("day", owner="k2") == [(("2026-05-05",), 80, 1)]
    assert found("day", owner="k3") == [] and found(owner="k3") == [((), 0, 0)]


def test_jobs_under_way_count_against_the_day(database: Database) -> None:
    finished(database, "k1", seconds=10)
    running(database, "k1", seconds=5)
    running(database, "k1", seconds=None)
    running(database, "k2", seconds=100)
    assert usage.counted_today(database, "k1") == 15
    with database.write() as session:
        session.execute(update(Usage).values(day="2020-01-01"))
    assert usage.counted_today(database, "k1") == 5
    assert 0 < usage.until_tomorrow() <= 86_400


@pytest.mark.parametrize(
    "rate", ["600/minute", "5 per second", "10/second, 600/minute", "1 per 2 hours;5/DAY", " 6/hour ", "7/ 3 days"]
)
def test_a_rate_that_settings_take_is_one_the_limiter_takes(rate: str) -> None:
    assert parse_many(str(Settings(_env_file=None, rate_limit=rate).rate_limit))


@pytest.mark.parametrize("rate", ["600", "fast", "0/minute", "5/fortnight", "600/minute,", "-1/minute", "5/0 minutes"])
def test_a_rate_that_is_none_is_refused_at_start(rate: str) -> None:
    with pytest.raises(ValidationError, match="600/minute"):
        Settings(_env_file=None, rate_limit=rate)


def test_a_busy_record_keeps_nobody_who_brings_a_key_waiting(database: Database) -> None:
    record, _ = keys.create(database, "Ada", scopes=["read"])
    began = time.monotonic()
    with database.write() as session:
        session.execute(update(ApiKey).values(name="Grace"))
        with pytest.raises(OperationalError):
            keys.touch(database, record)
    assert time.monotonic() - began < 15
    keys.touch(database, record)
    found = keys.get(database, record.id)
    assert found is not None and found.used_at is not None
    # Those who write something of weight are as patient as ever, on the same connections.
    with contextlib.ExitStack() as close:
        for _ in range(3):
            connection = close.enter_context(database.engine.connect())
            if database.engine.dialect.name == "sqlite":
                assert connection.execute(text("PRAGMA busy_timeout")).scalar() == BUSY_SECONDS * 1000
            else:
                assert connection.execute(text("SHOW lock_timeout")).scalar() == f"{BUSY_SECONDS}s"
