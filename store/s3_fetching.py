"""What comes out of object storage: a line that breaks is gone on with where it broke."""

import asyncio
import errno
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from store import s3_answers
from store.file_errors import FULL, ScratchFull

if TYPE_CHECKING:
    from store.s3 import S3

_BLOCK = 256 << 10
_RESUMES = 5
"""So often in a row it may break without anything having come."""


async def fetch(s3: "S3", address: str, path: Path) -> str:
    """Copy a file to a path.

    Returns:
        The SHA-256 of what came, in hexadecimal.

    Raises:
        ScratchFull: The path's disk has no room for it.
    """
    while True:
        with path.open("wb") as file:
            coming = _Coming(s3, address, file)
            try:
                return await coming.all_of_it()
            except _Changed:
                continue


class _Changed(Exception):
    """Another file is there now under that name: begin anew."""


class _Coming:
    """A file on its way to a path."""

    def __init__(self, s3: "S3", address: str, file: BinaryIO) -> None:
        self._s3 = s3
        bucket, key, _ = s3.split_path(address)
        self._here = {"Bucket": bucket, "Key": key}
        self._file = file
        self._hash = hashlib.sha256()
        self._have, self._length, self._tag = 0, -1, ""

    async def all_of_it(self) -> str:
        broke = 0
        while self._have != self._length:
            before = self._have
            found = await self._ask()
            try:
                async with found["Body"] as body:
                    while block := await body.read(_BLOCK):
                        self._keep(block)
                if self._have < self._length:
                    raise OSError(errno.ECONNRESET, "the line broke")
            except (ScratchFull, asyncio.CancelledError):
                raise
            except Exception:
                broke = broke + 1 if self._have == before else 1
                if broke > _RESUMES:
                    raise
                await asyncio.sleep(min(0.1 * 2**broke, 3.0))
        return self._hash.hexdigest()

    async def _ask(self) -> dict[str, Any]:
        """What is still missing of it."""
        rest = {"Range": f"bytes={self._have}-", "IfMatch": self._tag} if self._have else {}
        try:
            found: dict[str, Any] = await self._s3._call_s3("get_object", **self._here, **rest)
        except OSError as error:
            said = s3_answers.told(error)
            if rest and said is not None and said.status == 412:
                raise _Changed from error
            raise
        if rest and "ContentRange" not in found:  # it has begun anew by itself
            found["Body"].close()
            raise _Changed
        if not rest:
            self._length, self._tag = int(found["ContentLength"]), str(found["ETag"])
            if shutil.disk_usage(Path(self._file.name).parent).free < self._length:
                found["Body"].close()
                raise ScratchFull
        return found

    def _keep(self, block: bytes) -> None:
        try:
            self._file.write(block)
        except OSError as error:
            if error.errno in FULL:
                raise ScratchFull from error
            raise
        self._hash.update(block)
        self._have += len(block)
