"""Object storage: bounds on waiting, memory and requests, where the library by itself would take plenty of each."""

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem
from s3fs.errors import translate_boto_error

PART_BYTES = 8 << 20
"""Files are sent in parts of this size, 10,000 at most; each file that arrives has some three of them in memory."""
READ_BYTES = 2 << 20
"""What is fetched beyond what was asked for, since whoever reads mostly reads on."""
_SENDING = 4
"""Parts of a finished file that are sent at the same time."""
_CONNECT_SECONDS = 3
_SILENCE_SECONDS = 8
_SECONDS = 20.0
_BYTES_PER_SECOND = 128 << 10
"""A slower line takes no parts."""
_LONG = frozenset({"complete_multipart_upload", "copy_object"})
_LONG_SECONDS = 120.0
"""To make one file of thousands of parts takes a while."""
_CONNECTIONS = 50


class S3(S3FileSystem):  # type: ignore[misc]  # no types are published
    """The library's file system, with what it lacks."""

    retries = 1  # besides those of the connection itself: to sit out an outage is the callers', who know how long

    async def _call_s3(self, method: str, *given: Any, **named: Any) -> Any:
        sent = len(named.get("Body") or b"")
        seconds = _LONG_SECONDS if method in _LONG else _SECONDS + sent / _BYTES_PER_SECOND
        try:
            # Its own limits do not count while a request is being sent.
            async with asyncio.timeout(seconds) as limit:
                return await super()._call_s3(method, *given, **named)
        except TimeoutError as error:
            if not limit.expired():
                raise
            # No TimeoutError: the library would try that again.
            raise OSError(errno.EHOSTDOWN, f"{method} took longer than {seconds:g} s") from error

    call_s3 = sync_wrapper(_call_s3)

    async def _pages(self, folder: str, **named: Any) -> AsyncIterator[dict[str, Any]]:
        bucket, key, _ = self.split_path(folder)
        named |= {"Bucket": bucket, "Prefix": f"{key.rstrip('/')}/" if key else ""}
        while True:
            page = await self._call_s3("list_objects_v2", **named)
            yield page
            if not page.get("IsTruncated"):
                return
            named["ContinuationToken"] = page["NextContinuationToken"]

    async def _folder(self, folder: str) -> list[str]:
        found: list[str] = []
        async for page in self._pages(folder, Delimiter="/"):
            found += [one["Key"] for one in page.get("Contents", [])]
            found += [one["Prefix"].rstrip("/") for one in page.get("CommonPrefixes", [])]
        return [key.rpartition("/")[2] for key in found]

    folder = sync_wrapper(_folder)
    """Names in a folder, also those of the folders in it; nobody looked there before, so nothing is out of date."""

    async def _changed(self, folder: str) -> datetime | None:
        changes = [o["LastModified"] async for page in self._pages(folder) for o in page.get("Contents", [])]
        return max(changes, default=None)

    changed = sync_wrapper(_changed)
    """When something in a folder was last changed; None: there is nothing."""

    async def _clear(self, folder: str) -> None:
        async for page in self._pages(folder):
            await self._delete([one["Key"] for one in page.get("Contents", [])], folder)

    clear = sync_wrapper(_clear)
    """Delete everything in a folder."""

    async def _discard(self, folder: str, names: list[str]) -> None:
        key = self.split_path(folder)[1]
        await self._delete([f"{key}/{name}" for name in names], folder)

    discard = sync_wrapper(_discard)
    """Delete files of a folder; those that are not there are no error."""

    async def _delete(self, keys: list[str], folder: str) -> None:
        bucket = self.split_path(folder)[0]
        for first in range(0, len(keys), 1000):
            some = [{"Key": key} for key in keys[first : first + 1000]]
            out = await self._call_s3("delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True})
            for refused in out.get("Errors", []):
                raise translate_boto_error(ClientError({"Error": refused}, "DeleteObjects"))

    async def _abandon(self, folder: str, before: datetime) -> int:
        bucket, key, _ = self.split_path(folder)
        left: list[dict[str, Any]] = []
        named: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
        while True:
            page = await self._call_s3("list_multipart_uploads", **named)
            left += [one for one in page.get("Uploads", []) if one["Initiated"] < before]
            if not page.get("IsTruncated"):
                break
            named |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
        for one in left:
            await self._abort_mpu(bucket, one["Key"], one["UploadId"])
        return len(left)

    abandon = sync_wrapper(_abandon)
    """End uploads in parts that began before a time; what they brought is paid for, and no list of files shows it."""

    async def _length(self, address: str) -> int:
        bucket, key, _ = self.split_path(address)
        return int((await self._call_s3("head_object", Bucket=bucket, Key=key))["ContentLength"])

    length = sync_wrapper(_length)
    """Bytes of a file."""

    async def _answers(self, root: str) -> None:
        await self._call_s3("head_bucket", Bucket=self.split_path(root)[0])

    answers = sync_wrapper(_answers)
    """Raise unless the bucket is there and we may look."""

    async def _try_out(self, folder: str) -> None:
        bucket, key, _ = self.split_path(folder)
        here = {"Bucket": bucket, "Key": f"{key}/{secrets.token_hex(8)}"}
        await self._call_s3("put_object", Body=here["Key"].encode(), **here)
        try:
            found = await self._call_s3("get_object", **here)
            async with found["Body"] as body:
                if await body.read() != here["Key"].encode():
                    raise OSError(errno.EIO, "what was written was not read back")
        finally:
            await self._call_s3("delete_object", **here)

    try_out = sync_wrapper(_try_out)
    """Raise unless files can be written to a folder, read back and deleted."""

    def send(self, path: str, address: str) -> None:
        """Put a local file there, whole or not at all."""
        self.put_file(path, address, chunksize=PART_BYTES, max_concurrency=_SENDING)


def connect() -> S3:
    """A connection of this process alone; who and where is told by the environment, as Amazon's tools have it."""
    # Amazon's tools in other languages, and its containers, know it under this name.
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3(
        skip_instance_cache=True,
        # What is listed once would count as all there is, whatever other processes have written since.
        use_listings_cache=False,
        default_block_size=PART_BYTES,
        # Some stores take no others.
        fixed_upload_size=True,
        # One stream, rather than many with their memory.
        max_concurrency=1,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs={
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _SILENCE_SECONDS,
            "max_pool_connections": _CONNECTIONS,
            "retries": {"mode": "standard", "total_max_attempts": 3},
        },
    )
