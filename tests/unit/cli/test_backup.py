"""Backups: made of a record and files that are in use, of any database, and put back into any."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Integer, MetaData, Table, insert, null, select, text

from cli.backups import taking
from cli.backups.reading import find, whole
from cli.main import main
from cli.places import Places
from config.settings import Settings
from store import Store, holdings, jobs, open_store, ownership, schema, snapshot, steps, uploads
from store.database import Database
from store.events import Events
from store.files import Storage
from store.models import WHOLE, Job, Record, Step, Usage
from store.refill import occupied
from store.steps import Piece
from tests.postgres_server import PostgresServer
from tests.stack import ROOT, RedisServer

STAGES = ["normalise", "chunk", "transcribe", "merge"]
LONG_AGO = datetime(2024, 2, 29, 23, 59, 59, 123456, UTC)
Run = Callable[..., Result]


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Iterator[Store]:
    """An installation, on each kind of database."""
    found = open_store(Settings(data_dir=tmp_path / "data", database_url=database.url))
    yield found
    found.database.engine.dispose()


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`longhand`, in the installation or in another."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # nobody's, whatever runs on this machine

    def run(*arguments: str | Path, data: str = "data", url: str | None = None) -> Result:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DATA_DIR", str(tmp_path / data))
        monkeypatch.delenv("DATABASE_URL", raising=False)
        if url or data == "data":
            monkeypatch.setenv("DATABASE_URL", url or store.database.url)
        return CliRunner().invoke(main, [str(one) for one in arguments])

    return run


def job(store: Store, **files: bytes) -> str:
    """A job that is queued, with files (``__`` stands for ``/``, ``_`` for ``.``)."""
    new = jobs.NewJob(
        id=jobs.new_id(), owner="admin", options={}, stages=STAGES, source_name="talk.mp3", source_bytes=5,
        source_sha256="0" * 64,
    )  # fmt: skip
    jobs.create(store.database, new, each=["transcribe"])
    for name, content in ({"source": b"sound"} | files).items():
        write(store, new.id, name.replace("__", "/").replace("_", "."), content)
    return new.id


def write(store: Store, job_id: str, name: str, content: bytes) -> None:
    with store.files.create(job_id, name) as file:
        file.write(content)
        file.keep()


def over(store: Store, *, days: float = 0, **files: bytes) -> str:
    """A job that has ended."""
    job_id = job(store, **files)
    assert jobs.cancel(store.database, job_id)
    with store.database.write() as session:
        session.execute(
            Job.__table__.update().where(Job.id == job_id).values(finished_at=jobs.now() - timedelta(days=days))  # type: ignore[attr-defined]
        )
    return job_id


def content(folder: Path) -> dict[str, bytes]:
    """All that is kept for jobs below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parts[-2] != "health"
    }


def rows(database: Database) -> dict[str, list[str]]:
    with snapshot.taken(database) as moment:
        return {table: sorted(json.dumps(row) for row in moment.rows(table)) for table in moment.tables}


def fill(database: Database) -> None:
    """Rows in all tables that there are: all values, the largest and oddest, and none wherever that is allowed."""
    for n, empty in enumerate([False, True]):
        with database.engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            for table in Record.metadata.sorted_tables:
                given = {c.name: null() if empty and c.nullable else odd(c, n) for c in table.columns}
                connection.execute(insert(table).values(given))


