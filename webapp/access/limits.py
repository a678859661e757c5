"""How much a caller may ask for: requests a minute, audio a day, and wrong keys from one address."""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import structlog
from flask import Flask, current_app, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerHour,
    RateLimitItemPerMinute,
    RateLimitItemPerMonth,
)
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from werkzeug.wrappers import Response

from config.settings import Settings
from store import impatient, usage
from webapp.access.callers import caller
from webapp.errors import Problem, answer
from webapp.openapi import operation_of
from webapp.services import Services

log = structlog.get_logger(__name__)

WRONG_KEYS = RateLimitItemPerMinute(100)
"""Wrong keys of one address. Right keys are served all the same: a stranger must not be able to lock others out.

Nobody guesses a key of ours, whatever the number; it keeps logs and the record in peace, and lets a program that tries
a wrong key at each operation, as tests of the document do, come to an end.
"""
GUESSES = RateLimitItemPerMinute(30)
"""The same of keys that could be guesses at a short API_KEY: beyond them it is compared only where it is known."""
STUBBORN = (RateLimitItemPerHour(300), RateLimitItemPerDay(2000))
"""Wrong keys of one address beyond those: whoever goes on all the same waits longer and longer.

Only these, so that a stranger with many addresses does not fill Redis with counters that live for a day.
"""
_RIGHT = RateLimitItemPerMonth(1)
"""Whether the right key came from an address in the last month."""
_TOLD = RateLimitItemPerMinute(1)
_NAMES = {False: "wrong-key", True: "guess"}
_Answer = TypeVar("_Answer")
_STORED = "longhand:limits"
_NAME = "longhand-limits"


@dataclass(frozen=True)
class Tried:
    """A key that was counted as a wrong one."""

    guess: bool
    """Whether it could be a guess at a short API_KEY."""
    passed: tuple[RateLimitItem, ...]
    """The limits beyond which it is."""
    wait: int | None
    """Seconds after which another may be tried; None: at once."""
    known: bool
    """Whether the key that could be guessed came from there in the last month."""

    @property
    def compared(self) -> bool:
        """Whether it may turn out to be right.

        Not while guesses rain from its address, or that would tell when one of them is right. Where the right one was
        used before, more of them may rain, or strangers could lock its owner out in no time; but not without end.
        """
        return not self.passed or (self.known and not any(limit in STUBBORN for limit in self.passed))


class Limits:
    """The counters of one application, in Redis, or in memory while Redis is away.

    Args:
        settings: The operator's RATE_LIMIT and where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # What Flask-Limiter keeps in memory is not open to others.
        self._aside = FixedWindowRateLimiter(MemoryStorage())
        self.limiter = Limiter(
            _owner,
            application_limits=[ApplicationLimit(self._allowed, key_function=_owner, exempt_when=_exempt)],
            storage_uri=_storage(settings.redis_url),
            storage_options={
                # When Redis does not answer soon, this process counts by itself until it does.
                "connection_pool": impatient.pool(settings.redis_url),  # type: ignore[dict-item]  # it takes that
                "key_prefix": _STORED,
                "wrap_exceptions": True,
            },
            # Who waits for Retry-After is certain to be let in then; a window that slides cannot promise that.
            strategy="fixed-window",
            in_memory_fallback_enabled=True,
            swallow_errors=True,
            headers_enabled=False,
        )

    def _allowed(self) -> str:
        own = caller().requests_per_minute
        return f"{own}/minute" if own is not None else self._settings.rate_limit or ""

    def count(self, network: str, *, guess: bool) -> Tried:
        """Count a wrong key, or one that could be a guess, before anybody knows whether it is wrong."""
        who, first = (_NAMES[guess], network), GUESSES if guess else WRONG_KEYS

        def count(limiter: RateLimiter) -> Tried:
            over = not limiter.hit(first, *who)
            look = limiter.hit if over else limiter.test
            passed = (*(limit for limit in STUBBORN if not look(limit, *who)), *([first] if over else []))
            waits = (_seconds_to(limiter.get_window_stats(limit, *who).reset_time) for limit in passed)
            known = guess and bool(passed) and not limiter.test(_RIGHT, "right-key", network)
            return Tried(guess, passed, max(waits, default=None), known)

        return self._ask(count)

    def take_back(self, network: str, tried: Tried) -> None:
        """What was counted was the right key; remember that it is known there."""
        who = (_NAMES[tried.guess], network)

        def take_back(limiter: RateLimiter) -> None:
            over = GUESSES in tried.passed
            for limit in (GUESSES, *(STUBBORN if over else ())):
                limiter.hit(limit, *who, cost=-1)
            limiter.hit(_RIGHT, "right-key", network)

        self._ask(take_back)

    def tell(self, network: str, seconds: int) -> None:
        """Log, now and then, that wrong keys rain from an address."""
        if self._aside.hit(_TOLD, network):
            log.warning("many wrong API keys came from one address", address=network, refused_for=seconds)

    def _ask(self, question: Callable[[RateLimiter], _Answer]) -> _Answer:
        """Put a question to Redis, or to this process's own memory while Redis is away."""
        try:
            return question(self.limiter.limiter)
        except StorageError:
            log.warning("Redis does not answer, so wrong keys are counted by each process for itself")
            return question(self._aside)

    def headers(self) -> dict[str, str]:
        """What an answer says of its caller's limit; nothing where none was looked at."""
        seen = self.limiter.current_limit
        if seen is None:
            return {}
        try:
            limit, remaining, reset = seen.limit.amount, seen.remaining, seen.reset_at
        except StorageError:  # Redis went away since; the request was counted
            return {}
        # Seconds from now in the one spelling and since 1970 in the other, as is usual for each.
        return {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(_seconds_to(reset)),
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(reset),
        }


