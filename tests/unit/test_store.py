"""The record: who wins, what is counted, what is found again. Real SQLite, real PostgreSQL, several threads."""

import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from store import jobs, positions, progress, standing, steps
from store.database import Database
from store.file_errors import StorageAway
from store.files import Storage
from store.models import WHOLE, Job, Record, Step
from store.steps import Begin, Piece
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["normalise", "chunk", "transcribe", "merge"]


def new_job(database: Database, **values: Any) -> str:
    fields: dict[str, Any] = {
        "id": jobs.new_id(), "owner": "", "options": {"language": "en"}, "stages": STAGES, "source_name": "talk.mp3",
        "source_bytes": 5, "source_sha256": "0" * 64, **values,
    }  # fmt: skip
    jobs.create(database, jobs.NewJob(**fields), each=["transcribe"])
    return str(fields["id"])


def claim(
    database: Database, job_id: str, stage: str, item: int = WHOLE, task: str = "t", **values: Any
) -> tuple[Begin, str]:
    limits = {"max_attempts": 3, "stale_seconds": 30.0, **values}
    return steps.begin(database, Piece(job_id, stage, item), task_id=task, worker="w", **limits)


def begin(database: Database, job_id: str, stage: str, item: int = WHOLE, task: str = "t", **values: Any) -> Begin:
    return claim(database, job_id, stage, item, task, **values)[0]


def do(database: Database, job_id: str, stage: str, item: int = WHOLE) -> None:
    begun, mine = claim(database, job_id, stage, item)
    assert begun is Begin.RUN
    assert steps.done(database, Piece(job_id, stage, item), mine)


def age(database: Database, job_id: str, **by: float) -> None:
    with database.write() as session:
        session.execute(update(Step).where(Step.job_id == job_id).values(alive_at=jobs.now() - timedelta(**by)))


def test_the_migrations_make_the_tables_the_models_describe(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Record.metadata) == []


def test_an_error_of_the_database_tells_no_values(database: Database) -> None:
    with database.write() as session:
        if database.engine.dialect.name == "sqlite":
            session.execute(text("CREATE TRIGGER no BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END"))
        else:  # whose own words would quote the whole row
            session.execute(text("ALTER TABLE jobs ADD CONSTRAINT no CHECK (options IS NULL)"))
    with pytest.raises(IntegrityError) as caught:
        new_job(database, options={"prompt": "what nobody may read"})
    assert "INSERT INTO jobs" in str(caught.value)
    assert "nobody may read" not in str(caught.value)