def odd(column: Any, n: int) -> Any:
    kind, length = column.type, getattr(column.type, "length", None)
    if column.name in ("id", "job_id"):
        return f"job{n}"
    if column.name == "status":
        return "done"
    if isinstance(kind, JSON):
        return JSON.NULL if column.nullable else {"text": "ü\u2028\ud83d\ude00'\"\\", "n": [None, 1e-9, 2**60, True]}
    if isinstance(kind, DateTime) or "DateTime" in type(kind).__name__:
        return LONG_AGO
    if isinstance(kind, Boolean):
        return True
    if isinstance(kind, Integer):
        return 2**53 + 1 if isinstance(kind, BigInteger) else 2**31 - 1
    return 1 / 3 if isinstance(kind, Float) else f"{n}é\n\t'\"\\😀 and more"[: length or 99]


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_every_row_and_file_comes_back_in_whichever_database(
    store: Store, run: Run, tmp_path: Path, request: pytest.FixtureRequest, to: str
) -> None:
    fill(store.database)
    name = ownership.name_of(store.database)
    for job_id in ("job0", "job1"):
        write(store, job_id, "source", b"odd")
    over(store, source=b"\0\xff" * 700_000, segments__0_json=b"{}", exports__transcript_srt=b"1\n")
    made = run("backup", "kept", "--keep", "3")
    assert made.exit_code == 0, made.output
    assert "Not in it: secrets" in made.output and "Redis" in made.output
    url = f"sqlite:///{tmp_path / 'other' / 'longhand.db'}"
    if to == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create()
    back = run("restore", "kept", data="other", url=url)
    assert back.exit_code == 0, back.output
    assert content(tmp_path / "other" / "jobs") == content(tmp_path / "data" / "jobs") != {}
    other = Database(url)
    assert ownership.name_of(other) == ownership.mark_of(Storage((tmp_path / "other" / "jobs").as_uri())) == name
    assert rows(other) == rows(store.database) and min(map(len, rows(other).values())) >= 2
    with other.read() as session:
        first = session.get(Job, "job0")
        assert first is not None and first.created_at == LONG_AGO and first.options["n"] == [None, 1e-9, 2**60, True]
    other.engine.dispose()
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o700
    found = find(tmp_path / "kept").folder
    modes = {stat.S_IMODE(path.stat().st_mode) for path in found.rglob("*") if path.is_file()}
    assert modes == {0o600} and stat.S_IMODE(found.stat().st_mode) == 0o700


def test_the_record_is_of_one_moment_while_others_write(store: Store) -> None:
    before = {over(store) for _ in range(5)}
    with snapshot.taken(store.database) as moment:
        found = moment.rows("jobs")
        first = next(found)["id"]
        writer = threading.Thread(target=lambda: [over(store) for _ in range(5)])
        writer.start()
        writer.join(30)
        assert not writer.is_alive(), "and nobody waits for it"
        assert {first, *(row["id"] for row in found)} == before
        assert {row["job_id"] for row in moment.rows("steps")} == before
    assert len(snapshot.still_there(store.database, before)) == 5


def test_what_was_under_way_is_ready_to_be_taken_up(store: Store, run: Run, tmp_path: Path) -> None:
    running, ended = job(store, audio_wav=b"large", media_json=b"{}"), over(store)
    for stage in ("normalise", "chunk"):
        _, claim = steps.begin(
            store.database, Piece(running, stage), task_id="t", worker="w", max_attempts=4, stale_seconds=30
        )
        assert steps.done(store.database, Piece(running, stage), claim)
    steps.begin(store.database, Piece(running, "merge"), task_id="t", worker="w", max_attempts=4, stale_seconds=30)
    upload = uploads.create(store.database, uploads.NewUpload("admin", "a", "", 9), hours=24)
    (tmp_path / "data/jobs" / upload.id).mkdir()
    (tmp_path / "data/jobs" / upload.id / "arriving.part").write_bytes(b"123")
    (tmp_path / "data/jobs" / running / "media.json.0123abcd.part").write_bytes(b"half of")
    (tmp_path / "data/jobs" / ("0" * 32)).mkdir()
    (tmp_path / "data/jobs" / ("0" * 32) / "source").write_bytes(b"nobody's")
    assert run("backup", "kept").exit_code == 0
    back = run("restore", "kept", data="other")
    assert "1 jobs were not finished" in back.output, back.output
    assert content(tmp_path / "other" / "jobs") == {
        f"{running}/source": b"sound", f"{running}/media.json": b"{}", f"{ended}/source": b"sound",
        f"{upload.id}/arriving.part": b"123",
    }, "neither what is made again in seconds, nor what is half there, nor what is no job's"  # fmt: skip
    other = Database(f"sqlite:///{tmp_path / 'other' / 'longhand.db'}")
    with other.read() as session:
        found = {s.stage: s for s in session.scalars(select(Step).where(Step.job_id == running, Step.item == WHOLE))}
        at_once = session.scalar(select(Job.submitted_at).where(Job.id == running))
    other.engine.dispose()
    states = {name: (s.status, s.attempts, s.claim) for name, s in found.items()}
    assert states["normalise"] == states["merge"] == ("pending", 0, None), "its file is not in the backup; its worker"
    assert states["chunk"][0] == "done" and at_once is not None and at_once.year == 1970


