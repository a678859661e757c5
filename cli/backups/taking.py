"""Make a backup: the record first, at one moment, then the files of its jobs; whole or not at all."""

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from cli.backups.manifest import FILES, LIST, MANIFEST, RECORD, SECRETS, Files, Kept, Line, Manifest, Rows
from cli.backups.progress import Told, in_turn
from cli.backups.reading import Backup, BackupTrouble, find, whole
from store import Store, snapshot
from store.holdings import Held, copy_out, held, measure
from store.models import ACTIVE
from store.snapshot import Snapshot

AT_ONCE = 8
"""Jobs whose files are copied at the same time: object storage takes its time for each."""
_PARTIAL = ".partial"
_FEW = 500


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    into: Path
    """The folder with the backups."""
    longhand: str
    """The version."""
    left_out: frozenset[str]
    """Names of files that a job makes again by itself."""
    secrets: Path | None
    """A file of secrets to take along."""


@dataclass
class Taken:
    """A backup that was made."""

    folder: Path
    manifest: Manifest
    new_bytes: int
    """Of files that the one before did not have."""
    bare: list[str]
    """Jobs that are done, and of which there is no file."""


@dataclass
class _Ids:
    """Whose files are wanted."""

    active: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    uploads: dict[str, None] = field(default_factory=dict)


