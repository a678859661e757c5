"""The headers of the protocol for resumable uploads (tus 1.0.0): read, checked, explained where they are wrong."""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Request

from pipelines.names import display_name
from store.models import ResumableUpload
from webapp.errors import Problem, bad_option

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]+")
_PAIR = r"[!-+\--~]+( ([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)?"
METADATA_PATTERN = rf"^$|^(?!(.*,)?([!-+\--~]+)( [^,]*)?,(.*,)?\2( |,|$)){_PAIR}(,{_PAIR})*$"
"""Of pairs with commas between them, no key twice."""


class Sum(Protocol):
    """A checksum that is being made."""

    def update(self, data: bytes, /) -> object:
        """Add."""

    def digest(self) -> bytes:
        """The sum."""


class _Crc32:
    """CRC-32 as four bytes, the highest first."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_ALGORITHMS: dict[str, Callable[[], Any]] = {
    # Against accidents, not against attackers: whoever could change the body could change the header as well.
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": _Crc32,
}
ALGORITHMS = tuple(_ALGORITHMS)
"""Names of the checksums that can be checked."""


@dataclass(frozen=True)
class Checksum:
    """What the body of a request must add up to."""

    algorithm: str
    expected: bytes

    def start(self) -> Sum:
        """A sum of nothing yet."""
        found: Sum = _ALGORITHMS[self.algorithm]()
        return found


def check_version(request: Request) -> None:
    """Refuse what is not this version of the protocol.

    Raises:
        Problem: 400 no version is named; 412 another one is.
    """
    named = request.headers.get("Tus-Resumable", "").strip()
    if named != VERSION:
        detail = f"Send the header 'Tus-Resumable: {VERSION}'; no other version of the protocol is spoken here."
        status = 412 if _VERSION.fullmatch(named) else 400
        raise Problem(status, detail, code="invalid_option", headers={"Tus-Version": VERSION})


def check_extensions(request: Request) -> None:
    """Refuse what a client would wrongly believe to be understood.

    Raises:
        Problem: 400 the upload is to be put together of others, or is such a part.
    """
    if "Upload-Concat" in request.headers:
        raise bad_option("Upload-Concat is not offered here; send the recording as one upload, without that header.")


def number(request: Request, name: str) -> int | None:
    """A header that counts bytes.

    Raises:
        Problem: 400 it is no such number.
    """
    text = request.headers.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise bad_option(f"{name} must be a whole number of bytes, 0 or more.")
    return int(text)


def length(request: Request, *, max_bytes: int) -> int | None:
    """``Upload-Length`` of a new upload, or None where it is deferred.

    Raises:
        Problem: 400 neither or both came; 413 too long.
    """
    found, deferred = number(request, "Upload-Length"), request.headers.get("Upload-Defer-Length")
    if (found is None) == (deferred is None) or deferred not in {None, "1"}:
        raise bad_option("Send either Upload-Length with the bytes of the recording, or 'Upload-Defer-Length: 1'.")
    check_length(found, max_bytes=max_bytes)
    return found


def check_length(found: int | None, *, max_bytes: int) -> None:
    """Refuse uploads that are longer than allowed.

    Raises:
        Problem: 413.
    """
    if found is not None and found > max_bytes:
        raise Problem(413, f"An upload may have at most {max_bytes >> 20} MB here; send a smaller recording.")


def metadata(request: Request) -> tuple[str, str]:
    """``Upload-Metadata`` as it came, and the name to show that is in it.

    Raises:
        Problem: 400.
    """
    text = request.headers.get("Upload-Metadata", "").strip()
    values: dict[str, bytes] = {}
    for pair in text.split(",") if text else ():
        key, _, encoded = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise bad_option("Upload-Metadata must be pairs 'key base64' with commas between them, each key once.")
        try:
            values[key] = base64.b64decode(encoded.strip(), validate=True)
        except ValueError as error:
            raise bad_option(f"In Upload-Metadata the value of {key[:60]!r} must be in base64.") from error
    texts = {}
    for key in ("filename", "name", "filetype"):
        try:
            texts[key] = values.get(key, b"").decode()
        except UnicodeDecodeError as error:
            raise bad_option(f"In Upload-Metadata the value of {key!r} must be UTF-8, in base64.") from error
    return text, display_name(texts["filename"] or texts["name"])


def checksum(request: Request) -> Checksum | None:
    """``Upload-Checksum``, if there is one.

    Raises:
        Problem: 400.
    """
    text = request.headers.get("Upload-Checksum")
    if text is None:
        return None
    name, _, encoded = text.strip().partition(" ")
    if name not in _ALGORITHMS:
        raise bad_option(f"Upload-Checksum must begin with one of {', '.join(ALGORITHMS)}.")
    try:
        expected = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_option("Upload-Checksum must be the algorithm, a space and the checksum in base64.") from error
    if len(expected) != len(_ALGORITHMS[name]().digest()):
        raise bad_option(f"Upload-Checksum is no {name}: it has {len(expected)} bytes.")
    return Checksum(name, expected)


def check_type(request: Request) -> None:
    """Refuse bodies of another kind.

    Raises:
        Problem: 415.
    """
    if request.mimetype != MEDIA_TYPE:
        raise Problem(415, f"Send the bytes with 'Content-Type: {MEDIA_TYPE}'.")


def check_offset(upload: ResumableUpload, offset: int) -> None:
    """Refuse bytes that do not begin where the upload ends.

    Raises:
        Problem: 409.
    """
    if offset != upload.offset:
        detail = f"The upload is at {upload.offset} bytes, not at {offset}; go on from there."
        raise Problem(409, detail, headers={"Upload-Offset": str(upload.offset)})


def is_news(upload: ResumableUpload, length: int | None) -> bool:
    """Whether an ``Upload-Length`` that came with bytes tells anything new.

    Raises:
        Problem: 400 it cannot be.
    """
    if length is None or length == upload.length:
        return False
    if upload.length is not None:
        raise bad_option(f"The Upload-Length of this upload is {upload.length} and cannot be changed.")
    if length < upload.offset:
        raise bad_option(f"The upload is at {upload.offset} bytes already, so its Upload-Length cannot be less.")
    return True