@pytest.mark.sqlite
def test_a_backup_takes_little_room_for_what_the_one_before_has(store: Store, run: Run, tmp_path: Path) -> None:
    same, other = over(store, source=b"a" * 5000), over(store, source=b"b" * 5000)
    made = [run("backup", "kept")]
    write(store, other, "source", b"c" * 5000)
    made += [run("backup", "kept"), run("backup", "kept", "--keep", "2")]
    assert [one.exit_code for one in made] == [0, 0, 0], made[-1].output
    assert "(10.0 kB of it new)" in made[0].output and "(5.0 kB of it new)" in made[1].output
    assert "(0 bytes of it new)" in made[2].output and "Older backups deleted: 1." in made[2].output
    older, newer = whole(tmp_path / "kept")
    copies = [folder / "files" / same / "source" for folder in (older, newer)]
    assert copies[0].samefile(copies[1]) and copies[0].stat().st_nlink == 2
    assert (newer / "files" / other / "source").read_bytes() == b"c" * 5000
    assert run("restore", older, "--check").exit_code == 0 and run("restore", "kept", "--check").exit_code == 0


@pytest.mark.sqlite
def test_what_was_moved_takes_no_room_again_unless_the_older_copy_is_damaged(
    store: Store, run: Run, tmp_path: Path
) -> None:
    sound, rotten = over(store, source=b"a" * 5000), over(store, source=b"b" * 6000)
    assert run("backup", "kept").exit_code == 0
    for job_id in (sound, rotten):  # as after a restore: new files with the same content
        moved = tmp_path / "data" / "jobs" / job_id / "source"
        shutil.copy(moved, moved.with_name("aside"))
        moved.with_name("aside").replace(moved)
    (first,) = whole(tmp_path / "kept")
    (first / "files" / rotten / "source").write_bytes(b"b" * 5999 + b"x")
    again = run("backup", "kept")
    assert "(6.0 kB of it new)" in again.output, again.output
    newer = whole(tmp_path / "kept")[1]
    assert (newer / "files" / sound / "source").samefile(first / "files" / sound / "source")
    assert [one.name for one in (newer / "files" / sound).iterdir()] == ["source"]
    assert run("restore", newer, "--check").exit_code == 0
    assert "(0 bytes of it new)" in run("backup", "kept").output, "and from now on by their marks"


@pytest.mark.sqlite
def test_no_backup_is_made_of_an_empty_place_where_the_disk_should_be(store: Store, run: Run, tmp_path: Path) -> None:
    fill(store.database)
    files, away = tmp_path / "data" / "jobs", tmp_path / "away"
    for job_id in ("job0", "job1"):
        write(store, job_id, "source", b"odd")
    assert run("backup", "kept").exit_code == 0
    (first,) = whole(tmp_path / "kept")
    files.rename(away)
    gone = run("backup", "kept", "--keep", "1")
    assert gone.exit_code == 1 and "is its disk mounted?" in gone.output and not files.exists(), "nor made by looking"
    (files / "health").mkdir(parents=True)  # by the API, started without its disk
    gone = run("backup", "kept", "--keep", "1")
    assert gone.exit_code == 1 and "No finished job has a file" in gone.output, gone.output
    assert whole(tmp_path / "kept") == [first]
    write(store, "job0", "source", b"odd")
    some = run("backup", "kept", "--keep", "1")
    assert some.exit_code == 1 and "1 finished jobs have no files, such as job1" in some.output, some.output
    assert len(whole(tmp_path / "kept")) == 2, "kept, and the one that has more of it is, too"


