"""The address of the place where recordings are kept."""

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

S3_LARGEST = 10_000 * (8 << 20)
"""Bytes of a file on S3: so many parts of one size."""
INSTALL = "pip install -c requirements/constraints.txt -r requirements/s3.txt"


def storage_address(value: str | None) -> str | None:
    """A ``STORAGE_URL`` that can be used.

    Raises:
        ValueError: It is none; a sentence for the operator. Nothing of it is repeated, it may hold a secret.
    """
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise ValueError("write the whole path of the folder, file:///srv/longhand/jobs")
        return value
    if parts.scheme != "s3":
        raise ValueError("write file:///folder or s3://bucket/prefix")
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("write s3://bucket/prefix; keys and addresses of servers have settings of their own (AWS_…)")
    if find_spec("s3fs") is None:
        raise ValueError(f"s3:// takes a library that is not installed: {INSTALL}")
    return value


def largest(url: str, wanted: int) -> int:
    """Bytes that a file may have: as many as wanted, if they can be kept there."""
    return min(wanted, S3_LARGEST) if url.startswith("s3:") else wanted


def encryption(method: str | None, key: str | None) -> Mapping[str, str]:
    """What S3 is told with every file that it is to encrypt, by its own names; nothing: as the bucket has it."""
    named = {"ServerSideEncryption": method or ("aws:kms" if key else None), "SSEKMSKeyId": key}
    return {name: value for name, value in named.items() if value}
