"""Records of the keys that administrators make: found by hash, revoked for good, never shown again."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update

from store.database import Database, changed
from store.jobs import new_id, now
from store.models import ApiKey

SCOPES = ("read", "transcribe", "admin")
"""What a key may be allowed, the last of them everything."""
PREFIX = "lh-"
"""What keys begin with, so that people and scanners for leaked secrets recognise them."""
_RANDOM_BYTES = 32
_HINT = 9
"""Letters of a key that are kept to recognise it by: 36 bits of 256, the rest stays secret."""
TOUCH_SECONDS = 60.0
"""How exactly ``used_at`` is kept: a write for every request would be too dear."""
_TOUCH_PATIENCE = 0.1
"""Seconds that a request may lose to such a note while others write."""


def create(
    database: Database,
    name: str,
    *,
    scopes: Sequence[str],
    account: str | None = None,
    requests_per_minute: int | None = None,
    audio_seconds_per_day: float | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key.

    Args:
        database: The record.
        name: For people.
        scopes: Out of ``SCOPES``.
        account: Whose key it is, with the secret of that account's webhooks; None: an account of its own.
        requests_per_minute: None: the operator's RATE_LIMIT.
        audio_seconds_per_day: None: no limit.
        expires_at: None: never.

    Returns:
        Its record and the key itself, which nobody can find out later.
    """
    key, key_id = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES), new_id()
    record = ApiKey(
        id=key_id,
        owner=account or key_id,
        name=name,
        scopes=[scope for scope in SCOPES if scope in scopes],
        requests_per_minute=requests_per_minute,
        audio_seconds_per_day=audio_seconds_per_day,
        expires_at=expires_at,
    )
    _write(database, record, key)
    return record, key


def _write(database: Database, record: ApiKey, key: str) -> None:
    """Complete the record of a new key, and keep it."""
    record.hash, record.hint, record.created_at = _hash(key), key[:_HINT], now()
    with database.write() as session:
        first = session.get(ApiKey, record.owner)
        own = f"whsec_{base64.b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode()}"
        record.webhook_secret = own if first is None else first.webhook_secret
        session.add(record)


def find(database: Database, key: str) -> ApiKey | None:
    """The record of a key that somebody brought, whether it is still good or not."""
    wanted = _hash(key)
    with database.read() as session:
        found = session.scalar(select(ApiKey).where(ApiKey.hash == wanted))
    # The index compares by its own rules (a collation may fold case); what counts is compared here.
    return found if found is not None and hmac.compare_digest(found.hash, wanted) else None


def get(database: Database, key_id: str) -> ApiKey | None:
    """A key's record by its id."""
    with database.read() as session:
        return session.get(ApiKey, key_id)


def every(database: Database) -> list[ApiKey]:
    """All keys, newest first, with those that are expired or revoked."""
    with database.read() as session:
        return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc(), ApiKey.id)))


def names(database: Database, only: Collection[str] | None = None) -> dict[str, str]:
    """What each key is called, by id; of all keys, or of those that are asked for."""
    query = select(ApiKey.id, ApiKey.name)
    if only is not None:
        query = query.where(ApiKey.id.in_(only))
    with database.read() as session:
        return {key_id: name for key_id, name in session.execute(query)}


def accounts(database: Database, *, most: int) -> list[str]:
    """Accounts that have a key which may be used; the newest, if there are more than ``most``."""
    query = select(ApiKey.owner).where(ApiKey.revoked_at.is_(None)).group_by(ApiKey.owner)
    with database.read() as session:
        return list(session.scalars(query.order_by(func.max(ApiKey.created_at).desc(), ApiKey.owner).limit(most)))


def revoke(database: Database, key_id: str) -> bool:
    """End a key for good; its first revocation counts.

    Returns:
        Whether there is such a key.
    """
    query = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now())
    with database.write() as session:
        return changed(session, query) or session.get(ApiKey, key_id) is not None


def touch(database: Database, key: ApiKey) -> None:
    """Note that a key was used, unless that was noted within the last minute.

    Raises:
        sqlalchemy.exc.OperationalError: The record is busy: whoever brought the key does not wait for it.
    """
    at = now()
    before = at - timedelta(seconds=TOUCH_SECONDS)
    if key.used_at is not None and key.used_at > before:
        return
    stale = or_(ApiKey.used_at.is_(None), ApiKey.used_at <= before)
    with database.write(patience=_TOUCH_PATIENCE) as session:
        session.execute(update(ApiKey).where(ApiKey.id == key.id, stale).values(used_at=at))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