@pytest.mark.sqlite
def test_no_backup_goes_where_upkeep_would_delete_it(store: Store, run: Run, tmp_path: Path) -> None:
    over(store)
    (tmp_path / "link").symlink_to(tmp_path / "data" / "jobs")
    for folder in ("data/jobs", "data/jobs/kept", "link/kept"):
        refused = run("backup", folder)
        assert refused.exit_code == 1 and "among the recordings" in refused.output, refused.output
    assert not (tmp_path / "data" / "jobs" / "kept").exists()


@pytest.mark.sqlite
def test_a_job_deleted_meanwhile_stays_deleted(
    store: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, kept = over(store), over(store)
    with store.database.write() as session:
        at = jobs.now()
        session.add(Usage(job_id=deleted, owner="", day="2026-01-01", model="m", audio_seconds=1.0, bytes=1, at=at))
    real = taking.held

    def held(*arguments: Any) -> Any:
        store.files.delete(deleted)
        jobs.delete_record(store.database, deleted)
        return real(*arguments)

    monkeypatch.setattr(taking, "held", held)
    made = run("backup", "kept")
    assert "deleted meanwhile: 1 jobs" in made.output, made.output
    assert run("restore", "kept", data="other").exit_code == 0
    other = Database(f"sqlite:///{tmp_path / 'other' / 'longhand.db'}")
    assert snapshot.still_there(other, [deleted, kept]) == {kept}
    with other.read() as session:
        assert set(session.scalars(select(Step.job_id))) == {kept}
        assert session.get(Usage, deleted) is not None, "what it used was used"
    other.engine.dispose()


@pytest.mark.sqlite
def test_an_interrupted_backup_is_none(store: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over(store)
    assert run("backup", "kept").exit_code == 0
    first = find(tmp_path / "kept").folder
    # As one leaves it that was killed.
    shutil.copytree(first, tmp_path / "kept" / ".2026-01-01T00-00-00.000Z.partial")

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(taking, "copy_out", interrupted)
        over(store)
        assert run("backup", "kept").exit_code != 0
    assert [one.name for one in (tmp_path / "kept").iterdir() if one.name != ".lock"] == [first.name]
    with taking._alone(tmp_path / "kept"):
        again = run("backup", "kept")
    assert again.exit_code == 1 and "Another backup is being made" in again.output


@pytest.mark.sqlite
def test_a_full_disk_is_told_and_leaves_nothing_behind(store: Store, run: Run, tmp_path: Path) -> None:
    over(store, source=b"x" * 3_000_000)
    # A limit on the size of files is as near to a full disk as a test can come.
    script = (
        "import resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, (2000000, 2000000)); import cli.backup as b; b.backup()"
    )
    command = [sys.executable, "-c", script, "kept"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path / "data")}
    env["DATABASE_URL"] = store.database.url
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and result.stderr.startswith("Error: The disk with the backups is full"), result
    assert [one.name for one in (tmp_path / "kept").iterdir()] == [".lock"]


def test_an_installation_in_use_is_left_alone_unless_told(store: Store, run: Run, tmp_path: Path) -> None:
    kept = over(store, days=40)
    assert run("backup", "kept").exit_code == 0
    later, before = job(store), rows(store.database)
    write(store, kept, "exports/transcript.txt", b"later")
    refused = run("restore", "kept")
    assert refused.exit_code == 1 and "restore into an empty one, or give --replace" in refused.output
    assert rows(store.database) == before
    # As where another installation was tried out before.
    (tmp_path / "data" / "jobs" / "health" / ownership.MARK).write_text("another")
    (tmp_path / "data" / "jobs" / "photos").mkdir()
    replaced = run("restore", "kept", "--replace")
    assert replaced.exit_code == 0, replaced.output
    assert ownership.mark_of(store.files) == ownership.name_of(store.database)
    assert (tmp_path / "data" / "jobs" / "photos").exists(), "it is none of ours"
    assert "1 jobs ended more than RETENTION_DAYS (30) ago" in replaced.output
    assert snapshot.still_there(store.database, [kept, later]) == {kept}
    assert content(tmp_path / "data" / "jobs") == {f"{kept}/source": b"sound"}
    with store.database.engine.connect() as connection:
        assert schema.current(connection) == "0006"


@pytest.mark.sqlite
def test_files_alone_count_too_but_not_what_an_interrupted_restore_left(store: Store, run: Run, tmp_path: Path) -> None:
    kept = over(store)
    assert run("backup", "kept").exit_code == 0
    left = tmp_path / "other" / "jobs" / kept / "source"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"so")
    other = tmp_path / "other" / "jobs" / "another"
    other.mkdir()
    assert "already" in run("restore", "kept", data="other").output
    other.rmdir()
    assert run("restore", "kept", data="other").exit_code == 0
    assert left.read_bytes() == b"sound"


