"""A job's files, on a disk or in object storage, under names of our own."""

import contextlib
import glob
import hashlib
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, cast
from urllib.parse import unquote, urlsplit

import fsspec

from store.file_errors import StorageAway, StorageFull, noticing

HERE = "health"
"""A folder beside those of the jobs. Where it is missing, the disk that should be there is not mounted."""
_TRIES = 1000
"""To delete a folder from which others remove files: each takes one of them away, and there are few."""


class Upload:
    """A file that is being written: whole after ``keep``, gone after ``drop``; a reader never sees it half.

    Counts and hashes what passes through.
    """

    def __init__(self, storage: "Storage", job_id: str, name: str) -> None:
        self._storage = storage
        self._target = storage.address(job_id, name)
        self._aside = f"{self._target}.{secrets.token_hex(4)}.part"
        storage.prepare(self._target)
        with storage.noticing():
            self._stream: BinaryIO = storage.fs.open(self._aside, "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Append.

        Raises:
            StorageFull: The disk is full.
            StorageAway: It is not there any more.
        """
        with self._storage.noticing():
            self._stream.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """Hash of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def keep(self) -> None:
        """Finish: from now on the file is there under its name."""
        with self._storage.noticing():
            self._stream.close()
            self._storage.fs.mv(self._aside, self._target)

    def drop(self) -> None:
        """Forget it; harmless after ``keep``."""
        with contextlib.suppress(Exception):
            self._stream.close()
        with contextlib.suppress(FileNotFoundError), self._storage.noticing():
            self._storage.fs.rm(self._aside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.drop()


class Storage:
    """Folders of files by job id.

    Args:
        url: ``file:///folder`` or whatever else fsspec knows, such as ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.local = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self.fs = fsspec.filesystem(parts.scheme, **({"auto_mkdir": True} if self.local else {}))
        self.root = str(self.local) if self.local else url.split("://", 1)[1]
        if self.local:
            # Where this cannot be done every use says so.
            with contextlib.suppress(OSError):
                (self.local / HERE).mkdir(parents=True, exist_ok=True)

    def away(self) -> bool:
        """Whether the place itself cannot be reached, whatever is in it."""
        if self.local:
            return not (self.local / HERE).is_dir()
        try:
            self.fs.invalidate_cache()
            self.fs.exists(self.root)
        except Exception:  # whatever a library has for it
            return True
        return False

    def noticing(self) -> AbstractContextManager[None]:
        """Tell a full and an absent storage (``StorageFull``, ``StorageAway``) from other errors."""
        return noticing(self.away, remote=self.local is None)

    def address(self, job_id: str, name: str = "") -> str:
        """Where a job's file is, in the file system's own spelling.

        Raises:
            ValueError: Not a name of ours; no path from a client may come this far.
        """
        parts = [job_id, *(name.split("/") if name else [])]
        if any(p in {"", ".", ".."} or "\\" in p or "\0" in p for p in parts):
            raise ValueError(f"not a name of a job's file: {job_id!r} {name!r}")
        return "/".join([self.root, *parts])

    def prepare(self, address: str) -> None:
        """Make the folder of a file, where there are folders.

        Raises:
            StorageAway: The disk is not there; nothing is written into the folder it should be mounted on.
        """
        if self.local:
            if self.away():
                raise StorageAway("the place where files are kept is not there")
            with self.noticing():
                Path(address).parent.mkdir(parents=True, exist_ok=True)

    def create(self, job_id: str, name: str) -> Upload:
        """A new file to write to."""
        return Upload(self, job_id, name)

    def put(self, job_id: str, name: str, path: Path) -> None:
        """Keep a finished local file under a name: whole or not at all. The local file is gone afterwards.

        Raises:
            StorageFull: The disk is full.
            StorageAway: It is not there.
        """
        target = self.address(job_id, name)
        self.prepare(target)
        with self.noticing():
            if self.local is None:
                self.fs.put_file(str(path), target)
                path.unlink()
                return
            try:
                path.replace(target)
            except OSError as error:
                if error.errno != 18:  # EXDEV: scratch and storage are different disks
                    raise
                self._copy(path, Path(target))

    def _copy(self, path: Path, target: Path) -> None:
        """From another disk, which takes time and room: nothing half copied may stay."""
        for left in target.parent.glob(f"{glob.escape(target.name)}.*.part"):
            left.unlink(missing_ok=True)  # by a run that was killed
        aside = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        try:
            shutil.move(path, aside)
            aside.replace(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def fetch(self, job_id: str, name: str, scratch: Path) -> Path:
        """A local path of a file: the file itself on a local disk, else a copy in ``scratch``.

        Raises:
            FileNotFoundError: There is no such file.
            StorageAway: The storage is not there.
        """
        address = self.address(job_id, name)
        with self.noticing():
            if self.local:
                path = Path(address)
                if not path.is_file():
                    raise FileNotFoundError(name)
                return path
            copy = scratch / "fetched" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(address, str(copy))
            return copy

    def open(self, job_id: str, name: str) -> BinaryIO:
        """A seekable stream that reads only what is asked for.

        Raises:
            FileNotFoundError: There is no such file.
            StorageAway: The storage is not there.
        """
        with self.noticing():
            return cast(BinaryIO, self.fs.open(self.address(job_id, name), "rb"))

    def exists(self, job_id: str, name: str) -> bool:
        """Whether a file is there, whole.

        Raises:
            StorageAway: Nobody knows, the storage is not there.
        """
        address = self.address(job_id, name)
        with self.noticing():
            try:
                self.fs.info(address)  # not `exists`, which takes every error for a no
            except FileNotFoundError:
                if self.away():
                    raise
                return False
        return True

    def size(self, job_id: str, name: str) -> int:
        """Bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
            StorageAway: The storage is not there.
        """
        with self.noticing():
            return int(self.fs.size(self.address(job_id, name)))

    def names(self, job_id: str, folder: str) -> list[str]:
        """Names of the whole files in a job's folder."""
        address = self.address(job_id, folder)
        self.fs.invalidate_cache(address)
        with self.noticing():
            try:
                entries = self.fs.ls(address, detail=False)
            except FileNotFoundError:
                if self.away():
                    raise
                return []
        found = (str(entry).rsplit("/", 1)[1] for entry in entries)
        return sorted(f"{folder}/{name}" for name in found if not name.endswith(".part"))

    def remove(self, job_id: str, *names: str) -> None:
        """Delete some files of a job; those that are not there are no error."""
        for name in names:
            with contextlib.suppress(FileNotFoundError), self.noticing():
                self.fs.rm(self.address(job_id, name))

    def delete(self, job_id: str) -> None:
        """Delete everything of a job, also while somebody else removes files of it."""
        folder = self.address(job_id)
        for _ in range(_TRIES):
            # A file that vanishes meanwhile ends a deletion early, as if there were nothing at all.
            with contextlib.suppress(FileNotFoundError), self.noticing():
                self.fs.rm(folder, recursive=True)
            with self.noticing():
                if not self.fs.exists(folder):
                    return
        with self.noticing():
            self.fs.rm(folder, recursive=True)

    def copy(self, job_id: str, name: str, other: str) -> None:
        """Copy a file of a job to another name, replacing what was there."""
        with self.noticing():
            self.fs.copy(self.address(job_id, name), self.address(job_id, other))

    def check_room(self, size: int) -> None:
        """Say beforehand if a file of this many bytes cannot fit; nothing is set aside for it.

        Raises:
            StorageFull: There is less room.
        """
        if self.local:
            with self.noticing():
                free = shutil.disk_usage(self.local).free
            if free < size:
                raise StorageFull("less space is left than the file needs")

    def ping(self) -> None:
        """Raise unless files can be written and read back."""
        name = secrets.token_hex(8)
        with self.create(HERE, name) as probe:
            probe.write(name.encode())
            probe.keep()
        try:
            with self.open(HERE, name) as stream:
                if stream.read() != name.encode():
                    raise OSError("what was written was not read back")
        finally:
            self.remove(HERE, name)

    def forgotten(self, *, seconds: float) -> Iterator[str]:
        """Ids of the folders in which nothing has changed for this long."""
        before = time.time() - seconds
        for folder in self.fs.ls(self.root, detail=False) if self.fs.exists(self.root) else []:
            if str(folder).rstrip("/").endswith(f"/{HERE}"):
                continue
            found = self.fs.find(folder, detail=True).values()
            changes = [_changed_at(entry) for entry in found] or [_changed_at(self.fs.info(folder))]
            if max(changes) < before:
                yield str(folder).rstrip("/").rsplit("/", 1)[1]


def _changed_at(entry: dict[str, Any]) -> float:
    at = entry.get("mtime", entry.get("LastModified", time.time()))
    return at.timestamp() if isinstance(at, datetime) else float(at)
