"""The tables. A migration in ``migrations/versions`` goes with every change here; a test holds them equal."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from store.columns import Record as Record
from store.columns import UtcDateTime as UtcDateTime  # migrations know it by this module's name
from store.counted import AccountTotal as AccountTotal
from store.counted import Total as Total
from store.installation_row import Installation as Installation

ACTIVE = ("queued", "running")
"""Statuses of a job that is not over."""
OVER = ("done", "failed", "cancelled")
WHOLE = -1
"""Item number of a step's row for the whole job; the rows of its chunks count from 0."""


class Job(Record):
    """One recording and what becomes of it: queued → running → done, failed or cancelled."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(12))
    owner: Mapped[str] = mapped_column(String(64))
    """The account of the key that made it."""
    batch: Mapped[str | None] = mapped_column(String(32))
    priority: Mapped[str] = mapped_column(String(8))
    options: Mapped[dict[str, Any]]
    """As resolved at submission: operator's defaults filled in."""
    details: Mapped[dict[str, Any]]
    """The client's ``metadata``, handed back untouched."""
    stages: Mapped[list[Any]]
    """Names of the stages it runs, in order."""
    source_name: Mapped[str]
    source_bytes: Mapped[int] = mapped_column(BigInteger)
    source_sha256: Mapped[str] = mapped_column(String(64))
    source_format: Mapped[str | None] = mapped_column(String(64))
    duration: Mapped[float | None]
    """Seconds of audio, once decoded."""
    language: Mapped[str | None] = mapped_column(String(16))
    warnings: Mapped[list[Any]]
    error: Mapped[dict[str, Any] | None]
    speaker_names: Mapped[dict[str, Any]]
    """Names that people gave to speakers, by the speaker's id; the files know only ids."""
    request_id: Mapped[str | None] = mapped_column(String(128))
    webhook_url: Mapped[str | None] = mapped_column(String(2048))
    """Who is told of its end."""
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """Of a synchronous request: what it asked for. Those that ask for the same at the same time share one job."""
    audio_quota: Mapped[float | None]
    """Seconds a day that the key it was sent with may have transcribed; None: no limit."""
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime]
    """When its work was last put on a queue."""
    lane: Mapped[str | None] = mapped_column(String(8))
    """What it waits for its turn at, or has its turn at (``store.turns``); None: nothing, or it is over."""
    admitted_at: Mapped[datetime | None]
    """Since when it has that turn; None: it waits."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    steps: Mapped[list["Step"]] = relationship(
        order_by="(Step.position, Step.item)", passive_deletes=True, cascade="all, delete-orphan"
    )

    __table_args__ = (
        Index("jobs_by_status", "status", "created_at"),
        Index("jobs_by_owner", "owner", "created_at"),
        Index("jobs_by_batch", "batch"),
        Index("jobs_by_end", "finished_at"),
        Index(
            "jobs_waiting",
            "status",  # always the same, but without it SQLite prefers jobs_by_status and sorts
            "submitted_at",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_queued",
            "status",  # as above
            "owner",
            "priority",
            "created_at",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "jobs_in_line",
            "owner",
            "lane",
            "priority",
            "created_at",
            sqlite_where=text("lane IS NOT NULL AND admitted_at IS NULL"),
            postgresql_where=text("lane IS NOT NULL AND admitted_at IS NULL"),
        ),
        Index(
            "jobs_in_turn",
            "owner",
            "lane",
            "priority",
            sqlite_where=text("lane IS NOT NULL AND admitted_at IS NOT NULL"),
            postgresql_where=text("lane IS NOT NULL AND admitted_at IS NOT NULL"),
        ),
        Index(
            "jobs_in_flight",
            "owner",
            "fingerprint",
            unique=True,
            sqlite_where=text("status IN ('queued', 'running')"),
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
    )


class Step(Record):
    """One stage of one job (item −1), or one chunk of it: pending → running → done, failed or cancelled."""

    __tablename__ = "steps"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(64), primary_key=True)
    item: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    """Place of the stage in the job's order."""
    status: Mapped[str] = mapped_column(String(12))
    total: Mapped[int | None]
    """Of a whole stage: how many items it has; None until that is known."""
    attempts: Mapped[int]
    task_id: Mapped[str | None] = mapped_column(String(64))
    """The Celery message that runs it; a redelivery has the same."""
    claim: Mapped[str | None] = mapped_column(String(32))
    """The one run that owns it now: another for every start, so that a run that was given up cannot speak for it."""
    worker: Mapped[str | None] = mapped_column(String(255))
    sent_at: Mapped[datetime | None]
    """When its message was put on a queue; None: it has none yet. That of a chain is its first stage's."""
    started_at: Mapped[datetime | None]
    alive_at: Mapped[datetime | None]
    """Last sign of life of whoever runs it."""
    finished_at: Mapped[datetime | None]