def install(app: Flask, settings: Settings) -> None:
    """Count every request after its key was checked, and say in the answer what is left."""
    found = Limits(settings)
    app.extensions[_NAME] = found
    found.limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, lambda _: answer(_too_many()))
    app.after_request(_tell)


def count_key(*, guess: bool) -> Tried:
    """Count a key against the address it came from: a wrong one, or one that could be a guess at a short API_KEY.

    Guesses are counted before they are compared, or many at the same time would all be compared before any counts.
    """
    return _limits().count(_here(), guess=guess)


def check_tried(tried: Tried) -> None:
    """Refuse a key that is wrong, or that nobody looked at, if there were too many.

    Raises:
        Problem: 429.
    """
    seconds = tried.wait
    if seconds is not None:
        _limits().tell(_here(), seconds)
        detail = "Too many wrong API keys came from this address; check the key, and wait for the time in Retry-After."
        raise Problem(429, detail, code="rate_limited", headers={"Retry-After": str(seconds)})


def take_back(tried: Tried) -> None:
    """Note that what was counted as a guess was right: whoever sends from this address knows the key."""
    _limits().take_back(_here(), tried)


def check_audio(s: Services) -> None:
    """Refuse work for a key whose audio of the day is used up.

    Raises:
        Problem: 429.
    """
    quota = caller().audio_seconds_per_day
    if quota is None or usage.counted_today(s.store.database, caller().account) < quota:
        return
    detail = (
        f"The {quota:g} seconds of audio that this API key has for a day are used up; try again after midnight UTC."
    )
    wait = {"Retry-After": str(math.ceil(usage.until_tomorrow()))}
    raise Problem(429, detail, code="rate_limited", headers=wait)


def _limits() -> Limits:
    return cast(Limits, current_app.extensions[_NAME])


def _too_many() -> Problem:
    seen = _limits().headers()
    wait = {"Retry-After": seen.get("RateLimit-Reset", "60")}
    detail = f"This API key may make {_rate()}; wait for the time in Retry-After, then go on."
    return Problem(429, detail, code="rate_limited", headers=wait)


def _rate() -> str:
    """The limit that was passed, in words."""
    seen = _limits().limiter.current_limit
    if seen is None:
        return "fewer requests"
    limit, unit = seen.limit, seen.limit.GRANULARITY.name
    requests = "1 request" if limit.amount == 1 else f"{limit.amount} requests"
    if limit.multiples > 1:
        return f"{requests} in {limit.multiples} {unit}s"
    return f"{requests} {'an' if unit == 'hour' else 'a'} {unit}"


def _tell(response: Response) -> Response:
    response.headers.update(_limits().headers())
    return response


def _here() -> str:
    return _network(request.remote_addr or "")


def _owner() -> str:
    return caller().id


def _exempt() -> bool:
    """Pages, health checks and whatever else needs no key."""
    operation = operation_of(current_app.view_functions[request.endpoint]) if request.endpoint else None
    return operation is None or operation.public


def _seconds_to(time_of_day: float) -> int:
    """Whole seconds until a time, rounded up, at least one."""
    return max(1, math.ceil(time_of_day - time.time()))


def _storage(redis_url: str) -> str:
    """The address of Redis as the limiter spells it."""
    return f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url


def _network(address: str) -> str:
    """Who an address belongs to: one machine, or what one customer gets of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return "here"
    mapped = getattr(found, "ipv4_mapped", None) or found
    return str(ipaddress.ip_network(f"{mapped}/64", strict=False)) if mapped.version == 6 else str(mapped)
