"""What goes into object storage: whole files in one request, large ones in parts, and copies the store makes itself."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import s3_answers
from store.file_errors import StorageAway
from store.interrupted import waiting

if TYPE_CHECKING:
    from store.s3 import S3

PART_BYTES = 8 << 20
"""Files are sent in parts of this size, 10,000 at most; each file that arrives has some three of them in memory."""
_LEAST = 5 << 20
"""Every part but the last has at least so many bytes, or the store takes none of it."""
_COPIED_WHOLE = 150 << 20
_COPIED_PARTS = 64 << 20
_AT_ONCE = 4
_MARK = "longhand-upload"
"""Metadata by which a file is known for the one that was just sent."""


@dataclass(frozen=True)
class Piece:
    """A file that is to become part of another."""

    address: str
    size: int


class _Parts:
    """A file that is sent in parts: there when ``complete`` is over, gone after ``abort``."""

    def __init__(self, s3: "S3", address: str) -> None:
        self._s3 = s3
        bucket, key, _ = s3.split_path(address)
        self._here = {"Bucket": bucket, "Key": key}
        self._mark = secrets.token_hex(8)
        self._upload = ""
        self._made: list[dict[str, Any]] = []
        self.size = 0

    @property
    def begun(self) -> bool:
        return bool(self._upload)

    @property
    def number(self) -> int:
        """Of the last part."""
        return len(self._made)

    async def begin(self) -> None:
        begun = await self._s3._call_s3("create_multipart_upload", Metadata={_MARK: self._mark}, **self._here)
        self._upload = begun["UploadId"]

    async def add(self, *bodies: bytes) -> None:
        """Send the next parts, at the same time."""
        sent = (self._part("upload_part", n, Body=body) for n, body in enumerate(bodies, self.number + 1))
        self._made += await _all(*sent)
        self.size += sum(map(len, bodies))

    async def add_copy(self, address: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Have the store copy ranges of another file as the next parts, a few at the same time."""
        source = _source(self._s3, address)
        for start in range(0, len(ranges), _AT_ONCE):
            some = ranges[start : start + _AT_ONCE]
            asked = [{"CopySource": source, "CopySourceRange": f"bytes={first}-{last}"} for first, last in some]
            numbered = enumerate(asked, self.number + 1)
            self._made += await _all(*(self._part("upload_part_copy", n, **named) for n, named in numbered))
            self.size += sum(last - first + 1 for first, last in some)

    async def _part(self, method: str, number: int, **named: Any) -> dict[str, Any]:
        try:
            out = await self._s3._call_s3(method, PartNumber=number, UploadId=self._upload, **self._here, **named)
        except FileNotFoundError as error:
            _see_who_ended_it(error)
            raise
        return {"PartNumber": number, "ETag": out.get("CopyPartResult", out)["ETag"]}

    async def complete(self) -> None:
        """Make the file of its parts. Once this is begun, nobody knows whether it is there but by looking."""
        asked = {"UploadId": self._upload, "MultipartUpload": {"Parts": self._made}, **self._here}
        for again in (True, False):
            try:
                await self._s3._call_s3("complete_multipart_upload", **asked)
                return
            except Exception as error:
                # An answer that was lost, or came too late, must not undo what was done.
                if await self._is_there():
                    return
                _see_who_ended_it(error)
                said = s3_answers.told(error)
                if not again or (said is not None and said.kind != "away"):
                    raise

    async def _is_there(self) -> bool:
        with contextlib.suppress(Exception):
            found = await self._s3._call_s3("head_object", **self._here)
            return bool(found["ContentLength"] == self.size and found.get("Metadata", {}).get(_MARK) == self._mark)
        return False

    async def abort(self) -> None:
        """Forget it; what stays behind, as the store does not answer, is swept up."""
        if self._upload:
            with contextlib.suppress(Exception):
                await self._s3._call_s3("abort_multipart_upload", UploadId=self._upload, **self._here)


@contextlib.asynccontextmanager
async def _in_parts(s3: "S3", address: str) -> Any:
    """A file made of the parts that are added in the block, or nothing if that fails."""
    made = _Parts(s3, address)
    try:
        await made.begin()
        yield made
        await made.complete()
    except BaseException:
        await made.abort()
        raise


async def send(s3: "S3", path: Path, address: str) -> None:
    """Put a local file there, whole or not at all."""
    bucket, key, _ = s3.split_path(address)
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < 2 * PART_BYTES:
            await s3._call_s3("put_object", Bucket=bucket, Key=key, Body=file.read())
            return
        async with _in_parts(s3, address) as made:
            while bodies := [body for _ in range(_AT_ONCE) if (body := file.read(PART_BYTES))]:
                await made.add(*bodies)