class IdempotencyKey(Record):
    """An ``Idempotency-Key`` and what the request that brought it became."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """Hash of what was asked for."""
    job_id: Mapped[str] = mapped_column(String(32))
    """The first job; no two requests have the same."""
    batch: Mapped[str | None] = mapped_column(String(32))
    jobs: Mapped[int]
    """How many there are."""
    settled: Mapped[bool]
    """Whether they are made; until then it can still come to nothing."""
    created_at: Mapped[datetime]

    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)


class ApiKey(Record):
    """A key that an administrator made; only its hash is known here."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    """The account it belongs to, which owns what is made with it: its own id, another key's, or the operator's."""
    name: Mapped[str] = mapped_column(String(200))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the key, in hexadecimal: the key is long and random, so nothing slower is needed."""
    hint: Mapped[str] = mapped_column(String(16))
    """Its first letters, by which people recognise it."""
    scopes: Mapped[list[Any]]
    """Out of ``read``, ``transcribe``, ``admin``."""
    requests_per_minute: Mapped[int | None]
    """None: the operator's RATE_LIMIT."""
    audio_seconds_per_day: Mapped[float | None]
    """None: no limit."""
    webhook_secret: Mapped[str] = mapped_column(String(80))
    """Signs the webhooks of its jobs (``whsec_…``); shown once, with the key."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    """Last use, to the minute."""


class Usage(Record):
    """What one finished job used; outlives the job."""

    __tablename__ = "usage"

    job_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """One row a job, so that nothing is booked twice."""
    owner: Mapped[str] = mapped_column(String(64))
    day: Mapped[str] = mapped_column(String(10))
    """UTC date of the end, ``YYYY-MM-DD``."""
    model: Mapped[str] = mapped_column(String(200))
    audio_seconds: Mapped[float]
    bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]

    __table_args__ = (Index("usage_by_owner", "owner", "day"), Index("usage_by_day", "day"))


class Delivery(Record):
    """A webhook: written with the status it reports, delivered until it arrives or is given up."""

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Also the ``webhook-id``, the same at every try."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(32))
    """``job.done``, ``job.failed`` or ``job.cancelled``."""
    url: Mapped[str] = mapped_column(String(2048))
    endpoint: Mapped[str] = mapped_column(String(64))
    """Whose it is and which server it goes to, hashed: those that have it in common are sent one after the other."""
    status: Mapped[str] = mapped_column(String(12))
    """``pending``, ``delivered`` or ``failed``."""
    attempts: Mapped[int]
    """Tries that were begun."""
    since_at: Mapped[datetime]
    """Since when it is being tried: its beginning, or when it was last asked to be sent again."""
    due_at: Mapped[datetime | None]
    """When to try (again); None once it is over."""
    lease_until: Mapped[datetime | None]
    """While a try goes on: after this whoever makes it counts as dead."""
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    """Why the last try failed, in a sentence."""
    created_at: Mapped[datetime]
    tried_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    tries: Mapped[list[Any]]
    """What became of each try that is over, the first one first (``store.deliveries.tries_of``)."""

    __table_args__ = (
        Index("deliveries_by_job", "job_id"),
        Index("deliveries_by_status", "status"),
        Index("deliveries_due", "due_at"),
        Index("deliveries_by_endpoint", "endpoint", "tried_at"),
        Index("deliveries_in_flight", "endpoint", "lease_until"),
    )


class ResumableUpload(Record):
    """A recording that arrives in parts (tus); finished, a job can take it."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Also the id of the folder its parts are in, and of the job that takes it."""
    owner: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    """File name to show."""
    length: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of the whole; None while the client has not said."""
    offset: Mapped[int] = mapped_column(BigInteger)
    """Bytes that are there."""
    parts: Mapped[list[Any]]
    """Names of the files that make it up, in order; none where it grows in a single one."""
    details: Mapped[str]
    """``Upload-Metadata`` as it came."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the whole, once it is there."""
    lock: Mapped[str | None] = mapped_column(String(32))
    """The request that is writing to it."""
    locked_at: Mapped[datetime | None]
    taken_at: Mapped[datetime | None]
    """When a job took it."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (Index("uploads_by_expiry", "expires_at"),)
