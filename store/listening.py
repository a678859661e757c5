"""Waiting until something happens to a job: one subscription per process, however many wait.

A pattern covers every job, so that listening to one more needs no word to Redis and cannot come too late for it.
"""

import contextlib
import logging
import os
import random
import socket
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from store import impatient
from store.events import CHANNEL

log = logging.getLogger(__name__)

HEARD_TICK = 15.0
"""Seconds after which a listener looks by itself although Redis is there: a message is never promised."""
DEAF_TICK = 1.0
"""The same while Redis is away."""
_SILENCE = 20.0
"""Seconds without a word after which the connection is asked whether it still lives."""
_LINGER = 60.0
"""Seconds that the connection is kept when nobody listens any more."""
_RETRY = 1.0


class Ear:
    """Listens to one job."""

    def __init__(self, hub: "_Hub") -> None:
        self._hub = hub
        self._awake = threading.Condition(threading.Lock())
        self._rung = False

    def wait(self, seconds: float) -> bool:
        """Whether it is time to look at the job (again) before that many seconds have passed.

        True as soon as something happened to the job since the last wait returned, or may have without being heard;
        False when the time is up.
        """
        tick = (HEARD_TICK if self._hub.hearing else DEAF_TICK) * random.uniform(0.75, 1.25)  # noqa: S311  # spreading
        with self._awake:
            rung = self._awake.wait_for(lambda: self._rung, max(0.0, min(seconds, tick)))
            self._rung = False
        return rung or tick < seconds

    def ring(self) -> None:
        """Wake whoever waits, or let the next wait return at once."""
        with self._awake:
            self._rung = True
            self._awake.notify_all()


class Listening:
    """Wakes the listeners of this process; safe to share between threads, and makes itself anew after a fork.

    Args:
        url: Address of Redis. Nothing is connected before somebody listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._hub = _Hub(url)
        mine = weakref.ref(self)
        # Neither the thread nor the state of the locks comes along into a child.
        os.register_at_fork(after_in_child=lambda: _begin_anew(mine()))

    @contextlib.contextmanager
    def to(self, job_id: str) -> Iterator[Ear]:
        """An ear for one job. What happens from now on is not lost, whether anybody is waiting at that moment or not.

        So look at the record inside the block, then wait, then look again.
        """
        hub = self._hub
        ear = hub.open(job_id)
        try:
            yield ear
        finally:
            hub.close(job_id, ear)

    def close(self) -> None:
        """Give the connection back. Who still listens goes on by the clock."""
        self._hub.end()

    @property
    def closed(self) -> bool:
        """Whether the process is about to end: nobody should wait on."""
        return self._hub.ended

    def begin_anew(self) -> None:
        """Forget everything without closing it (after a fork)."""
        self._hub = _Hub(self._url)


def _begin_anew(listening: Listening | None) -> None:
    if listening is not None:
        listening.begin_anew()


class _Hub:
    """The ears of one process and the thread that wakes them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._idle_since = 0.0
        self._ended = threading.Event()
        self._subscription: _Subscription | None = None

    @property
    def hearing(self) -> bool:
        """Whether what happens is heard at present."""
        subscription = self._subscription
        return subscription is not None and subscription.confirmed

    @property
    def ended(self) -> bool:
        """Whether it wakes nobody any more."""
        return self._ended.is_set()

    def open(self, job_id: str) -> Ear:
        ear = Ear(self)
        with self._lock:
            self._ears[job_id].add(ear)
            if self._thread is None and not self.ended:
                thread = threading.Thread(target=self._run, name="listening", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread to be had: by the clock then
                    thread.start()
                    self._thread = thread
        return ear

    def close(self, job_id: str, ear: Ear) -> None:
        with self._lock:
            self._ears[job_id].discard(ear)
            if not self._ears[job_id]:
                del self._ears[job_id]
            self._idle_since = time.monotonic()

    def end(self) -> None:
        """End the thread and with it the connection; wake everybody."""
        with self._lock:
            self._ended.set()
            thread, subscription = self._thread, self._subscription
        if subscription is not None:
            subscription.shut()
        self._ring(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def _run(self) -> None:
        told = False
        while not self._nobody():
            try:
                with contextlib.closing(_Subscription(self._url)) as subscription:
                    self._subscription = subscription
                    while not self._nobody():
                        self._hear(subscription)
                    return
            except Exception as error:  # whatever it is, whoever listens must not wait for a thread that is dead
                heard, self._subscription = self.hearing, None
                if (heard or not told) and not self.ended:
                    log.warning("Redis is away; whoever waits for a job looks every second until it is back: %s", error)
                told = True
                if heard:
                    self._ring(None)  # from now on they look by themselves more often
                self._ended.wait(_RETRY)

    def _hear(self, subscription: "_Subscription") -> None:
        heard = subscription.next()
        if heard is None:
            return
        if heard == "":
            # Listening begins, or begins again: whatever happened before was not heard.
            self._ring(None)
        else:
            self._ring(heard)

    def _ring(self, job_id: str | None) -> None:
        """Wake who listens to a job, or everybody."""
        with self._lock:
            chosen = list(self._ears.values()) if job_id is None else [self._ears.get(job_id, set())]
            woken = [ear for ears in chosen for ear in ears]
        for ear in woken:
            ear.ring()

    def _nobody(self) -> bool:
        """Whether the thread may end; if so, the next to listen starts another."""
        with self._lock:
            lingered = not self._ears and time.monotonic() - self._idle_since > _LINGER
            if self.ended or lingered:
                self._thread = None
                return True
            return False


class _Subscription:
    """A connection that hears of every job."""

    def __init__(self, url: str) -> None:
        # A connection that the library mends in silence would hide that something was missed.
        self._client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=impatient.SECONDS,
            socket_timeout=impatient.SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._pubsub: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._asked = False
        self.confirmed = False
        try:
            self._pubsub.psubscribe(f"{CHANNEL}*")
        except BaseException:
            self.close()
            raise

    def next(self) -> str | None:
        """The id of a job that something happened to; "" at the beginning; None if nothing was heard for a while.

        Raises:
            redis.RedisError: The connection is gone.
        """
        message = self._pubsub.get_message(timeout=_SILENCE)
        if message is None:
            if self._asked:
                raise redis.ConnectionError("no answer")
            self._asked = True
            self._pubsub.ping()
            return None
        self._asked = False
        if message["type"] == "psubscribe":
            self.confirmed = True
            return ""
        return str(message["channel"]).removeprefix(CHANNEL) if message["type"] == "pmessage" else None

    def shut(self) -> None:
        """Wake the thread that waits for the next message, with an error."""
        connection = self._pubsub.connection
        sock = getattr(connection, "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._pubsub.close()
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.close()
