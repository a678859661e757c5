"""A file on its way into storage."""

import contextlib
import hashlib
import secrets
from typing import TYPE_CHECKING, BinaryIO, Self, cast

if TYPE_CHECKING:
    from store.files import Storage
    from store.s3_sending import Sending


class Upload:
    """A file that is being written: whole after ``keep``, gone after ``drop``; a reader never sees it half.

    Counts and hashes what passes through.
    """

    def __init__(self, storage: "Storage", job_id: str, name: str) -> None:
        self._storage = storage
        self._target = storage.address(job_id, name)
        # In object storage nobody sees a file before its end.
        self._aside = None if storage.whole else f"{self._target}.{secrets.token_hex(4)}.part"
        self._kept = self._ending = False
        storage.prepare(self._target)
        with storage.noticing():
            self._stream: Sending | BinaryIO = (
                storage.s3.writing(self._target) if storage.s3 else storage.fs.open(self._aside or self._target, "wb")
            )
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

    @property
    def left_behind(self) -> bool:
        """Whether something may be there even after ``drop``: the file, if ``keep`` was begun, or a disk's folder."""
        return self._kept or self._ending or self._aside is not None

    def keep(self) -> None:
        """Finish: from now on the file is there under its name.

        Raises:
            StorageFull: The disk is full.
            StorageAway: It is not there any more.
        """
        self._ending = True
        try:
            with self._storage.noticing():
                self._stream.close()
                if self._aside is not None:
                    self._storage.fs.mv(self._aside, self._target)
        except BaseException:
            self.drop()
            raise
        self._kept = True

    def drop(self) -> None:
        """Forget it; harmless after ``keep``."""
        if self._kept:
            return
        if self._aside is None:
            with contextlib.suppress(Exception):  # what stays behind is swept up
                cast("Sending", self._stream).discard()
            return
        with contextlib.suppress(Exception):
            self._stream.close()
        with contextlib.suppress(FileNotFoundError), self._storage.noticing():
            self._storage.fs.rm(self._aside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.drop()
