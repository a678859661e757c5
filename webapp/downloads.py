"""Files of jobs as answers: ranges, names, streams that keep memory flat."""

import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import parse_range_header
from werkzeug.wrappers import Response as AnyResponse

from store.files import Storage
from webapp.errors import Problem

_BLOCK = 1 << 18


def serve_file(storage: Storage, job_id: str, name: str, *, media_type: str, etag: str) -> Response:
    """A stored file, whole or the range that was asked for.

    Several ranges at once are answered with the whole file, as the standard allows.

    Raises:
        FileNotFoundError: There is no such file.
        Problem: 416, no byte of the range exists.
    """
    size = storage.size(job_id, name)
    if request.if_none_match.contains(etag):
        return _stamped(Response(status=304), etag)
    part = _range(size, etag)
    start, end = part or (0, size)
    stream = storage.open(job_id, name)
    answer = Response(_blocks(stream, start, end), 206 if part else 200, direct_passthrough=True)
    answer.call_on_close(stream.close)
    answer.headers["Content-Type"] = media_type
    answer.headers["Content-Length"] = str(end - start)
    answer.headers["Accept-Ranges"] = "bytes"
    if part:
        answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return _stamped(answer, etag)


def attach(answer: AnyResponse, source_name: str, *, extension: str | None = None, download: bool) -> None:
    """Name an answer after the recording, with another extension if one is given."""
    name = source_name
    if extension is not None:
        name = f"{PurePosixPath(source_name).stem or 'transcript'}.{extension}"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = "".join("_" if c in '"\\/%;' or not c.isprintable() else c for c in plain).strip()
    if not plain.rpartition(".")[0]:
        plain = f"recording.{extension}" if extension else "recording"
    kind = "attachment" if download else "inline"
    answer.headers["Content-Disposition"] = f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _stamped(answer: Response, etag: str) -> Response:
    answer.set_etag(etag)
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _range(size: int, etag: str) -> tuple[int, int] | None:
    """First byte and the one after the last; None: the whole file is wanted."""
    wanted = parse_range_header(request.headers.get("Range"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    condition = request.if_range
    if "If-Range" in request.headers and condition.etag != etag:
        return None
    first, last = wanted.ranges[0]
    start = max(size + first, 0) if first < 0 else first
    end = size if last is None else min(last, size)
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, f"The range lies outside the recording, which has {size} bytes.", headers=headers)
    return start, end


def _blocks(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    stream.seek(start)
    left = end - start
    while left > 0 and (block := stream.read(min(_BLOCK, left))):
        left -= len(block)
        yield block
