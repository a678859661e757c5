"""A job's files, on a disk or in object storage, under names of our own."""

import contextlib
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import fsspec

from store.disk import move
from store.file_errors import StorageAway, StorageFull, noticing
from store.incoming import Upload
from store.outgoing import Reading

if TYPE_CHECKING:
    from store.s3 import S3

HERE = "health"
"""A folder beside those of the jobs. Where it is missing, the disk that should be there is not mounted."""
_TRIES = 1000
"""To delete a folder from which others remove files: each takes one of them away, and there are few."""
_PROOF_SECONDS = 60.0
"""For so long it is believed of S3 that what could be written once can be written."""


class Storage:
    """Folders of files by job id.

    Args:
        url: ``file:///folder`` or ``s3://bucket/prefix``, or whatever else fsspec knows.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self.local = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self.whole = parts.scheme == "s3"
        """Whether a file is seen by nobody before it is closed, so that it need not be written aside."""
        self.root = str(self.local) if self.local else url.split("://", 1)[1].rstrip("/")
        self._made: tuple[int, Any] = (0, None)
        self._proven = -math.inf
        if self.local:
            # Where this cannot be done every use says so.
            with contextlib.suppress(OSError):
                (self.local / HERE).mkdir(parents=True, exist_ok=True)

    @property
    def fs(self) -> Any:
        """The library's file system, of this process alone: its connections, and their thread, outlive no fork."""
        process, made = self._made
        if process != os.getpid():
            made = self._connected()
            self._made = (os.getpid(), made)
        return made

    @property
    def s3(self) -> "S3 | None":
        """The same, where it is S3."""
        return cast("S3", self.fs) if self.whole else None

    def _connected(self) -> Any:
        if self.whole:
            from store.s3 import connect  # takes half a second, of those only who need it

            return connect()
        return fsspec.filesystem(self._scheme, **({"auto_mkdir": True} if self.local else {}))

    def away(self) -> bool:
        """Whether the place itself cannot be reached, whatever is in it."""
        if self.local:
            return not (self.local / HERE).is_dir()
        try:
            if self.s3:
                self.s3.answers(self.root)
            else:
                self.fs.exists(self.root)
        except PermissionError:  # it answers; who may use its files may yet not look at the bucket
            return False
        except Exception:  # whatever a library has for it
            return True
        return False

    @contextlib.contextmanager
    def noticing(self) -> Iterator[None]:
        """Tell a full and an absent storage (``StorageFull``, ``StorageAway``) from other errors."""
        try:
            with noticing(self.away, remote=self.local is None):
                yield
        except StorageAway:
            self._proven = -math.inf
            raise

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

    def send(self, path: Path, address: str) -> None:
        """Copy a local file to an address elsewhere, whole or not at all."""
        self.s3.send(str(path), address) if self.s3 else self.fs.put_file(str(path), address)

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
                self.send(path, target)
                path.unlink()
                return
            move(path, Path(target))

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
        address = self.address(job_id, name)
        with self.noticing():
            if self.s3:
                from store.s3 import READ_BYTES

                return cast(BinaryIO, Reading(self.fs.open(address, "rb", block_size=READ_BYTES), self.noticing))
            return cast(BinaryIO, self.fs.open(address, "rb"))

    def read(self, job_id: str, name: str) -> bytes:
        """The whole of a small file, in one request where there are requests.

        Raises:
            FileNotFoundError: There is no such file.
            StorageAway: The storage is not there.
        """
        with self.noticing():
            return bytes(self.fs.cat_file(self.address(job_id, name)))

    def exists(self, job_id: str, name: str) -> bool:
        """Whether a file is there, whole.

        Raises:
            StorageAway: Nobody knows, the storage is not there.
        """
        address = self.address(job_id, name)
        with self.noticing():
            try:
                # Not `exists`, which takes every error for a no; nor `info` everywhere, which looks for folders, too.
                self.s3.length(address) if self.s3 else self.fs.info(address)
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
        address = self.address(job_id, name)
        with self.noticing():
            return int(self.s3.length(address) if self.s3 else self.fs.size(address))

    def names(self, job_id: str, folder: str) -> list[str]:
        """Names of the whole files in a job's folder."""
        address = self.address(job_id, folder) if folder else self.address(job_id)
        with self.noticing():
            try:
                entries = self.s3.folder(address) if self.s3 else self.fs.ls(address, detail=False)
            except FileNotFoundError:
                if self.away():
                    raise
                return []
        found = (str(entry).rpartition("/")[2] for entry in entries)
        return sorted(f"{folder}/{name}" for name in found if not name.endswith(".part"))

    def remove(self, job_id: str, *names: str) -> None:
        """Delete some files of a job; those that are not there are no error."""
        if self.s3 and names:
            with self.noticing():
                self.s3.discard(self.address(job_id), [name for name in names if self.address(job_id, name)])
            return
        for name in names:
            with contextlib.suppress(FileNotFoundError), self.noticing():
                self.fs.rm(self.address(job_id, name))

    def delete(self, job_id: str) -> None:
        """Delete everything of a job, also while somebody else removes files of it."""
        folder = self.address(job_id)
        if self.s3:
            with self.noticing():
                self.s3.clear(folder)
            return
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
            self.fs.cp_file(self.address(job_id, name), self.address(job_id, other))

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
        if self.s3:
            with self.noticing():
                self.s3.try_out(self.address(HERE))
            return
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

    def check(self) -> None:
        """Raise unless files can be kept just now, asked as often as one likes.

        Where each request is paid for, it is tried once a minute, or again after a failure of whatever use; in between
        the bucket has to answer.
        """
        if self.s3 and time.monotonic() < self._proven + _PROOF_SECONDS:
            if self.away():
                self._proven = -math.inf
                raise StorageAway("the place where files are kept cannot be reached")
            return
        self.ping()
        self._proven = time.monotonic()