@pytest.mark.sqlite
def test_nothing_is_restored_from_a_damaged_backup(store: Store, run: Run, tmp_path: Path) -> None:
    job_id = over(store, segments__0_json=b"{}")
    assert run("backup", "kept").exit_code == 0
    sound = find(tmp_path / "kept").folder
    secret = tmp_path / "secret"
    secret.write_bytes(b"sound")

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def relist(old: str, new: str) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            manifest, listed = folder / "manifest.json", folder / "files.jsonl"
            digest = taking.measure(listed)[1]
            listed.write_text(listed.read_text().replace(old, new))
            manifest.write_text(manifest.read_text().replace(digest, taking.measure(listed)[1]))

        return change

    def link(folder: Path) -> None:
        (folder / "files" / job_id / "source").unlink()
        (folder / "files" / job_id / "source").symlink_to(secret)

    harm: dict[str, Callable[[Path], object]] = {
        "a file": lambda f: flip(f / "files" / job_id / "source"),
        "no file": lambda f: (f / "files" / job_id / "source").unlink(),
        "a record": lambda f: flip(f / "record" / "jobs.jsonl.gz"),
        "no record": lambda f: (f / "record" / "steps.jsonl.gz").unlink(),
        "the list": lambda f: (f / "files.jsonl").write_text(""),
        "the manifest": lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text()[:-20]),
        "a way out": relist('"source"', '"../../../../secret"'),
        "another way out": relist(f'"job":"{job_id}"', '"job":".."'),
        "a link": link,
        "other tables": lambda f: (f / "manifest.json").write_text(
            (f / "manifest.json").read_text().replace('"usage"', '"alembic_version"')
        ),
    }
    other = Database(f"sqlite:///{tmp_path / 'other' / 'longhand.db'}")
    for name, do in harm.items():
        damaged = tmp_path / "damaged"
        shutil.copytree(sound, damaged)
        do(damaged)
        said = run("restore", damaged, data="other")
        assert said.exit_code == 1 and "damaged" in said.output, (name, said.output)
        put = content(tmp_path / "other" / "jobs")
        assert "Traceback" not in said.output and not occupied(other), name
        assert set(put) <= {f"{job_id}/segments/0.json"}, (name, "what is sound may be there")
        if name == "a file":
            assert run("restore", damaged, "--check").exit_code == 1
        shutil.rmtree(damaged)
    assert "no whole backup here" in run("restore", tmp_path).output
    other.engine.dispose()


