"""The address of the place where recordings are kept."""

from importlib.util import find_spec
from urllib.parse import urlsplit

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
