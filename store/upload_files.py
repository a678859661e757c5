"""The bytes of an upload that comes in pieces: one growing file on a disk, part files in object storage.

Who writes holds the upload's lock in the record (``store.uploads``). What is not saved is forgotten by the next writer,
so a file that is longer than the record says, after a crash, does no harm.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pipelines.stage import SOURCE
from store.arrivals import Arrival, Busy, Shorter, Vanished
from store.beating import beating
from store.file_errors import StorageAway, StorageRefused
from store.files import Storage
from store.incoming import Upload

PARTS = "parts"
PART_BYTES = 64 << 20
"""Where files cannot grow, a part of this size is saved by itself: so much comes again after a crash at most."""
_GROWING = "arriving.part"
_BLOCK = 1 << 20
_PATIENCE_SECONDS = 3.0
"""How long the writer before may take to notice that it is not one any more."""


def continue_upload(
    storage: Storage, upload_id: str, *, offset: int, parts: Sequence[str], check: Callable[[], None]
) -> Arrival:
    """Write on where the record says an upload ends; what lies behind is forgotten.

    Args:
        storage: Where it is.
        upload_id: Its id and folder.
        offset: Bytes that are there, as recorded.
        parts: Part files that are there, as recorded.
        check: Raises unless the record says (still) that the upload is ours; called when nobody else can write to it
            any more, and before anything of it changes.

    Raises:
        Busy: Try again in a moment.
        Shorter: The record must be corrected first.
        Vanished: A part is not there.
    """
    if storage.local:
        return _GrowingFile(storage, Path(storage.address(upload_id, SOURCE)), offset, check)
    return _PartFiles(storage, upload_id, offset, parts, check)


class _GrowingFile:
    """On a disk: one file, whose end is cut off to go back."""

    def __init__(self, storage: Storage, target: Path, offset: int, check: Callable[[], None]) -> None:
        self.parts: list[str] = []
        self.unsaved = 0
        self._storage = storage
        self._target = target
        self._path = target.with_name(_GROWING)
        self._file = self._opened(offset, check)
        try:
            size = os.fstat(self._file.fileno()).st_size
            if size < offset:
                raise Shorter(size)
            self._file.truncate(offset)
            self._file.seek(offset)
        except BaseException:
            self._file.close()
            raise
        self._saved = offset
        self._hash = hashlib.sha256() if offset == 0 else None

    @property
    def ripe(self) -> bool:
        return self.unsaved > 0

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        with self._storage.noticing():
            while left:
                left = left[self._file.write(left) :]
        if self._hash is not None:
            self._hash.update(data)
        self.unsaved += len(data)

    def save(self) -> None:
        self._saved += self.unsaved  # the file is not buffered: it is the system's already
        self.unsaved = 0

    def undo(self) -> None:
        if self.unsaved:
            self._file.truncate(self._saved)
            self._file.seek(self._saved)
            self.unsaved = 0
            self._hash = None

    def finish(self, beat: Callable[[], None]) -> str:
        if self._hash is None:
            self._hash = hashlib.sha256()
            self._file.seek(0)
            while block := self._file.read(_BLOCK):
                self._hash.update(block)
                beat()
        self.save()
        self._path.replace(self._target)
        return self._hash.hexdigest()

    def tidy(self) -> None:
        """Nothing is left over."""

    def close(self) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):  # the next writer cuts it off as well
                self.undo()
            self._file.close()

    def _opened(self, offset: int, check: Callable[[], None]) -> BinaryIO:
        """The file, with nobody else writing to it: a lock that cannot outlive its holder, unlike the record's."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            file, path = self._found()
            if file is not None:
                with contextlib.ExitStack() as close:
                    close.callback(file.close)
                    if _locked(file) and _is_still(file, path) and self._is_it(file, path, offset, check):
                        close.pop_all()
                        return file
            if time.monotonic() > end:
                raise Busy
            time.sleep(0.05)

    def _found(self) -> tuple[BinaryIO | None, Path]:
        """What can be written on, and its name; no file: it was renamed or deleted just now."""
        self._storage.prepare(str(self._path))
        with contextlib.suppress(FileNotFoundError):
            return self._path.open("r+b", buffering=0), self._path
        with contextlib.suppress(FileNotFoundError):
            return self._target.open("r+b", buffering=0), self._target
        with contextlib.suppress(FileNotFoundError):
            with self._storage.noticing():
                self._path.touch()
            return self._path.open("r+b", buffering=0), self._path
        return None, self._path

    def _is_it(self, file: BinaryIO, path: Path, offset: int, check: Callable[[], None]) -> bool:
        """Whether a locked file is the upload, by now under the name of one that grows."""
        empty = os.fstat(file.fileno()).st_size == 0
        try:
            check()
        except BaseException:
            if empty and path == self._path and self._target.exists():  # we have made it, and others have finished
                path.unlink()
            raise
        if path == self._target:
            # Finished, and the record does not know: its writer died in between.
            path.rename(self._path)
        elif empty and offset > 0 and self._target.exists():
            path.unlink()  # we have made it just when the other one was renamed
            return False
        return True


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks: the record's has to do
        return True
    return True


