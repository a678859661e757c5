"""The tables. A migration in ``migrations/versions`` goes with every change here; a test holds them equal."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, String, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

ACTIVE = ("queued", "running")
"""Statuses of a job that is not over."""
OVER = ("done", "failed", "cancelled")
WHOLE = -1
"""Item number of a step's row for the whole job; the rows of its chunks count from 0."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, also on SQLite, which forgets time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Record(DeclarativeBase):
    """Base of the tables."""

    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012  # SQLAlchemy's


class Job(Record):
    """One recording and what becomes of it: queued → running → done, failed or cancelled."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(12))
    owner: Mapped[str] = mapped_column(String(64))
    """Id of the key that made it."""
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
    request_id: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime]
    """When its work was last put on a queue."""
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
    started_at: Mapped[datetime | None]
    alive_at: Mapped[datetime | None]
    """Last sign of life of whoever runs it."""
    finished_at: Mapped[datetime | None]


class Key(Record):
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
    """Whether they are made and queued; until then it can still come to nothing."""
    created_at: Mapped[datetime]

    __table_args__ = (Index("idempotency_keys_by_age", "created_at"),)
