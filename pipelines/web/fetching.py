"""Recordings fetched from addresses of the web: streamed, bounded, resumed where they break off.

open ─▶ follow redirects ─▶ write what comes, count it, hash it ─▶ Fetched
  ▲                                   │ broke off, fell silent, 429, 5xx
  └────── wait a little, ask for the rest (Range with If-Range), or for all again
"""

import re
import ssl
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipelines.documents import Document
from pipelines.errors import InputError, UnsupportedMedia
from pipelines.names import name_in_address, name_in_header
from pipelines.web.addresses import HostNotFound, Lookup, check, client, look_up
from pipelines.web.arriving import Arriving
from pipelines.web.causes import cause

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""A server that sends nothing for this long has gone."""
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries that brought nothing new; one try more than there are pauses."""
_MAX_PAUSE = 30.0
_SLICE_SECONDS = 0.25
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,19})-\d{1,19}/(\d{1,19}|\*)")


class Fetched(Document):
    """``fetched.json``: what came from the address."""

    name: str
    bytes: int
    sha256: str


class FetchFailed(InputError):
    """The address gives no recording; it, or its server, must change first."""

    code = "invalid_option"


class RemoteTrouble(InputError):
    """The address may be right, but its server does not do its part; another time it may."""

    code = "fetch_failed"


class Bounds(Protocol):
    """The part of the operator's limits that matters here (``pipelines.stage.Limits``)."""

    @property
    def max_source_bytes(self) -> int:
        """Of a recording."""

    @property
    def fetch_seconds(self) -> float:
        """Wall-clock time for all of it."""

    @property
    def allow_private_urls(self) -> bool:
        """Whether servers that are not public may be asked."""


def fetch(
    url: str,
    target: Path,
    *,
    limits: Bounds,
    progress: Callable[[float, float], None],
    lookup: Lookup = look_up,
    pauses: Sequence[float] = PAUSES,
    silence_seconds: float = SILENCE_SECONDS,
) -> Fetched:
    """Fetch a recording into a file.

    Args:
        url: Where it is. It may hold a secret, and appears in no error.
        target: The file to write; half written if this fails.
        limits: Bounds of size and time.
        progress: Told bytes of bytes, at least every second, also while the server is silent.
        lookup: The resolver.
        pauses: Seconds between tries.
        silence_seconds: How long a server may be silent.

    Raises:
        pipelines.errors.InputError: ``too_large``, ``timeout``, ``unsupported_media`` (a web page, nothing at all),
            ``invalid_option`` (there is nothing, or nothing for us) or ``fetch_failed`` (its server's trouble).
        pipelines.web.addresses.AddressRefused: It leads to where nobody may be led.
        pipelines.errors.Cancelled: From ``progress``.
        OSError: The file cannot be written.
    """
    import httpx

    timeout = httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS)
    allow = limits.allow_private_urls
    with target.open("wb") as file:
        download = _Download(check(url, allow_private=allow).url, file, limits, progress)
        with client(allow_private=allow, timeout=timeout, lookup=lookup, pulse=download.pulse) as http:
            return download.run(http, pauses)


class _Passing(Exception):
    """What may be better in a moment.

    Args:
        failure: What to say if it is not.
        pause: Seconds that the server asks for.
    """

    def __init__(self, failure: InputError, pause: float = 0.0) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.pause = pause


