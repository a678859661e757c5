"""What beat's tasks find and mend: over a real record, real files and a real broker, with nobody working."""

import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import delete, event, update

from config.settings import Settings
from store import jobs, ownership, steps, uploads
from store.database import Database
from store.models import Job, ResumableUpload, Step
from store.steps import Piece
from store.upload_files import continue_upload
from tasks import upkeep
from tasks.worker import Worker, make_worker
from tests.stack import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    own = RedisServer()
    yield own.start()
    own.close()


@pytest.fixture
def worker(server: RedisServer, tmp_path: Path) -> Iterator[Worker]:
    given = {"redis_url": server.url, "data_dir": tmp_path, "retention_days": 30, "lease_renewal_seconds": 0.5}
    settings = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    made = make_worker(settings)
    made.store.database.upgrade()
    made.store.events.remember()
    yield made
    made.app.close()
    made.store.database.engine.dispose()


def job(worker: Worker, job_id: str | None = None, **columns: object) -> str:
    new = jobs.NewJob(
        id=job_id or jobs.new_id(), owner="", options={"language": "en"}, stages=["normalise", "chunk"],
        source_name="x", source_bytes=1, source_sha256="",
    )  # fmt: skip
    jobs.create(worker.store.database, new)
    with worker.store.files.create(new.id, "source") as upload:
        upload.write(b"x")
        upload.keep()
    if columns:
        with worker.store.database.write() as session:
            session.execute(update(Job).where(Job.id == new.id).values(**columns))
    return new.id


def ago(**by: float) -> object:
    return jobs.now() - timedelta(**by)


def test_a_job_whose_message_was_lost_is_queued_again_once(worker: Worker) -> None:
    lost = job(worker, submitted_at=ago(minutes=5))
    young = job(worker)
    assert worker.store.events.since_looked_after() == math.inf
    upkeep.look_after_jobs(worker)
    assert worker.store.events.since_looked_after() < 60
    assert worker.flow.waiting() == 1
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 1, f"{lost} was just queued, {young} is too young"


def test_while_queues_hold_something_a_waiting_job_is_left_alone(worker: Worker) -> None:
    waiting = job(worker)
    worker.flow.submit(waiting)
    with worker.store.database.write() as session:
        session.execute(update(Job).where(Job.id == waiting).values(submitted_at=ago(minutes=5)))
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 1


def test_redis_emptied_brings_every_job_back(worker: Worker, server: RedisServer) -> None:
    ids = [job(worker) for _ in range(3)]
    jobs.cancel(worker.store.database, ids[0])
    with redis.Redis.from_url(server.url) as client:
        for key in client.keys("*"):
            client.delete(key)
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 2
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 2


def test_whoever_waits_for_a_turn_gets_it_although_nobody_said_that_one_is_free(worker: Worker) -> None:
    made = [job(worker) for _ in range(6)]
    for job_id in made:
        worker.flow.submit(job_id)
    assert worker.flow.waiting() == 4, "as many as an account has turns"
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 4
    jobs.cancel(worker.store.database, made[0])
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 5
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 5


def test_redis_emptied_brings_back_only_those_whose_turn_it_is(worker: Worker, server: RedisServer) -> None:
    for _ in range(6):
        worker.flow.submit(job(worker, submitted_at=ago(hours=2)))
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    for _ in range(2):
        upkeep.look_after_jobs(worker)
        assert worker.flow.waiting() == 4


def test_a_turn_whose_message_was_lost_does_not_last_for_ever(worker: Worker, server: RedisServer) -> None:
    made = [job(worker) for _ in range(5)]
    for job_id in made:
        worker.flow.submit(job_id)
    with redis.Redis.from_url(server.url) as client:
        client.delete("cpu\x06\x163")
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 0, "they were queued just now"
    with worker.store.database.write() as session:
        session.execute(update(Job).values(submitted_at=ago(minutes=5)))
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 4


def test_abandoned_work_is_freed_and_queued(worker: Worker) -> None:
    dead = job(worker)
    steps.begin(
        worker.store.database, Piece(dead, "normalise"), task_id="t", worker="w", max_attempts=3, stale_seconds=30
    )
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 0
    with worker.store.database.write() as session:
        session.execute(update(Step).where(Step.status == "running").values(alive_at=ago(minutes=4)))
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 1


def test_work_whose_worker_could_not_give_a_sign_is_left_to_it(worker: Worker) -> None:
    """After an outage of the database everybody's last sign is old; those who live give one at once."""
    living, database = job(worker), worker.store.database
    piece = Piece(living, "normalise")
    _, claim = steps.begin(database, piece, task_id="t", worker="w", max_attempts=3, stale_seconds=30)
    with database.write() as session:
        session.execute(update(Step).where(Step.status == "running").values(alive_at=ago(minutes=4)))
    sign = threading.Timer(0.3, lambda: steps.alive(database, piece, claim))
    sign.start()
    upkeep.look_after_jobs(worker)
    sign.join()
    assert steps.done(database, piece, claim), "it is still its own"
    assert worker.flow.waiting() == 0


