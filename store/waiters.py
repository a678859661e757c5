"""Who waits for a job and who is about to, counted in Redis across all processes of the API.

The last who leaves a job that nobody else wants may take it along. Without Redis nobody is counted, and no job ends
because somebody left.
"""

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterator
from typing import cast

import redis

from store import impatient
from store.events import PREFIX

log = logging.getLogger(__name__)

SIGN_SECONDS = 5.0
"""How often it is said of everybody who waits in this process."""
_COUNTED = 20
"""Seconds for which one such sign counts."""
_CLOSED = 10
"""Seconds within which a job that was closed must have been cancelled."""
_KEPT = 7 * 24 * 3600
_ARRIVING = 3600
"""Seconds for which an upload counts as arriving, if the process that receives it dies."""

# All go by the server's clock: those of several machines differ. The third key counts who came and who left for good.
_JOIN = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZADD', KEYS[1], tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.max(redis.call('TTL', KEYS[1]), tonumber(ARGV[2])))
if KEYS[3] then
  redis.call('INCR', KEYS[3])
  redis.call('EXPIRE', KEYS[3], ARGV[3])
end
return 1
"""
_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[2])
return redis.call('INCR', KEYS[3])
"""
_CLOSE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
if redis.call('ZCARD', KEYS[1]) > 0 or redis.call('GET', KEYS[3]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
return 1
"""
_COUNT = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
return redis.call('ZCARD', KEYS[1])
"""


class Waiters:
    """Counts those who wait for jobs.

    Args:
        url: Address of Redis. Nothing is connected before somebody waits.
    """

    def __init__(self, url: str) -> None:
        self._client = impatient.client(url)
        self._join = self._client.register_script(_JOIN)
        self._leave = self._client.register_script(_LEAVE)
        self._close = self._client.register_script(_CLOSE)
        self._count = self._client.register_script(_COUNT)
        self._lock = threading.Lock()
        self._here: dict[str, str] = {}
        """Token -> job of those who wait in this process."""
        self._signer: threading.Thread | None = None
        self._nobody = threading.Condition(self._lock)

    def join(self, job_id: str) -> str | None:
        """Begin to wait; the token to leave with. None: the job is just being given up, so it is no use.

        It counts until then, whatever the one who waits is busy with.
        """
        token = uuid.uuid4().hex
        try:
            if not self._join(keys=_keys(job_id), args=[token, _COUNTED, _KEPT]):
                return None
        except redis.RedisError as error:
            log.warning("who waits for job %s cannot be counted, so it goes on in any case: %s", job_id, error)
        with self._lock:
            self._here[token] = job_id
            if self._signer is None:
                self._signer = threading.Thread(target=self._sign, name="waiters", daemon=True)
                self._signer.start()
        return token

    def leave(self, job_id: str, token: str) -> str:
        """Stop waiting, perhaps together with the job.

        Returns:
            What ``close`` wants; empty, and the job goes on, if it cannot be had.
        """
        self._forget(token)
        try:
            return str(cast(int, self._leave(keys=_keys(job_id), args=[token, _KEPT])))
        except redis.RedisError:
            return ""

    @contextlib.contextmanager
    def following(self, job_id: str) -> Iterator[None]:
        """Wait inside the block, and leave without a thought for the job."""
        token = self.join(job_id)
        try:
            yield
        finally:
            if token is not None:
                self._forget(token)
                with contextlib.suppress(redis.RedisError):
                    self._client.zrem(_keys(job_id)[0], token)

    def keep(self, job_id: str) -> None:
        """See to it that a job goes on whoever leaves: somebody was told that it would."""
        with contextlib.suppress(redis.RedisError):
            self._join(keys=_keys(job_id), args=["kept", _KEPT, _KEPT])

    def close(self, job_id: str, left: str) -> bool:
        """Whether nobody waits; then for some seconds nobody can join either, and the caller cancels the job.

        Args:
            job_id: The job.
            left: What ``leave`` returned: nobody may have come, or left for good, since.
        """
        try:
            return bool(self._close(keys=_keys(job_id), args=[_CLOSED, left]))
        except redis.RedisError:
            return False

    def arriving(self, owner: str, size: int | None) -> str:
        """Note that a request of this length is being received; the token to say ``arrived`` with."""
        token = uuid.uuid4().hex
        with contextlib.suppress(redis.RedisError):
            self._join(keys=[_arriving(owner, size), f"{PREFIX}nothing"], args=[token, _ARRIVING])
        return token

    def arrived(self, owner: str, size: int | None, token: str) -> None:
        """Note that it is there, or broke off."""
        with contextlib.suppress(redis.RedisError):
            self._client.zrem(_arriving(owner, size), token)

    def expects(self, owner: str, size: int | None) -> bool:
        """Whether a request of this length is being received from the owner: the same one, sent again, has it."""
        try:
            return cast(int, self._count(keys=[_arriving(owner, size)])) > 0
        except redis.RedisError:
            return True

    def _forget(self, token: str) -> None:
        with self._lock:
            self._here.pop(token, None)
            if not self._here:
                self._nobody.notify_all()

    def _sign(self) -> None:
        """Say again and again who waits here, until nobody does."""
        while True:
            with self._lock:
                self._nobody.wait_for(lambda: not self._here, SIGN_SECONDS)
                if not self._here:
                    self._signer = None
                    return
                here = dict(self._here)
            try:
                self._say(here)
            except redis.RedisError as error:
                log.warning("who waits cannot be counted, so jobs go on in any case: %s", error)
            except Exception:  # the next try may do better
                log.exception("who waits could not be counted")

    def _say(self, here: dict[str, str]) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for token, job_id in here.items():
                self._join(keys=_keys(job_id)[:2], args=[token, _COUNTED], client=pipe)
            pipe.execute()
        with self._lock:
            gone = {token: job_id for token, job_id in here.items() if token not in self._here}
        for token, job_id in gone.items():  # who left meanwhile must not be counted again
            self._client.zrem(_keys(job_id)[0], token)


def _keys(job_id: str) -> list[str]:
    return [f"{PREFIX}{kind}:{job_id}" for kind in ("waiters", "given-up", "came-and-left")]


def _arriving(owner: str, size: int | None) -> str:
    return f"{PREFIX}arriving:{owner}:{size}"
