"""``multipart/form-data`` taken apart as it arrives (RFC 7578): pure over blocks of bytes, memory flat.

Werkzeug's decoder adds a CR to a part's data if a block happens to end one byte after a boundary; a recording must not
depend on how the network cuts it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from werkzeug.http import parse_options_header

MAX_HEAD_BYTES = 16 * 1024
MAX_PARTS = 1000
_MAX_PADDING = 64
_LINE_END = re.compile(rb"[ \t]*\r\n")
_LINE_END_BEGUN = re.compile(rb"-?|[ \t]*\r?")


class BrokenForm(ValueError):
    """The body ended early or is no form; the message says which."""


@dataclass(frozen=True)
class Head:
    """The beginning of a part."""

    name: str
    filename: str | None
    """None for a field that is no file."""
    kind: str = ""
    """Its Content-Type without parameters, in small letters; empty if it has none."""


class FormParts:
    """The parts of a form: iterate to get a Head, then its data in pieces, then None, for each part.

    Args:
        blocks: The body, cut anywhere.
        boundary: From the content type.

    Raises:
        BrokenForm: While iterating.
    """

    def __init__(self, blocks: Iterable[bytes], boundary: bytes) -> None:
        self._blocks = iter(blocks)
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first boundary is found as the others are
        self._closed = False

    def __iter__(self) -> Iterator[Head | bytes | None]:
        for _ in self._until_delimiter():
            pass  # what stands before the first part means nothing
        while not self._closed:
            yield self._head()
            # The end of the head is still there: an empty part may share it with the next delimiter.
            skip = 2
            for data in self._until_delimiter():
                if piece := data[skip:]:
                    yield piece
                skip = max(0, skip - len(data))
            yield None
        for _ in self._blocks:
            pass  # nor does what stands after the last

    def _until_delimiter(self) -> Iterator[bytes]:
        """What stands before the next delimiter line, which is consumed."""
        while True:
            found = self._buffer.find(self._delimiter)
            if found < 0:
                yield from self._take(len(self._buffer) - len(self._delimiter) + 1)
                self._more()
                continue
            yield from self._take(found)
            if self._consume_delimiter():
                return
            yield from self._take(2)  # only looked like one

    def _take(self, count: int) -> Iterator[bytes]:
        if count > 0:
            with memoryview(self._buffer) as view:
                data = bytes(view[:count])
            del self._buffer[:count]
            yield data

    def _consume_delimiter(self) -> bool:
        """Whether the line at the beginning of the buffer really is a delimiter."""
        start = len(self._delimiter)
        while True:
            rest = bytes(self._buffer[start : start + _MAX_PADDING])
            if rest.startswith(b"--"):
                self._closed = True
                del self._buffer[: start + 2]
                return True
            if end := _LINE_END.match(rest):
                del self._buffer[: start + end.end()]
                return True
            if len(rest) == _MAX_PADDING or not _LINE_END_BEGUN.fullmatch(rest):
                return False
            self._more()

    def _head(self) -> Head:
        while (end := self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)) < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise BrokenForm("a part's headers are too long")
            self._more()
        text = _decoded(bytes(self._buffer[:end]))
        del self._buffer[: end + 2]
        headers: dict[str, str] = {}
        for line in re.sub(r"\r\n[ \t]+", " ", text).split("\r\n"):
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().casefold(), value.strip())
        _, options = parse_options_header(headers.get("content-disposition", ""))
        if "name" in options:
            kind = headers.get("content-type", "").partition(";")[0].strip().casefold()
            return Head(options["name"], options.get("filename"), kind)
        raise BrokenForm("a part has no name")

    def _more(self) -> None:
        block = next(self._blocks, b"")
        if not block:
            raise BrokenForm("the form broke off")
        self._buffer += block


def _decoded(head: bytes) -> str:
    """Browsers and curl send UTF-8; what is not must be one of the old 8-bit encodings, and is only shown."""
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("latin-1")