def test_a_job_of_which_nothing_was_sent_waits_for_no_other_s_messages(worker: Worker) -> None:
    worker.flow.submit(job(worker))
    unsent, young = job(worker, submitted_at=ago(seconds=40)), job(worker)
    upkeep.look_after_jobs(worker)
    assert worker.flow.waiting() == 2
    found = jobs.get(worker.store.database, unsent), jobs.get(worker.store.database, young)
    assert [one is not None and one.admitted_at is not None for one in found] == [True, False]


def test_decoded_audio_of_what_failed_goes_soon(worker: Worker) -> None:
    old, young = (job(worker, status="failed", finished_at=ago(hours=hours)) for hours in (2, 0.5))
    done = job(worker, status="queued")
    for job_id in (old, young, done):
        with worker.store.files.create(job_id, "audio.wav") as file:
            file.write(b"x")
            file.keep()
    upkeep.remove_forgotten(worker)
    there = [worker.store.files.exists(job_id, "audio.wav") for job_id in (old, young, done)]
    assert there == [False, True, True]
    assert worker.store.files.exists(old, "source"), "it can still be tried again"


def test_what_has_expired_goes_with_its_files_and_nothing_else(worker: Worker) -> None:
    old = job(worker, status="done", finished_at=ago(days=31))
    young = job(worker, status="done", finished_at=ago(days=29))
    upkeep.look_after_jobs(worker)
    assert jobs.get(worker.store.database, old) is None
    assert not worker.store.files.exists(old, "source")
    assert jobs.get(worker.store.database, young) is not None
    assert worker.store.files.exists(young, "source")


def test_one_bad_row_does_not_stop_the_sweep(worker: Worker) -> None:
    bad = job(worker, status="done", finished_at=ago(days=40))
    good = job(worker, status="done", finished_at=ago(days=35))
    # Nothing of ours has such an id, and the files refuse it.
    with worker.store.database.write() as session:
        session.execute(delete(Step).where(Step.job_id == bad))
        session.execute(update(Job).where(Job.id == bad).values(id=".."))
    upkeep.look_after_jobs(worker)
    assert jobs.get(worker.store.database, "..") is not None, "its row stays, so that the next sweep finds it"
    assert jobs.get(worker.store.database, good) is None


def test_a_round_deletes_for_so_long_and_the_next_goes_on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "DELETING_SECONDS", 0.0)
    old = {job(worker, status="done", finished_at=ago(days=31)) for _ in range(3)}
    for left in (2, 1, 0):
        upkeep.look_after_jobs(worker)
        assert sum(jobs.get(worker.store.database, one) is not None for one in old) == left
        assert worker.store.events.since_looked_after() < 60


