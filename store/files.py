"""A job's files, on a disk or in object storage, under names of our own."""

import contextlib
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from store.disk import move
from store.file_errors import Damaged, StorageAway, StorageFull
from store.incoming import Upload
from store.outgoing import Reading
from store.place import HERE as HERE
from store.place import Place
from store.s3_sending import Piece

_TRIES = 1000
"""To delete a folder from which others remove files: each takes one of them away, and there are few."""


class Storage(Place):
    """Folders of files by job id."""

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

    def fetch(self, job_id: str, name: str, scratch: Path, *, sha256: str | None = None) -> Path:
        """A local path of a file: the file itself on a local disk, else a copy in ``scratch``.

        Args:
            job_id: Whose.
            name: Which.
            scratch: A folder of the caller's own.
            sha256: Of its content, if that is known: a copy that is another is made once more.

        Raises:
            FileNotFoundError: There is no such file.
            Damaged: Its content is another.
            ScratchFull: The caller's disk has no room for it.
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
            if self.s3 is None:
                self.fs.get_file(address, str(copy))
                return copy
            for _ in range(2):
                if self.s3.fetch(address, copy) == sha256 or sha256 is None:
                    return copy
            raise Damaged

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
            address = self.address(job_id, name)
            return self.s3.content(address) if self.s3 else bytes(self.fs.cat_file(address))

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
            (self.s3.copy_file if self.s3 else self.fs.cp_file)(self.address(job_id, name), self.address(job_id, other))

    def join(self, job_id: str, names: Sequence[str], other: str) -> bool:
        """Have the storage make one file of several, replacing what was there; False: it cannot.

        Raises:
            FileNotFoundError: One of them is not there.
            StorageRefused: It does not.
        """
        if self.s3 is None:
            return False
        with self.noticing():
            pieces = [Piece(self.address(job_id, name), self.size(job_id, name)) for name in names]
            self.s3.join(pieces, self.address(job_id, other))
        return True

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
        """Raise unless files can be written and read back, and with S3 all is allowed that will be done."""
        if self.s3:
            self.prove(parts=True)
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
        if self.proven():
            return
        self.prove() if self.s3 else self.ping()
        self._proven = time.monotonic()