def _is_still(file: BinaryIO, path: Path) -> bool:
    """Whether the name is still this file's; its writer may have finished, or deleted it, before we had the lock."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


class _PartFiles:
    """In object storage, where nothing can grow: whole parts, named by the record."""

    def __init__(
        self, storage: Storage, upload_id: str, offset: int, parts: Sequence[str], check: Callable[[], None]
    ) -> None:
        self.parts = list(parts)
        self.unsaved = 0
        self._storage = storage
        self._id = upload_id
        self._offset = offset
        self._name = ""
        self._part: Upload | None = None
        self._hash = hashlib.sha256() if offset == 0 else None
        there = set(storage.names(upload_id, PARTS))
        check()  # whoever has it after us has neither written nor removed anything of what we saw
        for name in parts:
            if name not in there:
                raise Vanished(name)
        storage.remove(upload_id, *there.difference(parts))

    @property
    def ripe(self) -> bool:
        return self.unsaved >= PART_BYTES

    def write(self, data: bytes) -> None:
        if self._part is None:
            # Never a name that was used before: one who lost the upload without noticing cannot write over it.
            self._name = f"{PARTS}/{self._offset:016d}-{secrets.token_hex(4)}"
            self._part = self._storage.create(self._id, self._name)
        self._part.write(data)
        if self._hash is not None:
            self._hash.update(data)
        self.unsaved += len(data)

    def save(self) -> None:
        if self._part is not None:
            self._part.keep()
            self._part = None
            self.parts.append(self._name)
            self._offset += self.unsaved
            self.unsaved = 0

    def undo(self) -> None:
        if self._part is not None:
            self._part.drop()
            self._part = None
            self.unsaved = 0
            self._hash = None

    def finish(self, beat: Callable[[], None]) -> str:
        with beating(beat):
            self.save()
            if len(self.parts) == 1 and self._hash is not None:
                # Copied, not moved: until the record knows, the part must stay.
                with _there(self.parts[0]):
                    self._storage.copy(self._id, self.parts[0], SOURCE)
                return self._hash.hexdigest()
            if self.parts and self._joined():
                return self._hashed()
            with self._storage.create(self._id, SOURCE) as whole:
                for block in self._blocks():
                    whole.write(block)
                whole.keep()
                return whole.sha256

    def _joined(self) -> bool:
        """Have the storage make the file of the parts, so that little of it passes through here once more."""
        try:
            return self._storage.join(self._id, self.parts, SOURCE)
        except (FileNotFoundError, StorageRefused):
            # One that copies no parts, or wants all of them of one size. Should one be missing, that is found next.
            return False

    def _hashed(self) -> str:
        """What all of it adds up to; it is read once more, unless it came in a single request."""
        if self._hash is None:
            self._hash = hashlib.sha256()
            for block in self._blocks():
                self._hash.update(block)
        return self._hash.hexdigest()

    def tidy(self) -> None:
        # The upload is complete without it: what stays goes with its job.
        with contextlib.suppress(StorageAway, StorageRefused):
            self._storage.remove(self._id, *self.parts)

    def close(self) -> None:
        self.undo()

    def _blocks(self) -> Iterator[bytes]:
        for name in self.parts:
            with _there(name), self._storage.open(self._id, name) as part:
                while block := part.read(_BLOCK):
                    yield block


@contextlib.contextmanager
def _there(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Vanished(name) from error