def test_a_storage_that_is_away_is_a_few_lines_and_not_one_a_job(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    old = [job(worker, status="done", finished_at=ago(days=31)) for _ in range(upkeep.OUTAGE + 3)]
    storage = Path(worker.store.files.address(old[0])).parent
    storage.rename(storage.with_name("away"))
    upkeep.look_after_jobs(worker)
    said = [record for record in caplog.records if "could not delete job" in record.getMessage()]
    assert len(said) == upkeep.OUTAGE and not any(record.exc_info for record in said)
    storage.with_name("away").rename(storage)
    upkeep.look_after_jobs(worker)
    assert not any(worker.store.files.exists(one, "source") for one in old)


def test_files_of_no_job_go_after_a_day(worker: Worker) -> None:
    kept = job(worker)
    for name, hours in (("a" * 32, 25), ("b" * 32, 1)):
        with worker.store.files.create(name, "source") as upload:
            upload.write(b"x")
            upload.keep()
        age(Path(worker.store.files.address(name)), hours)
    age(Path(worker.store.files.address(kept)), 100)
    scratch = worker.scratch(Piece("c" * 32, "normalise"), "x")
    working = worker.scratch(Piece(kept, "normalise"), "x")
    for folder in (scratch, working):
        folder.mkdir(parents=True)
        age(folder, 25)
    upkeep.remove_forgotten(worker)
    assert not worker.store.files.exists("a" * 32, "source")
    assert worker.store.files.exists("b" * 32, "source")
    assert worker.store.files.exists(kept, "source")
    assert not scratch.exists()
    assert working.exists()


@pytest.mark.parametrize("upgraded", [True, False])
def test_files_of_another_installation_are_left_alone(
    worker: Worker, upgraded: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = job(worker)
    age(Path(worker.store.files.address(theirs)), 100)
    if upgraded:
        upkeep.remove_forgotten(worker)
    mark = tmp_path / "jobs" / "health" / ownership.MARK
    before, ours = mark.read_text() if upgraded else None, worker.store.database
    # As by a mistake in DATABASE_URL: a record that knows nothing.
    wrong = Database(f"sqlite:///{tmp_path / 'wrong.db'}")
    wrong.upgrade()
    worker.store = replace(worker.store, database=wrong)
    upkeep.remove_forgotten(worker)
    assert worker.store.files.exists(theirs, "source")
    name = ownership.name_of(wrong)
    assert "are left where they are" in caplog.text and f"write {name} into the file health/installation" in caplog.text
    assert (mark.read_text() if mark.exists() else None) == before
    # The operator knows better, and does as told.
    mark.write_text(f"{name}\n")
    upkeep.remove_forgotten(worker)
    assert not worker.store.files.exists(theirs, "source")
    wrong.engine.dispose()
    worker.store = replace(worker.store, database=ours)


def test_what_is_not_called_as_ours_is_not_ours(worker: Worker) -> None:
    job(worker)
    files = worker.store.files
    probe = ("0123456789abcdef", "0123456789abcdef.01234567.part")
    for folder, name in (("photos", "1.jpg"), ("A" * 32, "x"), ("a" * 31, "x"), *(("health", one) for one in probe)):
        with files.create(folder, name) as file:
            file.write(b"x")
            file.keep()
        age(Path(files.address(folder)), 25)
    upkeep.remove_forgotten(worker)
    assert files.exists("photos", "1.jpg") and files.exists("A" * 32, "x") and files.exists("a" * 31, "x")
    assert [path.name for path in Path(files.address("health")).iterdir()] == [ownership.MARK]


def test_a_sweep_asks_the_record_once_for_many_folders(worker: Worker) -> None:
    ids = [job(worker) for _ in range(20)]
    upkeep.remove_forgotten(worker)
    asked: list[str] = []
    event.listen(worker.store.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    upkeep.remove_forgotten(worker)
    assert sum("IN (" in statement for statement in asked if "UNION" in statement) == 1 and len(asked) < 8, asked
    assert all(worker.store.files.exists(one, "source") for one in ids)


def age(folder: Path, hours: float) -> None:
    at = time.time() - hours * 3600
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (at, at))


def upload(worker: Worker, *, finished: bool, **columns: object) -> str:
    new = uploads.NewUpload(owner="", name="x", details="", length=1 if finished else 9)
    made = uploads.create(worker.store.database, new, hours=24)
    assert uploads.lock(worker.store.database, made.id, claim="c", hours=24)
    arrival = continue_upload(worker.store.files, made.id, offset=0, parts=[], check=lambda: None)
    arrival.write(b"x")
    if finished:
        sha256 = arrival.finish(lambda: None)
        assert uploads.complete(worker.store.database, made.id, claim="c", sha256=sha256, hours=24)
    arrival.save()
    arrival.close()
    with worker.store.database.write() as session:
        session.execute(update(ResumableUpload).where(ResumableUpload.id == made.id).values(lock=None, **columns))
    return made.id


@pytest.mark.parametrize("finished", [False, True])
def test_an_upload_goes_when_its_time_is_over_and_not_before(worker: Worker, finished: bool) -> None:
    old = upload(worker, finished=finished, expires_at=ago(hours=1))
    young = upload(worker, finished=finished)
    upkeep.look_after_jobs(worker)
    assert uploads.get(worker.store.database, old) is None
    assert not Path(worker.store.files.address(old)).exists()
    assert uploads.get(worker.store.database, young) is not None
    assert list(Path(worker.store.files.address(young)).iterdir())


def test_the_files_of_an_upload_that_a_job_took_are_the_jobs(worker: Worker) -> None:
    taken = upload(worker, finished=True)
    assert uploads.take(worker.store.database, taken)
    job(worker, taken)
    with worker.store.database.write() as session:
        session.execute(update(ResumableUpload).values(expires_at=ago(hours=1)))
    upkeep.look_after_jobs(worker)
    assert uploads.get(worker.store.database, taken) is None
    assert worker.store.files.exists(taken, "source")


def test_a_job_that_expires_takes_its_upload_along(worker: Worker) -> None:
    taken = upload(worker, finished=True)
    job(worker, taken, status="done", finished_at=ago(days=31))
    upkeep.look_after_jobs(worker)
    assert uploads.get(worker.store.database, taken) is None
    assert not Path(worker.store.files.address(taken)).exists()


def test_the_sweep_leaves_an_upload_alone_that_nobody_writes_to(worker: Worker) -> None:
    idle = upload(worker, finished=False)
    age(Path(worker.store.files.address(idle)), 100)
    upkeep.remove_forgotten(worker)
    assert list(Path(worker.store.files.address(idle)).iterdir())


def test_an_upload_whose_taker_died_can_be_taken_again(worker: Worker) -> None:
    found = upload(worker, finished=True)
    database = worker.store.database
    assert uploads.take(database, found)
    assert not uploads.take(database, found)
    with database.write() as session:
        session.execute(update(ResumableUpload).values(taken_at=ago(seconds=uploads.TAKING_SECONDS + 1)))
    assert uploads.take(database, found)
    with database.write() as session:
        session.execute(update(ResumableUpload).values(taken_at=ago(days=1)))
    job(worker, found)
    assert not uploads.take(database, found)
    uploads.release(database, found)
    assert not uploads.take(database, found), "there is a job of it"