class _Download:
    def __init__(self, url: str, file: BinaryIO, limits: Bounds, progress: Callable[[float, float], None]) -> None:
        self._url = url
        self._got = Arriving(file, max_bytes=limits.max_source_bytes)
        self._limits = limits
        self._progress = progress
        self._end = time.monotonic() + limits.fetch_seconds
        self._name = name_in_address(url)
        self._host = check(url, allow_private=True).host
        self._validator = ""
        """What tells that the rest belongs to what is here: a strong ETag or a date."""
        self._resumed = False

    def run(self, http: "httpx.Client", pauses: Sequence[float]) -> Fetched:
        """Try until it is whole."""
        tries = 0
        while True:
            before, self._resumed = self._got.size, False
            try:
                self._once(http)
                return Fetched(name=self._name, bytes=self._got.size, sha256=self._got.sha256)
            except _Passing as passing:
                # Starting over again and again is no progress, however much came each time.
                tries = 0 if self._resumed and self._got.size > before else tries + 1
                if tries > len(pauses):
                    raise passing.failure from passing
                pause = pauses[max(tries, 1) - 1] if pauses else 0.0
                self._wait(max(pause, min(passing.pause, _MAX_PAUSE)))

    def pulse(self) -> None:
        """Say how far it is.

        Raises:
            pipelines.errors.Cancelled: Nobody wants it any more.
            InputError: ``timeout``.
        """
        if self._got.total:
            self._progress(self._got.size, self._got.total)
        else:
            self._progress(0, 1)
        if time.monotonic() > self._end:
            minutes = self._limits.fetch_seconds / 60
            raise InputError(
                f"The recording could not be fetched within {minutes:.3g} minutes; send a smaller one, or upload it.",
                code="timeout",
            )

    def _once(self, http: "httpx.Client") -> None:
        """One connection's worth.

        Raises:
            _Passing: Try again.
        """
        import httpx

        try:
            answer = self._open(http)
            try:
                if self._begin(answer):
                    for block in answer.iter_raw():
                        self._got.write(block)
                        self.pulse()
            finally:
                answer.close()
            self._got.finish()
        except HostNotFound as error:
            raise _Passing(RemoteTrouble(error.detail)) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if cause(error, ssl.SSLCertVerificationError) is not None:
                detail = f"The certificate of {self._host} is not valid, so nothing is fetched from there."
                raise RemoteTrouble(detail) from error
            detail = f"The server {self._host} cannot be reached; check the address, or try again later."
            raise _Passing(RemoteTrouble(detail)) from error
        except httpx.TimeoutException as error:
            detail = f"The server {self._host} fell silent; try again later, or upload the recording."
            raise _Passing(InputError(detail, code="timeout")) from error
        except httpx.TransportError as error:
            detail = f"The connection to {self._host} broke off again and again; try again later."
            raise _Passing(RemoteTrouble(detail)) from error

    def _open(self, http: "httpx.Client") -> "httpx.Response":
        """The answer at the end of all redirects."""
        headers = {"Accept": "audio/*, video/*, */*;q=0.5", "Accept-Encoding": "identity", "User-Agent": "Longhand"}
        if self._got.size and self._validator:
            headers |= {"Range": f"bytes={self._got.size}-", "If-Range": self._validator}
        request = http.build_request("GET", self._url, headers=headers)
        for _ in range(MAX_REDIRECTS + 1):
            answer = http.send(request, stream=True)
            if answer.next_request is None:
                return answer
            answer.close()
            following = answer.next_request
            if (request.url.scheme, following.url.scheme) == ("https", "http"):
                detail = (
                    "The address leads from https to http, where anybody may read along; use the last address itself."
                )
                raise FetchFailed(detail)
            request = following
        raise FetchFailed(f"The address leads on more than {MAX_REDIRECTS} times; use the last address itself.")

    def _begin(self, answer: "httpx.Response") -> bool:
        """Get ready for the body of an answer; whether there is one to read."""
        status, headers = answer.status_code, answer.headers
        if status == 416 and self._got.size and headers.get("Content-Range", "").strip() == f"bytes */{self._got.size}":
            return False  # there was no more
        resumes = status == 206 and self._fits(headers.get("Content-Range", ""))
        if status == 416 or (status == 206 and not resumes):
            self._got.begin()
            raise _Passing(RemoteTrouble(f"The server {self._host} does not give the whole recording; upload it."))
        self._check_status(status, headers.get("Retry-After", ""))
        if headers.get("Content-Encoding", "identity").strip().casefold() not in {"", "identity"}:
            raise FetchFailed(f"The server {self._host} sends the recording packed; use an address that does not.")
        self._resumed = resumes
        if not resumes:
            self._learn(answer)
        return True

    def _fits(self, content_range: str) -> bool:
        """Whether a part begins where we stand."""
        found = _CONTENT_RANGE.fullmatch(content_range.strip())
        if found is None or not self._validator or int(found[1]) != self._got.size:
            return False
        return self._got.total is None or found[2] == "*" or int(found[2]) == self._got.total

    def _check_status(self, status: int, retry_after: str) -> None:
        if status in {200, 203, 206}:
            return
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "unknown"
        said = f"{self._host} answered {status} {phrase}"
        if status in _PASSING:
            pause = float(retry_after) if re.fullmatch(r"[0-9]{1,5}", retry_after) else 0.0
            raise _Passing(RemoteTrouble(f"The server {said} again and again; try again later."), pause)
        if status in {204, 205}:
            raise UnsupportedMedia("There is nothing at the address: the server sent no content.")
        if status in {401, 402, 403, 407}:
            raise FetchFailed(f"The server {said}: use an address that needs no login, such as a signed one.")
        if status in {404, 410}:
            raise FetchFailed(f"There is no recording at the address: the server {said}; check it.")
        if status >= 500:
            raise RemoteTrouble(f"The server {said} instead of the recording; try again later.")
        raise FetchFailed(f"The server {said} instead of the recording; check the address.")

    def _learn(self, answer: "httpx.Response") -> None:
        """Note what an answer says of a whole recording."""
        headers = answer.headers
        length = headers.get("Content-Length", "")
        total = int(length) if re.fullmatch(r"[0-9]{1,19}", length) else None
        self._got.begin(total=total, content_type=headers.get("Content-Type", ""))
        etag = headers.get("ETag", "")
        self._validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
        named = name_in_header(headers.get("Content-Disposition", ""))
        first, last = name_in_address(self._url), name_in_address(str(answer.url))
        self._name = named or (last if PurePosixPath(last).suffix and not PurePosixPath(first).suffix else first)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pulse()
            time.sleep(min(left, _SLICE_SECONDS))