def take(store: Store, order: Order, *, told: Told) -> Taken:
    """Make a backup of a running installation.

    Raises:
        BackupTrouble: Another is being made in that folder; recordings are kept there; or all recordings are gone.
        store.snapshot.NoRecord: There is nothing to back up.
        store.schema.TooNew: This version does not know the tables.
        OSError: The folder cannot be written.
    """
    _outside(order.into, store)
    with _alone(order.into):
        for left in order.into.glob(f".*{_PARTIAL}"):
            shutil.rmtree(left)
        before = _last(order.into)
        began = datetime.now(UTC)
        name = began.strftime("%Y-%m-%dT%H-%M-%S.") + f"{began.microsecond // 1000:03d}Z"
        partial = order.into / f".{name}{_PARTIAL}"
        partial.mkdir(mode=0o700)
        try:
            taken = _Taking(store, order, partial, before, told).run(began)
            # What the manifest tells of is on the disk before the manifest is under its name.
            os.sync()
            partial.rename(order.into / name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return replace(taken, folder=order.into / name)


def prune(made: Path, *, keep: int) -> int:
    """Delete older backups beside one that was made just now, so that so many are left; how many were deleted."""
    with _alone(made.parent):
        # Whatever the clock says: not this one.
        others = [one for one in whole(made.parent) if one != made]
        old = others[: max(0, len(others) + 1 - keep)]
        for folder in old:
            # One that is half deleted must not be taken for whole.
            doomed = folder.with_name(f".{folder.name}{_PARTIAL}")
            folder.rename(doomed)
            shutil.rmtree(doomed)
        return len(old)


class _Taking:
    """One backup in the making."""

    def __init__(self, store: Store, order: Order, folder: Path, before: Backup | None, told: Told) -> None:
        self._store, self._order, self._folder, self._before, self._told = store, order, folder, before, told
        self._new = 0

    def run(self, began: datetime) -> Taken:
        ids = _Ids()
        (self._folder / RECORD).mkdir(mode=0o700)
        (self._folder / FILES).mkdir(mode=0o700)
        with snapshot.taken(self._store.database) as moment:
            tables = {table: self._rows(moment, table, ids) for table in moment.tables}
            revision = moment.revision
        files = self._files(ids)
        deleted = list(self._deleted())
        for job_id in deleted:
            shutil.rmtree(self._folder / FILES / job_id, ignore_errors=True)
        bare = self._bare(ids, deleted)
        secrets = self._secrets()
        manifest = Manifest(
            longhand=self._order.longhand, revision=revision, began_at=began, ended_at=datetime.now(UTC),
            tables=tables, files=files, deleted=deleted, secrets=secrets,
        )  # fmt: skip
        with _created(self._folder / MANIFEST) as file:
            file.write(manifest.model_dump_json(indent=2).encode())
        return Taken(self._folder, manifest, self._new, bare)

    def _bare(self, ids: _Ids, deleted: list[str]) -> list[str]:
        done = ids.done.difference(deleted)
        bare = sorted(job_id for job_id in done if not (self._folder / FILES / job_id).is_dir())
        if bare and len(bare) == len(done):
            raise BackupTrouble(
                "No finished job has a file: is the disk with the recordings mounted (STORAGE_URL, DATA_DIR)? If they "
                "are lost for good, delete these jobs. Nothing of this backup was kept."
            )
        return bare

    def _rows(self, moment: Snapshot, table: str, ids: _Ids) -> Rows:
        path, count = self._record(table), 0
        with _created(path) as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as text:
            for row in moment.rows(table):
                text.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
                count += 1
                if table == "uploads":
                    ids.uploads[row["id"]] = None
                elif table == "jobs" and row["status"] in ACTIVE:
                    ids.active.append(row["id"])
                elif table == "jobs" and row["status"] == "done":
                    ids.done.add(row["id"])
        return Rows(count=count, sha256=measure(path)[1])

    def _files(self, ids: _Ids) -> Files:
        jobs = count = size = 0
        digest = hashlib.sha256()
        with _created(self._folder / LIST) as listed, ThreadPoolExecutor(AT_ONCE) as pool:
            for line, new in in_turn(pool, self._copy, self._wanted(ids)):
                self._new += new
                if not line.files:
                    continue
                text = line.model_dump_json().encode() + b"\n"
                listed.write(text)
                digest.update(text)
                jobs, count, size = jobs + 1, count + len(line.files), size + sum(one.size for one in line.files)
                self._told(len(line.files), sum(one.size for one in line.files))
        return Files(jobs=jobs, count=count, bytes=size, sha256=digest.hexdigest())

    def _wanted(self, ids: _Ids) -> Iterator[str]:
        """Whose files are to be copied: first those that change soonest."""
        active = set(ids.active)
        yield from ids.active
        for job_id in self._jobs():
            ids.uploads.pop(job_id, None)
            if job_id not in active:
                yield job_id
        yield from ids.uploads

    def _jobs(self) -> Iterator[str]:
        """Ids of all jobs of the record as it was read."""
        with gzip.open(self._record("jobs"), "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["id"]

    def _copy(self, job_id: str) -> tuple[Line, int]:
        """Copy a job's files; what there is of it, and how many bytes the backup before did not have."""
        before = self._before.of(job_id) if self._before else {}
        kept, new = [], 0
        for one in held(self._store.files, job_id):
            if one.name in self._order.left_out:
                continue
            path, old = self._folder / FILES / job_id / one.name, before.get(one.name)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if old is not None and _same(one, old) and self._linked(job_id, old, path):
                kept.append(old)
            elif (copied := self._copy_one(job_id, one, path)) is not None:
                kept.append(copied)
                new += 0 if old is not None and self._the_same_after_all(job_id, old, copied, path) else copied.size
        return Line(job=job_id, files=kept), new

    def _copy_one(self, job_id: str, one: Held, path: Path) -> Kept | None:
        """Copy a file; None if it was deleted meanwhile."""
        _created(path).close()
        try:
            size, sha256 = copy_out(self._store.files, job_id, one.name, path)
        except FileNotFoundError:
            if self._store.files.exists(job_id, one.name):
                raise  # then it is the backup's own folder that has gone
            path.unlink(missing_ok=True)
            return None
        return Kept(name=one.name, size=size, sha256=sha256, mark=one.mark)

    def _the_same_after_all(self, job_id: str, before: Kept, copied: Kept, path: Path) -> bool:
        """Give a copy's room back if the backup before has it: after a restore, or a move, all marks are others."""
        if self._before is None or before.sha256 != copied.sha256:
            return False
        aside = path.with_name(f"{path.name}.old")
        with contextlib.suppress(OSError, BackupTrouble):
            old = self._before.path(job_id, before.name)
            # A sound copy never gives way to one that has been damaged since.
            if measure(old) == (copied.size, copied.sha256):
                aside.hardlink_to(old)
                aside.replace(path)
                return True
        return False

    def _linked(self, job_id: str, before: Kept, path: Path) -> bool:
        """Whether the copy of the backup before serves this one as well."""
        if self._before is None:
            return False
        try:
            old = self._before.path(job_id, before.name)
            if old.stat().st_size != before.size:
                return False
            path.hardlink_to(old)
        except (OSError, BackupTrouble):
            return False
        return True

    def _deleted(self) -> Iterator[str]:
        ids = self._jobs()
        while some := list(islice(ids, _FEW)):
            there = snapshot.still_there(self._store.database, some)
            yield from (one for one in some if one not in there)

    def _secrets(self) -> str | None:
        if self._order.secrets is None:
            return None
        content = self._order.secrets.read_bytes()
        with _created(self._folder / SECRETS) as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    def _record(self, table: str) -> Path:
        return self._folder / RECORD / f"{table}.jsonl.gz"


def _same(one: Held, before: Kept) -> bool:
    return one.mark is not None and (one.mark, one.size) == (before.mark, before.size)


def _outside(into: Path, store: Store) -> None:
    if store.files.local and into.resolve().is_relative_to(store.files.local.resolve()):
        raise BackupTrouble(
            "That folder is among the recordings, where everything that belongs to no job is deleted: choose another, "
            "on another disk if there is one."
        )


@contextlib.contextmanager
def _alone(into: Path) -> Iterator[None]:
    """Be the only one who writes backups into a folder, which is made if need be."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (into / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupTrouble("Another backup is being made in this folder: wait for its end.") from error
        yield


def _last(into: Path) -> Backup | None:
    with contextlib.suppress(BackupTrouble, OSError):
        found = find(into)
        found.index()
        return found
    return None


def _created(path: Path) -> BinaryIO:
    """A new file for its owner only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")
