"""A recording that arrives in blocks: counted, hashed, bounded, and turned away when it is something else."""

import hashlib
import re
from typing import BinaryIO

from pipelines.errors import InputError, UnsupportedMedia

_HEAD_BYTES = 1024
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)


class Arriving:
    """What has come so far.

    Args:
        file: Open for writing; holds what came.
        max_bytes: More is refused.
    """

    def __init__(self, file: BinaryIO, *, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self.size = 0
        self.total: int | None = None
        """Bytes that it should become, if somebody said."""
        self._hash = hashlib.sha256()
        self._head = b""
        self._said_page = False

    @property
    def sha256(self) -> str:
        """Hash of what came, in hexadecimal."""
        return self._hash.hexdigest()

    def begin(self, *, total: int | None = None, content_type: str = "") -> None:
        """Forget what came, and expect something from its beginning.

        Raises:
            InputError: ``too_large`` already by what is said of it.
        """
        self._file.seek(0)
        self._file.truncate()
        self.size, self.total, self._hash, self._head = 0, total, hashlib.sha256(), b""
        self._said_page = content_type.partition(";")[0].strip().casefold() in {"text/html", "application/xhtml+xml"}
        if total is not None and total > self._max_bytes:
            raise self._too_large()

    def write(self, block: bytes) -> None:
        """Append.

        Raises:
            InputError: ``too_large``, or it is a web page.
        """
        if self.size + len(block) > self._max_bytes:
            raise self._too_large()
        if len(self._head) < _HEAD_BYTES:
            self._head += block[: _HEAD_BYTES - len(self._head)]
            if len(self._head) == _HEAD_BYTES:
                self._refuse_page()
        self._file.write(block)
        self._hash.update(block)
        self.size += len(block)

    def finish(self) -> None:
        """Say that it is whole.

        Raises:
            UnsupportedMedia: It is empty, or a web page.
        """
        if not self.size:
            raise UnsupportedMedia("There is nothing at the address: the server sent an empty file.")
        self._refuse_page()
        self._file.flush()

    def _refuse_page(self) -> None:
        if _WEB_PAGE.match(self._head) or (self._said_page and self._head.lstrip().startswith(b"<")):
            raise UnsupportedMedia(
                "There is a web page at the address, not a recording; use the address of the file itself, "
                "which needs no login and no click."
            )

    def _too_large(self) -> InputError:
        megabytes = self._max_bytes / (1 << 20)
        detail = f"The recording at the address is larger than the {megabytes:.4g} MB that are allowed here."
        return InputError(detail, code="too_large")
