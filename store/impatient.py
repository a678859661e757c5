"""Clients of Redis for what is not the truth: progress, wake-up calls, who is there, tickets, counts.

Whoever asks can do without the answer, or say so, but cannot wait: a Redis that hangs must not make everything else
hang with it. So an answer comes within a second or not at all, and after one that did not come nobody asks for a while.
"""

import time
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SECONDS = 1.0
"""What connecting may take, and an answer."""
PAUSE_SECONDS = 3.0
"""For so long nobody in this process asks a Redis that did not answer; then one does, and the others wait for that."""
_MOST = 4000
"""Connections: one for each thread at most; the library's own limit is fewer than that."""


def client(url: str, *, decode_responses: bool = False) -> "redis.Redis":
    """A client that gives up soon. Nothing is connected yet.

    Its errors are ``redis.RedisError`` as ever.

    Args:
        url: Address of Redis.
        decode_responses: Whether answers are text.
    """
    return redis.Redis.from_pool(pool(url, decode_responses=decode_responses))


def pool(url: str, *, decode_responses: bool = False) -> redis.ConnectionPool:
    """The connections of such a client, for a library that makes its own."""
    found: redis.ConnectionPool = _Pool.from_url(
        url,
        decode_responses=decode_responses,
        max_connections=_MOST,
        socket_connect_timeout=SECONDS,
        socket_timeout=SECONDS,
        # A connection that Redis has closed while nobody used it is made anew; what took too long is not tried again.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    assert isinstance(found, _Pool)  # noqa: S101  # for the type checker
    found.fuse = _fuse(url)
    return found


class _Fuse:
    """Knows whether it is of use to ask.

    Without a lock, which a fork could find taken for ever: should two ask at once, that is two instead of one.
    """

    def __init__(self) -> None:
        self._broken = False
        self._until = 0.0

    def check(self) -> None:
        """Raise while it is of no use."""
        if not self._broken:
            return
        now = time.monotonic()
        if now < self._until:
            raise redis.ConnectionError("Redis did not answer a moment ago")
        # This one tries; the others go on without until that is known.
        self._until = now + PAUSE_SECONDS

    def tell(self, *, answered: bool) -> None:
        """Note what became of asking."""
        self._until = time.monotonic() + PAUSE_SECONDS
        self._broken = not answered


@lru_cache(maxsize=100)
def _fuse(_url: str) -> _Fuse:
    """One for each Redis and process."""
    return _Fuse()


class _Pool(redis.ConnectionPool):
    fuse: _Fuse

    def get_connection(self, *_: Any, **__: Any) -> Any:  # the arguments mean nothing any more
        self.fuse.check()
        try:
            return super().get_connection()
        except (redis.ConnectionError, redis.TimeoutError):
            self.fuse.tell(answered=False)
            raise

    def release(self, connection: Any) -> None:
        # The library closes a connection on which something failed before it gives it back.
        self.fuse.tell(answered=connection.is_connected)
        super().release(connection)
