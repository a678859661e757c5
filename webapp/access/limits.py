"""How much a caller may ask for: requests a minute, audio a day, and wrong keys from one address."""

import ipaddress
import math
import time
from collections.abc import Callable
from typing import TypeVar, cast

import structlog
from flask import Flask, current_app, request
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits import RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute, RateLimitItemPerMonth
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

WRONG_KEYS = RateLimitItemPerMinute(30)
"""Wrong keys of one address. Right keys are served all the same: a stranger must not be able to lock others out."""
STUBBORN = (RateLimitItemPerHour(300), RateLimitItemPerDay(2000))
"""Wrong keys of one address beyond those: whoever goes on all the same waits longer and longer.

Only these, so that a stranger with many addresses does not fill Redis with counters that live for a day.
"""
_RIGHT = RateLimitItemPerMonth(1)
"""Whether the right key came from an address in the last month."""
_TOLD = RateLimitItemPerMinute(1)
_Answer = TypeVar("_Answer")
_STORED = "longhand:limits"
_NAME = "longhand-limits"


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

    def wrong_key(self, network: str) -> int | None:
        """Count a wrong key; the seconds after which another may be tried, None: at once."""
        who = ("wrong-key", network)

        def count(limiter: RateLimiter) -> int | None:
            over = not limiter.hit(WRONG_KEYS, *who)
            look = limiter.hit if over else limiter.test
            passed = [limit for limit in STUBBORN if not look(limit, *who)] + ([WRONG_KEYS] if over else [])
            return max(
                (_seconds_to(limiter.get_window_stats(limit, *who).reset_time) for limit in passed), default=None
            )

        seconds = self._ask(count)
        if seconds is not None and self._aside.hit(_TOLD, network):
            log.warning("many wrong API keys came from one address", address=network, refused_for=seconds)
        return seconds

    def may_guess(self, network: str) -> bool:
        """Whether a key from there is looked at although it could be a guess."""
        who = ("wrong-key", network)

        def look(limiter: RateLimiter) -> bool:
            calm = all(limiter.test(limit, *who) for limit in (WRONG_KEYS, *STUBBORN))
            return calm or not limiter.test(_RIGHT, "right-key", network)

        return self._ask(look)

    def right_key(self, network: str) -> None:
        """Remember that a key that could be guessed is known there."""
        self._ask(lambda limiter: limiter.hit(_RIGHT, "right-key", network))

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


def count_wrong_key() -> None:
    """Count a wrong key against the address it came from.

    Raises:
        Problem: 429, there were too many.
    """
    seconds = _limits().wrong_key(_here())
    if seconds is not None:
        detail = "Too many wrong API keys came from this address; check the key, and wait for the time in Retry-After."
        raise Problem(429, detail, code="rate_limited", headers={"Retry-After": str(seconds)})


def may_guess() -> bool:
    """Whether a key that is short enough to be guessed is looked at.

    Not while wrong keys rain from its address, or that would tell when one of them is right; unless the right one was
    used from there before, or strangers could lock its owner out.
    """
    return _limits().may_guess(_here())


def remember_right_key() -> None:
    """Note that whoever sends from this address knows the key that could be guessed."""
    _limits().right_key(_here())


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
