"""Who makes a request: what is known of it once its key was checked."""

from dataclasses import dataclass
from typing import cast

from flask import g


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    id: str
    """The key: it is what is limited and revoked."""
    scopes: frozenset[str]
    account: str = ""
    """Owner of what it makes, with whatever other keys the account has."""
    requests_per_minute: int | None = None
    """None: the operator's RATE_LIMIT."""
    audio_seconds_per_day: float | None = None
    """None: no limit."""
    webhook_secret: str | None = None
    """Signs the webhooks of its jobs; None: the operator set none."""

    @property
    def admin(self) -> bool:
        """Whether it administrates."""
        return "admin" in self.scopes

    @property
    def sees(self) -> str | None:
        """Whose jobs it sees; None: everybody's."""
        return None if self.admin else self.account


def caller() -> Caller:
    """Who makes this request."""
    return cast(Caller, g.caller)