def test_who_stands_still_in_a_transaction_holds_up_nobody_for_long(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine does that was cut off: PostgreSQL would keep its locks until it notices, which takes hours."""
    other = Database(postgres.create(migrated=True))
    monkeypatch.setattr("store.postgres.IDLE_SECONDS", 0.3)
    frozen = Database(other.url)
    job_id = new_job(other)
    with pytest.raises(OperationalError), frozen.write() as session:
        session.execute(update(Job).values(language="de"))
        jobs.describe(other, job_id, {"language": "en"})  # waits until the other's transaction is ended
    assert (job := jobs.get(frozen, job_id)) is not None and job.language == "en"
    for one in (frozen, other):
        one.engine.dispose()
    postgres.drop(other.url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_upgrading_twice_and_at_once_does_no_harm(tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    url = f"sqlite:///{tmp_path / 'record.db'}" if kind == "sqlite" else request.getfixturevalue("postgres").create()
    code = f"from store.database import Database; Database({url!r}).upgrade()"
    starts = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(p.wait(), p.communicate()[1]) for p in starts] == [(0, b"")] * 3
    upgraded = Database(url)
    assert new_job(upgraded)
    upgraded.engine.dispose()


def test_whoever_opens_a_record_that_is_being_made_waits(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    maker = sqlite3.connect(path, isolation_level=None)
    maker.execute("BEGIN IMMEDIATE")

    def opened() -> str | None:
        one = Database(f"sqlite:///{path}")
        with one.engine.connect() as connection:
            found = connection.execute(text("PRAGMA journal_mode")).scalar()
        one.engine.dispose()
        return found

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(opened)
        with pytest.raises(TimeoutError):
            found.result(0.3)
        maker.execute("COMMIT")
        assert found.result(30) == "wal"
    maker.close()


def test_of_many_claims_one_wins(database: Database) -> None:
    job_id = new_job(database)
    answers: list[Begin] = []

    def claim(n: int) -> None:
        answers.append(begin(database, job_id, "normalise", task=f"t{n}"))

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.value for a in answers) == ["run"] + ["taken"] * 7


def test_what_is_done_is_not_done_again(database: Database) -> None:
    job_id = new_job(database)
    do(database, job_id, "normalise")
    assert begin(database, job_id, "normalise") is Begin.DONE
    assert not steps.done(database, Piece(job_id, "normalise"), "")


def test_a_dead_worker_s_step_is_taken_over_only_when_it_is_stale(database: Database) -> None:
    job_id = new_job(database)
    piece = Piece(job_id, "normalise")
    _, first = claim(database, job_id, "normalise")
    assert begin(database, job_id, "normalise", task="other") is Begin.TAKEN
    age(database, job_id, seconds=31)
    # The same message, delivered again: two runs of one message must not take each other for themselves.
    begun, second = claim(database, job_id, "normalise")
    assert begun is Begin.RUN
    assert not steps.alive(database, piece, first), "the first must learn that it lost"
    assert not steps.done(database, piece, first)
    steps.release(database, piece, first, refund=False)
    assert not jobs.fail(database, job_id, code="internal", detail="x", stage="normalise", claim=first)
    assert steps.alive(database, piece, second)
    assert steps.done(database, piece, second)


def test_work_that_ends_its_worker_every_time_is_given_up(database: Database) -> None:
    job_id = new_job(database)
    for _ in range(3):
        assert begin(database, job_id, "normalise") is Begin.RUN
        steps.free_dead(database, Piece(job_id, "normalise"), task_id="t", worker="w")
    assert begin(database, job_id, "normalise") is Begin.EXHAUSTED


def test_an_outage_of_our_own_uses_up_no_attempt(database: Database) -> None:
    job_id = new_job(database)
    for _ in range(10):
        begun, mine = claim(database, job_id, "normalise")
        assert begun is Begin.RUN
        steps.release(database, Piece(job_id, "normalise"), mine, refund=True)
    assert steps.attempts(database, Piece(job_id, "normalise")) == 0


def test_a_parent_frees_only_what_its_own_dead_child_ran(database: Database) -> None:
    job_id = new_job(database)
    piece = Piece(job_id, "normalise")
    begin(database, job_id, "normalise")
    steps.free_dead(database, piece, task_id="t", worker="another")
    steps.free_dead(database, piece, task_id="another", worker="w")
    assert begin(database, job_id, "normalise") is Begin.TAKEN
    steps.free_dead(database, piece, task_id="t", worker="w")
    assert begin(database, job_id, "normalise") is Begin.RUN


def test_the_last_chunk_finishes_the_stage(database: Database) -> None:
    job_id = new_job(database)
    assert steps.scatter(database, job_id, "transcribe", count=3) == [0, 1, 2]
    do(database, job_id, "transcribe", 0)
    do(database, job_id, "transcribe", 2)
    assert steps.finished(database, job_id) == set()
    assert steps.scatter(database, job_id, "transcribe", count=3) == [1], "a second scatter makes no new rows"
    do(database, job_id, "transcribe", 1)
    assert steps.finished(database, job_id) == {"transcribe"}


def test_a_stage_over_no_chunks_is_done_at_once(database: Database) -> None:
    job_id = new_job(database)
    assert steps.scatter(database, job_id, "transcribe", count=0) == []
    assert steps.finished(database, job_id) == {"transcribe"}


def test_a_job_is_done_only_when_every_step_is(database: Database) -> None:
    job_id = new_job(database)
    do(database, job_id, "normalise")
    assert not jobs.finish(database, job_id)
    steps.scatter(database, job_id, "transcribe", count=1)
    for stage, item in (("chunk", WHOLE), ("transcribe", 0), ("merge", WHOLE)):
        do(database, job_id, stage, item)
    assert jobs.finish(database, job_id)
    assert not jobs.finish(database, job_id), "it is finished once"
    job = jobs.get(database, job_id)
    assert job is not None and job.status == "done"


def test_a_job_that_was_cancelled_when_all_was_done_can_be_tried_again(database: Database) -> None:
    job_id = new_job(database)
    steps.scatter(database, job_id, "transcribe", count=0)
    for stage in ("normalise", "chunk", "merge"):
        do(database, job_id, stage)
    assert jobs.cancel(database, job_id) and jobs.retry(database, job_id)
    assert jobs.finish(database, job_id)
    job = jobs.get(database, job_id)
    assert job is not None and job.status == "done" and job.started_at is not None


def test_whoever_missed_the_answer_asks_again_and_hears_the_same(database: Database) -> None:
    job_id = new_job(database)
    _, mine = claim(database, job_id, "normalise")
    piece = Piece(job_id, "normalise")
    assert steps.done(database, piece, mine) and steps.done(database, piece, mine)
    assert not steps.done(database, piece, "another")


def test_the_first_reason_counts(database: Database) -> None:
    job_id = new_job(database)
    begin(database, job_id, "normalise")
    assert jobs.fail(database, job_id, code="no_audio", detail="There is no sound.", stage="normalise")
    assert not jobs.fail(database, job_id, code="internal", detail="Something else.", stage="chunk")
    assert not jobs.cancel(database, job_id)
    job = jobs.get(database, job_id)
    assert job is not None and job.error == {"code": "no_audio", "detail": "There is no sound.", "stage": "normalise"}
    assert [s.status for s in job.steps] == ["failed", "cancelled", "cancelled", "cancelled"]
    assert begin(database, job_id, "chunk") is Begin.OVER


def test_a_cancelled_job_s_worker_learns_of_it(database: Database) -> None:
    job_id = new_job(database)
    _, mine = claim(database, job_id, "normalise")
    assert steps.alive(database, Piece(job_id, "normalise"), mine)
    assert jobs.cancel(database, job_id)
    assert not steps.alive(database, Piece(job_id, "normalise"), mine)


def test_a_deleted_job_is_over(database: Database) -> None:
    job_id = new_job(database)
    assert jobs.delete_record(database, job_id)
    assert not jobs.delete_record(database, job_id)
    assert begin(database, job_id, "normalise") is Begin.OVER
    assert jobs.get(database, job_id) is None


def test_pages_hold_every_job_once_newest_first(database: Database) -> None:
    made = [new_job(database) for _ in range(7)]
    new_job(database, owner="somebody-else")
    seen: list[str] = []
    cursor = None
    while True:
        found, cursor = jobs.page(database, owner="", limit=3, cursor=cursor)
        seen += [job.id for job in found]
        if cursor is None:
            break
    assert seen == made[::-1]
    for nonsense in ("nonsense", f"{0:016d}-{'g' * 32}", f"{0:016d}-{'0' * 32}\n", "é"):
        with pytest.raises(ValueError, match="cursor"):
            jobs.page(database, cursor=nonsense)


def test_the_place_in_the_queue_counts_who_is_served_before(database: Database) -> None:
    first, low, second = new_job(database), new_job(database, priority="low"), new_job(database)
    high = new_job(database, priority="high")

    def position(job_id: str) -> int | None:
        job = jobs.get(database, job_id)
        assert job is not None
        return positions.queue_position(database, job)

    assert [position(j) for j in (high, first, second, low)] == [1, 2, 3, 4]
    read_before = jobs.get(database, first)
    begin(database, first, "normalise")
    assert position(first) is None
    assert position(second) == 2
    assert read_before is not None and read_before.status == "queued"
    assert positions.queue_position(database, read_before) == 1, "who is shown as queued has a place"


def test_only_what_has_expired_is_found(database: Database) -> None:
    old, young, active = new_job(database), new_job(database), new_job(database)
    for job_id in (old, young):
        jobs.cancel(database, job_id)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == old).values(finished_at=jobs.now() - timedelta(days=31)))
        session.execute(update(Job).where(Job.id == active).values(created_at=jobs.now() - timedelta(days=99)))
    assert standing.expired(database, days=30) == [old]


def test_abandoned_work_is_freed_and_nothing_else(database: Database) -> None:
    dead, alive = new_job(database), new_job(database)
    begin(database, dead, "normalise")
    begin(database, alive, "normalise")
    age(database, dead, seconds=500)
    found = steps.silent(database, seconds=180)
    assert list(found) == [Piece(dead, "normalise")]
    assert steps.free(database, found) == [dead]
    assert steps.free(database, found) == []
    assert begin(database, dead, "normalise", task="other") is Begin.RUN
    assert begin(database, alive, "normalise", task="other") is Begin.TAKEN


def test_a_single_long_chunk_is_not_taken_for_abandoned(database: Database) -> None:
    job_id = new_job(database)
    steps.scatter(database, job_id, "transcribe", count=1)
    begin(database, job_id, "transcribe", 0)
    with database.write() as session:
        session.execute(update(Step).values(started_at=jobs.now() - timedelta(hours=1)))
    assert steps.silent(database, seconds=180) == {}


def test_a_job_that_nobody_works_on_is_found(database: Database) -> None:
    lost, working, young = new_job(database), new_job(database), new_job(database)
    begin(database, working, "normalise")
    with database.write() as session:
        old = update(Job).where(Job.id.in_((lost, working))).values(submitted_at=jobs.now() - timedelta(minutes=5))
        session.execute(old)
    assert standing.standing(database, seconds=60) == [lost]
    assert standing.standing(database, seconds=0) == [lost, young]


def test_the_end_does_not_move_away_between_two_reports() -> None:
    started = jobs.now()
    reported = started + timedelta(seconds=10)
    etas = [progress.eta(0.25, started, at=reported + timedelta(seconds=n), reported=reported) for n in (0, 5, 20, 90)]
    assert etas == [30, 25, 10, 1]
    assert progress.eta(0.01, started, at=reported) is None


def test_progress_counts_running_chunks_by_how_far_they_are(database: Database) -> None:
    job_id = new_job(database)
    do(database, job_id, "normalise")
    do(database, job_id, "chunk")
    steps.scatter(database, job_id, "transcribe", count=4)
    do(database, job_id, "transcribe", 0)
    begin(database, job_id, "transcribe", 1)
    job = jobs.get(database, job_id)
    assert job is not None
    stages = progress.by_stage(job.steps, {("transcribe", 1): 0.5}, at=jobs.now())
    assert [(s.stage, s.status, s.done, s.total) for s in stages] == [
        ("normalise", "done", 1, 1),
        ("chunk", "done", 1, 1),
        ("transcribe", "running", 1, 4),
        ("merge", "pending", 0, 1),
    ]
    assert progress.overall(stages, {"normalise": 5, "chunk": 5, "transcribe": 80, "merge": 10}) == pytest.approx(
        (5 + 5 + 80 * 1.5 / 4) / 100
    )


class TestStorage:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return Storage((tmp_path / "kept here" / "jobs").as_uri())

    def test_a_file_is_there_whole_or_not_at_all(self, storage: Storage) -> None:
        with storage.create("job", "source") as upload:
            upload.write(b"half")
            assert not storage.exists("job", "source")
            assert storage.names("job", "") == []
            upload.write(b" and half")
            upload.keep()
        assert storage.open("job", "source").read() == b"half and half"
        assert upload.size == storage.size("job", "source") == 13

    def test_what_a_killed_copy_left_goes_with_the_next(self, storage: Storage, tmp_path: Path) -> None:
        elsewhere = Path("/dev/shm")
        if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs /dev/shm on a disk of its own")
        half = Path(storage.address("job", "audio.wav.0a1b2c3d.part"))
        half.parent.mkdir(parents=True)
        half.write_bytes(b"ha")
        with tempfile.NamedTemporaryFile(dir=elsewhere, delete=False) as made:
            made.write(b"whole")
        storage.put("job", "audio.wav", Path(made.name))
        assert [path.name for path in half.parent.iterdir()] == ["audio.wav"]
        assert storage.open("job", "audio.wav").read() == b"whole"
        assert not Path(made.name).exists()

    def test_a_disk_that_is_not_there_is_no_missing_file(self, storage: Storage) -> None:
        with storage.create("job", "source") as upload:
            upload.write(b"x")
            upload.keep()
        with pytest.raises(FileNotFoundError):
            storage.open("job", "other")
        assert not storage.exists("job", "other")
        root = storage.local
        assert root is not None
        root.rename(root.with_name("unmounted"))
        for use in (
            lambda: storage.open("job", "source"), lambda: storage.exists("job", "source"),
            lambda: storage.size("job", "source"), lambda: storage.names("job", ""),
            lambda: storage.create("job", "new"), lambda: storage.remove("job", "source"),
            lambda: storage.delete("job"),
        ):  # fmt: skip
            with pytest.raises(StorageAway):
                use()
        assert not root.exists(), "nothing is written where the disk should be"
        root.with_name("unmounted").rename(root)
        assert storage.open("job", "source").read() == b"x"

    def test_a_dropped_upload_leaves_nothing(self, storage: Storage) -> None:
        with pytest.raises(RuntimeError), storage.create("job", "source") as upload:
            upload.write(b"half")
            raise RuntimeError
        assert list((storage.local or Path()).rglob("*.part")) == []

    def test_nothing_outside_the_folder_has_a_name(self, storage: Storage) -> None:
        for job_id, name in (
            ("..", "source"),
            ("job", "../other"),
            ("job", "a/../../b"),
            ("", "source"),
            ("job", "a\0b"),
        ):
            with pytest.raises(ValueError, match="not a name"):
                storage.address(job_id, name)

    def test_deleting_takes_one_job_and_not_its_neighbour(self, storage: Storage, tmp_path: Path) -> None:
        for job_id in ("one", "two"):
            (tmp_path / "x").write_bytes(b"x")
            storage.put(job_id, "exports/transcript.srt", tmp_path / "x")
        storage.delete("one")
        storage.delete("one")
        assert not storage.exists("one", "exports/transcript.srt")
        assert storage.names("two", "exports") == ["exports/transcript.srt"]

    def test_deleting_takes_all_while_another_tidies_up(self, storage: Storage, tmp_path: Path) -> None:
        names = [f"segments/{number}.json" for number in range(60)]
        for _ in range(20):
            for name in (*names, "source"):
                (tmp_path / "x").write_bytes(b"x")
                storage.put("job", name, tmp_path / "x")
            other = threading.Thread(target=storage.remove, args=("job", *names))
            other.start()
            storage.delete("job")
            assert not (tmp_path / "kept here" / "jobs" / "job").exists()
            other.join()