@pytest.mark.sqlite
def test_a_damaged_file_costs_that_file_and_not_the_restore(store: Store, run: Run, tmp_path: Path) -> None:
    hurt, lost, sound = over(store, exports__transcript_srt=b"1\n"), over(store), over(store)
    assert run("backup", "kept").exit_code == 0
    (folder,) = whole(tmp_path / "kept")
    (folder / "files" / hurt / "source").write_bytes(b"other")
    (folder / "files" / lost / "source").unlink()
    checked = run("restore", "kept", "--check")
    assert checked.exit_code == 1 and "2 files, named above" in checked.output
    assert all(f"Damaged: files/{one}/source\n" in checked.output for one in (hurt, lost)), checked.output
    before = rows(store.database)
    refused = run("restore", "kept", "--replace")
    assert refused.exit_code == 1 and "--skip-damaged" in refused.output
    assert rows(store.database) == before and content(tmp_path / "data/jobs")[f"{hurt}/source"] == b"sound"
    refused = run("restore", "kept", data="other")
    assert refused.exit_code == 1 and "The record was not restored" in refused.output, refused.output
    back = run("restore", "kept", "--skip-damaged", data="other")
    assert back.exit_code == 0 and "so not restored: 2 files" in back.output, back.output
    assert set(content(tmp_path / "other" / "jobs")) == {f"{hurt}/exports/transcript.srt", f"{sound}/source"}
    other = Database(f"sqlite:///{tmp_path / 'other' / 'longhand.db'}")
    assert snapshot.still_there(other, [hurt, lost, sound]) == {hurt, lost, sound}
    other.engine.dispose()
    for one in (hurt, lost):  # as it is told
        (folder / "files" / one / "source").unlink(missing_ok=True)
    assert "(10 bytes of it new)" in run("backup", "kept").output
    assert run("restore", "kept", "--check").exit_code == 0


