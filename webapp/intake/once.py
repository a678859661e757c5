"""Requests with an Idempotency-Key: one of them makes the jobs, the others wait for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from store import idempotency
from store.acceptance import HeldKey
from store.models import IdempotencyKey, Job
from webapp import latency
from webapp.connection import Receiver
from webapp.services import Services

_WAIT_SECONDS = 30.0
"""How long a request waits for the one that is at it."""
_LOOK_SECONDS = 2.0
"""How often it looks by itself, should a word be missed, or the other have died."""


@dataclass(frozen=True)
class Claim:
    """What a request says of itself to have a key."""

    key: str
    owner: str
    fingerprint: str
    job_id: str
    """The first of the jobs it would make."""
    batch: str | None
    jobs: int
    """How many it would make."""

    @property
    def held(self) -> HeldKey:
        """The key, once it was taken."""
        return HeldKey(self.key, self.owner, self.job_id)

    def take(self, s: Services) -> IdempotencyKey | None:
        """Take the key; else the record of the request that has it."""
        return idempotency.claim(
            s.store.database,
            self.key,
            owner=self.owner,
            fingerprint=self.fingerprint,
            job_id=self.job_id,
            batch=self.batch,
            jobs=self.jobs,
        )


def earlier(s: Services, claim: Claim, receiver: Receiver) -> IdempotencyKey | None:
    """The record of the request that has the key, once it has made its jobs; None: the key is ours, so ``make`` them.

    The record is not settled if that request is still at it after all our patience, or asked for something else.
    """
    end = time.monotonic() + _WAIT_SECONDS
    while (found := claim.take(s)) is not None and not found.settled and found.fingerprint == claim.fingerprint:
        # Where too many wait already, this one is sent away instead.
        if time.monotonic() >= end or receiver.gone() or s.listening.closed or not s.waiting.acquire(blocking=False):
            break
        try:
            _wait(s, claim, found.job_id, receiver, end)
        finally:
            s.waiting.release()
    return found


def make(s: Services, claim: Claim, create: Callable[[], list[Job]]) -> list[Job]:
    """Make the jobs of a key that was taken, and settle it. If that fails, one of those that wait takes its place."""
    try:
        return create()
    except BaseException:
        idempotency.release(s.store.database, claim.key, owner=claim.owner, job_id=claim.job_id)
        raise
    finally:
        s.store.events.changed(claim.job_id)


def _wait(s: Services, claim: Claim, job_id: str, receiver: Receiver, end: float) -> None:
    """Return once the request that makes this job has done so, or failed, or time is up."""
    with s.listening.to(job_id) as ear:
        while (left := end - time.monotonic()) > 0 and not s.listening.closed and not receiver.gone():
            if not idempotency.is_pending(s.store.database, claim.key, owner=claim.owner, job_id=job_id):
                return
            with latency.waiting():
                ear.wait(min(left, _LOOK_SECONDS))
