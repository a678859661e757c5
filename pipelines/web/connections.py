"""Connections to addresses that were found good, and to no other: the part of ``addresses`` that needs a network.

Heavy for the web process: import it where a connection is made.
"""

import contextlib
import functools
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import httpcore
import httpx

_T = TypeVar("_T")

SLICE_SECONDS = 0.5
"""How often somebody who waits for a server looks up."""
MAX_CONNECTIONS = 100
MAX_ADDRESSES = 4
"""Of one host that are tried, each for its share of the time."""

Addresses = Callable[[str, int], Sequence[str]]
Pulse = Callable[[], None]


def pinned_client(
    *, inspect: Callable[[str], None], addresses: Addresses, timeout: float | httpx.Timeout, pulse: Pulse
) -> httpx.Client:
    """A client whose every request is inspected and connected to an address of ``addresses``.

    Args:
        inspect: Raises where a whole address must not be asked.
        addresses: The IP addresses of a host; raises where it must not be connected to.
        timeout: Seconds for each of connecting, one read and one write.
        pulse: Called every ``SLICE_SECONDS`` of waiting.
    """
    return httpx.Client(
        transport=_Transport(inspect, _Network(addresses, pulse)),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    )


@functools.lru_cache(maxsize=4)
def _trusting(*_: str | None) -> ssl.SSLContext:
    """Whose certificates are good. Reading them takes 30 ms of a processor, longer than the rest of a short request."""
    return httpx.create_ssl_context()


class _Transport(httpx.BaseTransport):
    """Inspects each request, and sends it through a pool over our network."""

    def __init__(self, inspect: Callable[[str], None], network: httpcore.NetworkBackend) -> None:
        self._inspect = inspect
        self._pool = httpcore.ConnectionPool(
            # The certificate must be good for the name of the address, whatever machine it led to.
            ssl_context=_trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
            max_connections=MAX_CONNECTIONS,
            network_backend=network,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        self._inspect(str(request.url))
        url = request.url
        with _as_httpx(request):
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream, request),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    """The errors of the layer below by the names that a user of the client expects."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error), request=request) from error
    except (httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable) as error:
        raise httpx.TransportError(str(error)) from error


class _Network(httpcore.NetworkBackend):
    """Resolves a name once, judges what came out, and connects to that."""

    def __init__(self, addresses: Addresses, pulse: Pulse) -> None:
        self._addresses = addresses
        self._pulse = pulse
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        def connect() -> httpcore.NetworkStream:
            found = self._addresses(host, port)
            share = None if timeout is None else timeout / min(len(found), MAX_ADDRESSES)
            failure: Exception = httpcore.ConnectError("no address")
            # The one after the other: a host whose first address is dead is still reached.
            for address in found[:MAX_ADDRESSES]:
                try:
                    return self._plain.connect_tcp(address, port, share, local_address, socket_options)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failure = error
            raise failure

        stream = _patiently(connect, timeout, self._pulse, lambda late: late.close())
        return _Stream(stream, self._pulse)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection that looks up while it waits."""

    def __init__(self, stream: httpcore.NetworkStream, pulse: Pulse) -> None:
        self._stream = stream
        self._pulse = pulse
        self._pulsed = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if time.monotonic() - self._pulsed >= SLICE_SECONDS:
            self._look_up()  # a server that always has a little more to say must not hold us, either
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE_SECONDS if end is None else end - time.monotonic()
            try:
                return self._stream.read(max_bytes, min(SLICE_SECONDS, max(left, 0.001)))
            except httpcore.ReadTimeout:
                self._look_up()
                if end is not None and time.monotonic() >= end:
                    raise

    def _look_up(self) -> None:
        self._pulsed = time.monotonic()
        self._pulse()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        def shake_hands() -> httpcore.NetworkStream:
            return self._stream.start_tls(ssl_context, server_hostname, timeout)

        try:
            made = _patiently(shake_hands, timeout, self._pulse, lambda late: late.close())
        except BaseException:
            self._stream.close()
            raise
        return _Stream(made, self._pulse)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _patiently(act: Callable[[], _T], timeout: float | None, pulse: Pulse, discard: Callable[[_T], None]) -> _T:
    """Do what cannot be interrupted in a thread, so that the waiting can be: the resolver has no time limit at all."""
    ended = threading.Condition()
    outcome: list[_T] = []
    errors: list[BaseException] = []
    given_up = False

    def run() -> None:
        try:
            made = act()
        except BaseException as error:
            with ended:
                errors.append(error)
                ended.notify()
            return
        with ended:
            if not given_up:
                outcome.append(made)
                ended.notify()
                return
        discard(made)

    threading.Thread(target=run, name="connect", daemon=True).start()
    end = None if timeout is None else time.monotonic() + timeout
    with ended:
        try:
            while not ended.wait_for(lambda: outcome or errors, SLICE_SECONDS):
                pulse()
                if end is not None and time.monotonic() >= end:
                    raise httpcore.ConnectTimeout("timed out")
        finally:
            given_up = not outcome
    if errors:
        raise errors[0]
    return outcome[0]