@pytest.mark.sqlite
def test_a_restore_copies_and_takes_room_for_what_is_not_there_only(
    store: Store, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, gone = over(store, source=b"a" * 60_000), over(store, source=b"b" * 40_000)
    assert run("backup", "kept").exit_code == 0
    files = tmp_path / "data" / "jobs"
    (files / gone / "source").unlink()
    (files / there / "source.0123abcd.part").write_bytes(b"by one that was killed")
    untouched, asked = (files / there / "source").stat().st_ino, list[int]()
    monkeypatch.setattr(Storage, "check_room", lambda _, size: asked.append(size))
    back = run("restore", "kept", "--replace")
    assert back.exit_code == 0 and "Restored" in back.output, back.output
    assert asked == [40_000] and (files / there / "source").stat().st_ino == untouched
    assert content(files) == {f"{there}/source": b"a" * 60_000, f"{gone}/source": b"b" * 40_000}


@pytest.mark.sqlite
def test_nothing_is_restored_under_the_hands_of_workers(
    store: Store, run: Run, tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    over(store)
    redis_url = redis_server.empty()
    assert run("backup", "kept").exit_code == 0
    monkeypatch.setenv("REDIS_URL", redis_url)
    events = Events(redis_url)
    events.here("cpu@host", ["cpu"])
    refused = run("restore", "kept", data="other")
    assert refused.exit_code == 1 and "Workers are running (cpu@host)" in refused.output, refused.output
    events.gone("cpu@host")
    assert run("restore", "kept", data="other").exit_code == 0
    with Places(tmp_path / "other").held():
        assert "stop it first" in run("restore", "kept", data="other").output, "there is a lock from the first time on"


def test_a_backup_of_older_tables_is_brought_up_to_date(store: Store, run: Run, tmp_path: Path) -> None:
    """As it is made with a newer version before that has touched the database."""
    with store.database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        Record.metadata.drop_all(connection)
        Table("alembic_version", MetaData()).drop(connection)
        connection.commit()
    schema.upgrade(store.database.engine, "0001")
    with store.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO jobs (id, status, owner, priority, options, details, stages, source_name, source_bytes,"
                " source_sha256, warnings, created_at, submitted_at) VALUES ('j', 'queued', '', 'normal', '{}', '{}',"
                " '[]', 'a', 1, '', '[]', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
        )
    assert (made := run("backup", "kept")).exit_code == 0, made.output
    assert find(tmp_path / "kept").manifest.revision == "0001"
    assert (back := run("restore", "kept", "--replace")).exit_code == 0, back.output
    found = jobs.get(store.database, "j")
    assert found is not None and found.speaker_names == {} and found.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    store.database.upgrade()


def test_newer_tables_and_newer_backups_are_refused(store: Store, run: Run, tmp_path: Path) -> None:
    over(store)
    assert run("backup", "kept").exit_code == 0
    manifest = find(tmp_path / "kept").folder / "manifest.json"
    sound = manifest.read_text()
    manifest.write_text(
        sound.replace('"revision": "0006"', '"revision": "9999"').replace('"longhand": "', '"longhand": "9.')
    )
    assert "of a newer version of Longhand (9." in run("restore", "kept", "--replace").output
    manifest.write_text(sound.replace('"format": 1', '"format": 2, "more": 1'))
    assert "of a newer version of Longhand" in run("restore", "kept", "--check").output
    with store.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "of a newer version of Longhand" in run("backup", "kept").output


def test_files_in_a_store_that_is_no_disk(tmp_path: Path) -> None:
    elsewhere = Storage(f"memory://{tmp_path.name}/files")
    sound, got = b"sound" * 1000, tmp_path / "got"
    (tmp_path / "sent").write_bytes(sound)
    digest = holdings.copy_in(elsewhere, "a1", "segments/0.json", tmp_path / "sent")
    holdings.copy_in(elsewhere, "a1", "source", tmp_path / "sent")
    assert holdings.folders(elsewhere) == ["a1"]
    assert [(one.name, one.size) for one in holdings.held(elsewhere, "a1")] == [
        ("segments/0.json", 5000),
        ("source", 5000),
    ]
    assert holdings.held(elsewhere, "a2") == []
    assert holdings.copy_out(elsewhere, "a1", "segments/0.json", got) == (5000, digest)
    assert got.read_bytes() == sound


def test_it_runs_where_only_the_api_is_installed(tmp_path: Path) -> None:
    absent = (
        "sys.modules.update(dict.fromkeys(['rich', 'httpx', 'supervisor', 'numpy', 'faster_whisper', 'ctranslate2']))"
    )
    code = f"import sys; {absent}; import cli.backup, cli.restore; print('fine')"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert said.stdout == "fine\n", said


@pytest.mark.sqlite
def test_secrets_only_if_asked_for(store: Store, run: Run, tmp_path: Path) -> None:
    over(store)
    assert "no made-up secrets" in run("backup", "kept", "--with-secrets").output
    (tmp_path / "data" / "secrets.json").write_text('{"api_key": "lh-secret"}')
    plain = run("backup", "kept")
    assert "Not in it: secrets.json and other secrets" in plain.output
    assert not (find(tmp_path / "kept").folder / "secrets.json").exists()
    assert run("backup", "kept", "--with-secrets").exit_code == 0
    assert run("restore", "kept", data="other").exit_code == 0
    path = tmp_path / "other" / "secrets.json"
    assert path.read_bytes() == (tmp_path / "data" / "secrets.json").read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.sqlite
def test_what_is_wrong_is_told_in_a_sentence(store: Store, run: Run, tmp_path: Path) -> None:
    assert "There is no record here" in run("backup", "kept", data="nowhere").output
    assert not (tmp_path / "nowhere" / "longhand.db").exists(), "nothing is made by looking"
    assert run("backup", "kept").exit_code == 0
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    for arguments in (["restore", "kept"], ["backup", "kept"]):
        said = run(*arguments, data="other", url=url)
        assert said.exit_code == 1 and "The database cannot be used (OperationalError)" in said.output, said.output
    (tmp_path / "file").write_text("")
    assert "FOLDER" in run("backup", "file").output
    places = Places(tmp_path / "running")
    places.make()
    with places.held():
        assert (
            "`longhand up`, or another restore, uses this data folder" in run("restore", "kept", data="running").output
        )
