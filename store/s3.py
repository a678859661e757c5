"""Object storage: bounds on waiting, memory and requests, where the library by itself would take plenty of each."""

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from s3fs import S3FileSystem
from s3fs.errors import translate_boto_error

from store import s3_answers, s3_fetching, s3_sending, s3_trying
from store.interrupted import waiting
from store.s3_sending import PART_BYTES, Piece, Sending

log = logging.getLogger(__name__)

READ_BYTES = 2 << 20
"""What is fetched beyond what was asked for, since whoever reads mostly reads on."""
_CONNECT_SECONDS = 3
_SILENCE_SECONDS = 8
_SECONDS = 20.0
_BYTES_PER_SECOND = 128 << 10
"""A slower line takes no parts."""
_LONG = frozenset({"complete_multipart_upload", "copy_object", "upload_part_copy"})
_LONG_SECONDS = 120.0
"""To make one file of thousands of parts takes a while, in which many servers say nothing."""
_CONNECTIONS = 50
_AT_ONCE = 8
_NO_BULK = frozenset({"MethodNotAllowed", "MissingContentMD5", "NotImplemented"})
"""What a store says that cannot delete many files at once, or not as today's libraries ask for it."""


class S3(S3FileSystem):  # type: ignore[misc]  # no types are published
    """The library's file system, with what it lacks."""

    retries = 1  # besides those of the connection itself: to sit out an outage is the callers', who know how long
    patient: S3FileSystem | None = None
    """Another connection, for requests whose answer may take long."""
    _one_by_one = False
    """Whether the store was found not to delete many files at once."""

    async def _call_s3(self, method: str, *given: Any, **named: Any) -> Any:
        sent = len(named.get("Body") or b"")
        seconds = _LONG_SECONDS if method in _LONG else _SECONDS + sent / _BYTES_PER_SECOND
        try:
            # Its own limits do not count while a request is being sent.
            async with asyncio.timeout(seconds) as limit:
                if method in _LONG and self.patient is not None:
                    return await self.patient._call_s3(method, *given, **named)
                return await super()._call_s3(method, *given, **named)
        except TimeoutError as error:
            if not limit.expired():
                raise
            # No TimeoutError: the library would try that again.
            raise OSError(errno.EHOSTDOWN, f"{method} took longer than {seconds:g} s") from error

    call_s3 = waiting(_call_s3)

    async def _pages(self, folder: str, **named: Any) -> AsyncIterator[dict[str, Any]]:
        bucket, key, _ = self.split_path(folder)
        named |= {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/" if key else ""}
        while True:
            page = await self._call_s3("list_objects_v2", **named)
            yield page
            if not page.get("IsTruncated"):
                return
            named["ContinuationToken"] = page["NextContinuationToken"]

    @waiting
    async def folder(self, folder: str) -> list[str]:
        """Names in a folder, also those of the folders in it; nobody looked there before, so nothing is out of date."""
        found: list[str] = []
        async for page in self._pages(folder, Delimiter="/"):
            found += [one["Key"] for one in page.get("Contents", [])]
            found += [one["Prefix"].rstrip("/") for one in page.get("CommonPrefixes", [])]
        return [key.rpartition("/")[2] for key in found]

    @waiting
    async def changes(self, folder: str) -> dict[str, datetime]:
        """When each file of a folder was last changed, by its name there."""
        start = len(self.split_path(folder)[1].rstrip("/"))
        return {
            one["Key"][start:].lstrip("/"): one["LastModified"]
            async for page in self._pages(folder)
            for one in page.get("Contents", [])
        }

    @waiting
    async def clear(self, folder: str) -> None:
        """Delete everything in a folder."""
        async for page in self._pages(folder):
            await self._delete([one["Key"] for one in page.get("Contents", [])], folder)

    @waiting
    async def discard(self, folder: str, names: list[str]) -> None:
        """Delete files of a folder; those that are not there are no error."""
        key = self.split_path(folder)[1]
        await self._delete([f"{key}/{name}" for name in names], folder)

    async def _delete(self, keys: list[str], folder: str) -> None:
        bucket = self.split_path(folder)[0]
        for first in range(0, len(keys), 1000):
            some = keys[first : first + 1000]
            if self._one_by_one or not await self._delete_many(bucket, some):
                for start in range(0, len(some), _AT_ONCE):
                    each = (self._call_s3("delete_object", Bucket=bucket, Key=key) for key in some[start:][:_AT_ONCE])
                    await asyncio.gather(*each)

    async def _delete_many(self, bucket: str, keys: list[str]) -> bool:
        """Whether the store does that."""
        named = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            out = await self._call_s3("delete_objects", Bucket=bucket, Delete=named)
        except OSError as error:
            said = s3_answers.told(error)
            if said is None or (said.code not in _NO_BULK and said.status != 501):
                raise
            log.warning("the storage does not delete files together (%s): each takes a request", said.code)
            self._one_by_one = True
            return False
        for refused in out.get("Errors", []):
            raise translate_boto_error(ClientError({"Error": refused}, "DeleteObjects"))
        return True

    async def _uploads(self, folder: str) -> list[dict[str, Any]]:
        bucket, key, _ = self.split_path(folder)
        found: list[dict[str, Any]] = []
        named: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
        while True:
            page = await self._call_s3("list_multipart_uploads", **named)
            found += page.get("Uploads", [])
            if not page.get("IsTruncated"):
                return found
            named |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    @waiting
    async def begun(self, folder: str) -> list[dict[str, Any]]:
        """Uploads in parts that nobody has finished; what they brought is paid for, and no list of files shows it."""
        return await self._uploads(folder)

    @waiting
    async def abandon(self, folder: str, upload: Mapping[str, Any]) -> None:
        """End one of those."""
        await self._abort_mpu(self.split_path(folder)[0], upload["Key"], upload["UploadId"])

    @waiting
    async def length(self, address: str) -> int:
        """Bytes of a file."""
        bucket, key, _ = self.split_path(address)
        return int((await self._call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"])

    @waiting
    async def content(self, address: str) -> bytes:
        """The whole of a small file."""
        return bytes(await self._cat_file(address))

    @waiting
    async def answers(self, root: str) -> None:
        """Raise unless the bucket is there and we may look."""
        await self._call_s3("head_bucket", Bucket=self.split_path(root)[0])

    @waiting
    async def try_out(self, folder: str, *, parts: bool = False) -> None:
        """Raise unless files can be written to a folder, read, listed and deleted, and if asked sent in parts."""
        await s3_trying.try_out(self, folder, parts=parts)

    @waiting
    async def send(self, path: str, address: str) -> None:
        """Put a local file there, whole or not at all."""
        await s3_sending.send(self, Path(path), address)

    @waiting
    async def copy_file(self, address: str, other: str) -> None:
        """Copy a file within the store, replacing what was there."""
        await s3_sending.copy(self, address, other)

    @waiting
    async def join(self, pieces: list[Piece], address: str) -> None:
        """Make one file of several, most of which the store copies by itself."""
        await s3_sending.join(self, pieces, address)

    @waiting
    async def put_once(self, address: str, content: bytes) -> None:
        """Write a small file where there is none; what is there by then, of whomever, stays."""
        await s3_sending.put_once(self, address, content)

    @waiting
    async def fetch(self, address: str, path: Path) -> str:
        """Copy a file to a path; the SHA-256 of what came."""
        return await s3_fetching.fetch(self, address, path)

    def writing(self, address: str) -> Sending:
        """A new file to write to, which is there when it is closed."""
        return Sending(self, address)


def connect(extra: Mapping[str, str] | None = None) -> S3:
    """A connection of this process alone; who and where is told by the environment, as Amazon's tools have it.

    Args:
        extra: Goes with every request that can have it: how files are encrypted.
    """
    made = S3(**_options(extra, _SILENCE_SECONDS))
    made.patient = S3FileSystem(**_options(extra, _LONG_SECONDS))
    made.patient.retries = 1
    return made


def _options(extra: Mapping[str, str] | None, silence_seconds: float) -> dict[str, Any]:
    # Amazon's tools in other languages, and its containers, know it under this name.
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {
        "skip_instance_cache": True,
        # What is listed once would count as all there is, whatever other processes have written since.
        "use_listings_cache": False,
        "default_block_size": PART_BYTES,
        # One stream, rather than many with their memory.
        "max_concurrency": 1,
        "s3_additional_kwargs": dict(extra or {}),
        "client_kwargs": {"region_name": region} if region else {},
        "config_kwargs": {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": silence_seconds,
            "max_pool_connections": _CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": 3},
        },
    }
