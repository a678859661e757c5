"""All that is done with object storage, tried with one small file: one right says nothing of the others."""

import contextlib
import errno
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.s3 import S3


async def try_out(s3: "S3", folder: str, *, parts: bool) -> None:
    """Raise unless files can be written to a folder, read back, listed and deleted.

    Args:
        s3: Where.
        folder: Of files that nobody else has; what is left of it by a process that is killed is swept up.
        parts: Also begin to send a file in parts, look for it, and end it.
    """
    bucket, key, _ = s3.split_path(folder)
    name = secrets.token_hex(8)
    here = {"Bucket": bucket, "Key": f"{key}/{name}"}
    await s3._call_s3("put_object", Body=name.encode(), **here)
    try:
        found = await s3._call_s3("get_object", **here)
        async with found["Body"] as body:
            if await body.read() != name.encode():
                raise OSError(errno.EIO, "what was written was not read back")
        page = await s3._call_s3("list_objects_v2", Bucket=bucket, Prefix=here["Key"], MaxKeys=1)
        if not page.get("Contents"):
            raise OSError(errno.EIO, "what was written was not listed")
    except BaseException:
        with contextlib.suppress(Exception):
            await s3._delete([here["Key"]], folder)
        raise
    await s3._delete([here["Key"]], folder)
    if parts:
        begun = await s3._call_s3("create_multipart_upload", **here)
        try:
            await s3._uploads(here["Bucket"] + "/" + here["Key"])
        finally:
            await s3._call_s3("abort_multipart_upload", UploadId=begun["UploadId"], **here)
