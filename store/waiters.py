"""Who waits for a job and who is about to, counted in Redis across all processes of the API.

The last who leaves a job that nobody else wants may take it along. Without Redis nobody is counted, and no job ends
because somebody left.
"""

import contextlib
import logging
import uuid
from typing import cast

import redis

from store.events import PREFIX

log = logging.getLogger(__name__)

SIGN_SECONDS = 5.0
"""How often whoever waits must say so."""
_COUNTED = 20
"""Seconds for which one such sign counts."""
_CLOSED = 10
"""Seconds within which a job that was closed must have been cancelled."""
_KEPT = 7 * 24 * 3600
_ARRIVING = 3600
"""Seconds for which an upload counts as arriving, if the process that receives it dies."""

# All three go by the server's clock: those of several machines differ.
_JOIN = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('ZADD', KEYS[1], tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.max(redis.call('TTL', KEYS[1]), tonumber(ARGV[2])))
return 1
"""
_CLOSE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
if redis.call('ZCARD', KEYS[1]) > 0 then return 0 end
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
        self._client = redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=10, health_check_interval=30)
        self._join = self._client.register_script(_JOIN)
        self._close = self._client.register_script(_CLOSE)
        self._count = self._client.register_script(_COUNT)

    def join(self, job_id: str) -> str | None:
        """Begin to wait; the token to go on with. None: the job is just being given up, so it is no use."""
        token = uuid.uuid4().hex
        return token if self.stay(job_id, token) else None

    def stay(self, job_id: str, token: str) -> bool:
        """Go on waiting; repeat it every ``SIGN_SECONDS``. False: the job is just being given up."""
        try:
            return bool(self._join(keys=_keys(job_id), args=[token, _COUNTED]))
        except redis.RedisError as error:
            log.warning("who waits for job %s cannot be counted, so it goes on in any case: %s", job_id, error)
            return True

    def leave(self, job_id: str, token: str) -> None:
        """Stop waiting."""
        with contextlib.suppress(redis.RedisError):
            self._client.zrem(_keys(job_id)[0], token)

    def keep(self, job_id: str) -> None:
        """See to it that a job goes on whoever leaves: somebody was told that it would."""
        with contextlib.suppress(redis.RedisError):
            self._join(keys=_keys(job_id), args=["kept", _KEPT])

    def close(self, job_id: str) -> bool:
        """Whether nobody waits; then for some seconds nobody can join either, and the caller cancels the job."""
        try:
            return bool(self._close(keys=_keys(job_id), args=[_CLOSED]))
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


def _keys(job_id: str) -> list[str]:
    return [f"{PREFIX}waiters:{job_id}", f"{PREFIX}given-up:{job_id}"]


def _arriving(owner: str, size: int | None) -> str:
    return f"{PREFIX}arriving:{owner}:{size}"
