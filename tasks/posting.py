"""One POST to an address that a client named, of which we expect nothing good."""

import contextlib
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pipelines.web import addresses
from pipelines.web.causes import cause
from tasks.threads import check_stopping

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

SECONDS = 10.0
"""For everything: the name, the connection, the answer."""
_READ_BYTES = 1024
_SHOWN = 200
"""Letters of a refusal's text that are kept."""


@dataclass(frozen=True)
class Outcome:
    """What became of a try."""

    status: int | None = None
    """What the server answered; None: nothing."""
    error: str | None = None
    """Why it did not arrive, in a sentence; None: it did."""
    final: bool = False
    """Whether trying again is of no use, or not wanted."""
    retry_after: float | None = None
    """Seconds that the server asked to be left alone for."""


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool, seconds: float = SECONDS
) -> Outcome:
    """Send a body; redirects are not followed, and of the answer only a beginning is read.

    Args:
        url: Where to.
        body: What.
        headers: All of them, but those of the connection.
        allow_private: Whether addresses that are not public may be asked.
        seconds: Time for the whole.

    Raises:
        tasks.threads.HandedBack: This worker stops; whether the server has got it is not known.
    """
    import httpx

    limit = _Limit(seconds)
    everywhere = {"accept-encoding": "identity", "connection": "close"}
    try:
        with (
            addresses.client(allow_private=allow_private, timeout=seconds, pulse=limit.check) as client,
            limit.enforced(),
            client.stream(
                "POST", url, content=body, headers={**everywhere, **headers}, extensions={"trace": limit.watch}
            ) as answer,
        ):
            limit.check()
            return Outcome(answer.status_code) if answer.is_success else _refused(answer)
    except addresses.AddressRefused as error:
        return Outcome(error=error.detail, final=_never_allowed(url, allow_private))
    except httpx.InvalidURL:
        return Outcome(error="The address cannot be used; send another with the next job.", final=True)
    except addresses.HostNotFound as error:
        return Outcome(error=error.detail)
    except (_OutOfTime, httpx.HTTPError, OSError, ValueError) as error:
        # Once time is up, an error is what the connection said when it was cut under it.
        slow = limit.passed or isinstance(error, _OutOfTime | httpx.TimeoutException)
        return Outcome(error=f"The server did not answer within {seconds:g} s." if slow else _broken(error))


def _never_allowed(url: str, allow_private: bool) -> bool:
    """Whether an address is refused as it is written, not just for what its name means at the moment."""
    try:
        addresses.check(url, allow_private=allow_private)
    except addresses.AddressRefused:
        return True
    return False


def _broken(error: Exception) -> str:
    import httpx

    if (certificate := cause(error, ssl.SSLCertVerificationError)) is not None:
        return f"The server's certificate is not good: {_printable(certificate.verify_message)}."
    if cause(error, ssl.SSLError) is not None:
        return "The server and we found no way to encrypt the connection."
    if isinstance(error, httpx.ConnectError):
        return "The server could not be connected to."
    return "The server broke the connection off, or answered in a way that is not HTTP."


def _refused(answer: "httpx.Response") -> Outcome:
    status = answer.status_code
    if answer.is_redirect or 300 <= status < 400:
        return Outcome(status, f"The server answered with a redirect ({status}), which is not followed.")
    text = _beginning(answer)
    said = f": {text}" if text else "."
    return Outcome(
        status,
        f"The server answered {status}{said}",
        final=status == 410,
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _beginning(answer: "httpx.Response") -> str:
    """The first words of the body; what cannot be read or shown is left out."""
    import httpx

    found = bytearray()
    with contextlib.suppress(httpx.HTTPError, OSError, ValueError, _OutOfTime):
        for part in answer.iter_raw():
            found += part[: _READ_BYTES - len(found)]
            if len(found) >= _READ_BYTES:
                break
    return _printable(found.decode("utf-8", "replace"))


def _printable(text: str) -> str:
    plain = " ".join("".join(c if c.isprintable() and c != "\ufffd" else " " for c in text).split())
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 1].rstrip()}…"


def _retry_after(text: str) -> float | None:
    """Seconds of a ``Retry-After``: a number, or a date."""
    try:
        seconds = float(text) if text.strip().isdecimal() else _until(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _until(text: str) -> float:
    at = parsedate_to_datetime(text)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


class _OutOfTime(Exception):
    """The whole took too long."""


class _Limit:
    """Ends a request as a whole: the timeouts of a client start anew with every byte that trickles in."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._stream: Any = None

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """Raise if time is up, for this or for the whole process."""
        check_stopping()
        if self.passed:
            raise _OutOfTime

    def watch(self, event: str, told: Mapping[str, Any]) -> None:
        """Take hold of the connection as soon as there is one."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._stream = told["return_value"]
            if self.passed:
                self._cut()

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Cut the connection when time is up within the block."""
        timer = threading.Timer(max(0.0, self._end - time.monotonic()), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if connection is not None:
            with contextlib.suppress(OSError):
                # Not the method of an encrypted socket, which must not be called while another thread reads from it.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