async def copy(s3: "S3", address: str, other: str) -> None:
    """Copy a file within the store."""
    bucket, key, _ = s3.split_path(address)
    size = int((await s3._call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"])
    if size > _COPIED_WHOLE:
        async with _in_parts(s3, other) as made:
            await made.add_copy(address, _ranges(0, size))
        return
    to, under, _ = s3.split_path(other)
    await s3._call_s3("copy_object", Bucket=to, Key=under, CopySource=_source(s3, address))


async def join(s3: "S3", pieces: list[Piece], address: str) -> None:
    """Make one file of several: the store copies what is large enough to be a part, the rest passes through here."""
    left = [piece for piece in pieces if piece.size]
    async with _in_parts(s3, address) as made:
        rest = b""
        for place, piece in enumerate(left):
            last, start = place == len(left) - 1, 0
            if rest or (piece.size < _LEAST and not last):
                # As much as it takes to have a part, or all of it where that leaves too little for one.
                start = min(piece.size, max(0, _LEAST - len(rest)))
                if piece.size - start < _LEAST and not last:
                    start = piece.size
                rest += await _read(s3, piece.address, 0, start)
                if len(rest) >= _LEAST:
                    await made.add(rest)
                    rest = b""
            await made.add_copy(piece.address, _ranges(start, piece.size))
        if rest:
            await made.add(rest)


async def put_once(s3: "S3", address: str, content: bytes) -> None:
    """Write a small file where there is none."""
    bucket, key, _ = s3.split_path(address)
    for condition in ({"IfNoneMatch": "*"}, {}):
        try:
            await s3._call_s3("put_object", Bucket=bucket, Key=key, Body=content, **condition)
            return
        except Exception as error:
            said = s3_answers.told(error)
            if said is not None and said.status in {409, 412}:
                return
            # Not every store knows conditions.
            if not condition or said is None or said.status not in {400, 501}:
                raise


class Sending:
    """A stream into a new file, which is there, whole, when it is closed; called from one thread at a time.

    Args:
        s3: Where.
        address: Under which name.
    """

    def __init__(self, s3: "S3", address: str) -> None:
        self.loop = s3.loop
        self._s3 = s3
        self._address = address
        self._parts = _Parts(s3, address)
        self._waits = bytearray()

    @waiting
    async def _send(self, body: bytes) -> None:
        if not self._parts.begun:
            await self._parts.begin()
        await self._parts.add(body)

    def write(self, data: bytes) -> int:
        """Append; every now and then a part goes off."""
        self._waits += data
        while len(self._waits) >= PART_BYTES:
            part = bytes(memoryview(self._waits)[:PART_BYTES])
            self._send(part)
            del self._waits[:PART_BYTES]
        return len(data)

    @waiting
    async def close(self) -> None:
        """Make it a file. If that fails, nobody knows whether it is there."""
        if not self._parts.begun:
            bucket, key, _ = self._s3.split_path(self._address)
            await self._s3._call_s3("put_object", Bucket=bucket, Key=key, Body=bytes(self._waits))
            return
        if self._waits:
            await self._parts.add(bytes(self._waits))
            self._waits.clear()
        await self._parts.complete()

    @waiting
    async def discard(self) -> None:
        """Forget it."""
        self._waits.clear()
        await self._parts.abort()


async def _all(*awaited: Awaitable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of what is done at the same time; nothing goes on behind an error."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _ranges(start: int, size: int) -> list[tuple[int, int]]:
    """First and last bytes of parts to copy; none of them is too small."""
    found = []
    while start < size:
        end = size if size - start < 2 * _COPIED_PARTS else start + _COPIED_PARTS
        found.append((start, end - 1))
        start = end
    return found


def _see_who_ended_it(error: Exception) -> None:
    """A missing upload is no missing file: it can be sent again."""
    said = s3_answers.told(error)
    if said is not None and said.code == "NoSuchUpload":
        raise StorageAway("the parts of a file were deleted while it was being sent") from error


async def _read(s3: "S3", address: str, start: int, end: int) -> bytes:
    return bytes(await s3._cat_file(address, start=start, end=end)) if end > start else b""


def _source(s3: "S3", address: str) -> dict[str, str]:
    bucket, key, _ = s3.split_path(address)
    return {"Bucket": bucket, "Key": key}
