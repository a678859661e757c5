"""Recordings on their way to the server: told as they go, and large ones in a way that survives broken connections."""

import base64
import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx

from cli.errors import ApiError

Told = Callable[[int, int], None]
"""Is told how many bytes of how many are on their way."""
RESUMABLE_BYTES = 64 << 20
"""Larger recordings are sent in a resumable upload: it costs three requests more, and a broken connection nothing."""
CONNECT_SECONDS = 10.0
PIECE_SECONDS = 60.0
"""How long one piece of an upload may take."""
UPLOAD_SECONDS = 600.0
"""How long the server may take to answer once it has all of it."""
OUTAGE_SECONDS = 60.0
"""How long it is tried to go on while no byte arrives."""
LONGEST_PAUSE_SECONDS = 60.0
"""A server that asks for more is asked again all the same."""
_PAUSE_SECONDS = 1.0
_ABANDON_SECONDS = 3.0
_LEAST_PAUSE_SECONDS = 0.05
_PIECE = 1 << 18
_VERSION = {"Tus-Resumable": "1.0.0"}
_PATH = "/v1/uploads"


class Uploads:
    """Resumable uploads to one server (tus 1.0.0).

    Args:
        ask: Makes a request: method, path, and what ``httpx`` takes; raises ApiError unless it succeeds.
    """

    def __init__(self, ask: Callable[..., httpx.Response]) -> None:
        self._ask = ask

    def bring(self, path: Path, told: Told | None) -> str:
        """Upload a file, going on where a broken connection ended; the upload's id.

        Raises:
            ApiError: The server refused it, or stayed away for ``OUTAGE_SECONDS``.
            OSError: The file cannot be read, or becomes shorter.
        """
        size = path.stat().st_size
        upload_id = self._begin(path.name, size)
        try:
            self._bring(path, upload_id, size, told)
        except BaseException:
            self.abandon(upload_id)
            raise
        return upload_id

    def abandon(self, upload_id: str) -> None:
        """Give an upload up. Best effort: the server forgets it by itself after a while."""
        patience = Patience(_ABANDON_SECONDS)
        with contextlib.suppress(ApiError):
            while True:
                try:
                    self._ask("DELETE", _address(upload_id), headers=_VERSION, timeout=CONNECT_SECONDS)
                    return
                except ApiError as error:
                    if error.status != 423:  # the request that was broken off has not ended yet
                        raise
                    patience.wait(error)

    def _begin(self, name: str, size: int) -> str:
        metadata = f"filename {base64.b64encode(name.encode(errors='replace')).decode()}"
        headers = {**_VERSION, "Upload-Length": str(size), "Upload-Metadata": metadata}
        patience = Patience(OUTAGE_SECONDS)
        while True:
            try:
                answer = self._ask("POST", _PATH, headers=headers)
            except ApiError as error:
                if error.retry_after is None:  # nobody there: that is told at once
                    raise
                patience.wait(error)
                continue
            # Behind a proxy the address may be another than the one we ask.
            return str(answer.headers.get("Location", "")).rstrip("/").rpartition("/")[2]

    def _bring(self, path: Path, upload_id: str, size: int, told: Told | None) -> None:
        offset, patience = 0, Patience(OUTAGE_SECONDS)
        while True:
            try:
                self._send(path, upload_id, offset, size, told)
                return
            except ApiError as error:
                if not (error.passing or error.status in {408, 409, 423} or (error.status or 0) >= 500):
                    raise
                patience.wait(error)
            reached, finished = self._state(upload_id, offset)
            if finished:
                return
            if reached > offset:
                # Once everything is there, what is left to do takes time and is not seen from here.
                patience = Patience(UPLOAD_SECONDS if reached == size else OUTAGE_SECONDS)
            offset = reached

    def _send(self, path: Path, upload_id: str, offset: int, size: int, told: Told | None) -> None:
        """Send everything from an offset on."""
        headers = {
            **_VERSION,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Content-Length": str(size - offset),
        }
        timeout = httpx.Timeout(PIECE_SECONDS, connect=CONNECT_SECONDS, read=UPLOAD_SECONDS)
        with path.open("rb") as file:
            content = _pieces(file, offset, size, told)
            self._ask("PATCH", _address(upload_id), headers=headers, content=content, timeout=timeout)

    def _state(self, upload_id: str, offset: int) -> tuple[int, bool]:
        """How much the server has, and whether the upload is finished; while it is away, what was known before."""
        try:
            found = self._ask("GET", _address(upload_id)).json()
            return int(found["offset"]), bool(found["finished"])
        except ApiError as error:
            if not error.passing and (error.status or 0) < 500:
                raise
        except (ValueError, KeyError, TypeError):  # something on the way answered instead
            pass
        return offset, False


class Patience:
    """Waits between tries, for so long in all.

    Args:
        seconds: After these the error is raised instead.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def wait(self, error: ApiError) -> None:
        """Wait until it may be tried again."""
        if time.monotonic() > self._end:
            raise error
        asked = _PAUSE_SECONDS if error.retry_after is None else error.retry_after
        time.sleep(min(max(asked, _LEAST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))


def _address(upload_id: str) -> str:
    return f"{_PATH}/{quote(upload_id, safe='')}"


def _pieces(file: BinaryIO, offset: int, size: int, told: Told | None) -> Iterator[bytes]:
    file.seek(offset)
    while offset < size:
        if told is not None:
            told(offset, size)
        piece = file.read(min(_PIECE, size - offset))
        if not piece:
            raise OSError(None, "It became shorter while it was sent", file.name)
        offset += len(piece)
        yield piece
    if told is not None:
        told(size, size)


class Watched(io.RawIOBase):
    """A file that tells how much of it was read.

    Args:
        file: Opened for reading bytes.
        told: Told bytes read and bytes in all.
    """

    def __init__(self, file: BinaryIO, told: Told | None) -> None:
        self._file = file
        self._told = told
        self._total = file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read, and tell."""
        data = self._file.read(size)
        if self._told is not None:
            self._told(self._file.tell(), self._total)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()

    def fileno(self) -> int:
        """The file's descriptor, by which the HTTP library learns its size."""
        return self._file.fileno()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be moved in."""
        return True
