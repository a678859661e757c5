"""What the log and the job's trace are told of work and of the end of a job; of all of it the record knows already.

Called by whoever ended a job, once that is written. A process that dies in between leaves no line, but the record.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import and_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import selectinload

from config import tracing
from store.database import Database
from store.models import WHOLE, Job, Step
from store.pieces import Piece

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Facts:
    """What is told of a piece of work beside its name; None: not known."""

    attempt: int | None = None
    """How often it was started, this time included."""
    request_id: str | None = None
    """Of the request that set its job going."""
    audio_seconds: float | None = None
    """Of the whole recording."""
    model: str | None = None


def facts(database: Database, piece: Piece) -> Facts:
    """What is told of a piece of work."""
    here = and_(Step.job_id == Job.id, Step.stage == piece.stage, Step.item == piece.item)
    query = select(Step.attempts, Job.request_id, Job.duration, Job.options).join(Step, here)
    with database.read() as session:
        found = session.execute(query.where(Job.id == piece.job_id)).one_or_none()
    return Facts() if found is None else Facts(found[0], found[1], found[2], _model(found[3]))


def note(database: Database, job_id: str) -> Literal[True]:
    """Tell of the end of a job, as the record has it. Never raises."""
    try:
        with database.read() as session:
            job = session.scalar(select(Job).where(Job.id == job_id).options(selectinload(Job.steps)))
    except SQLAlchemyError as error:
        log.warning("the end of a job is not told: the record is away", job=job_id, error=type(error).__name__)
        return True
    if job is not None and job.finished_at is not None:
        tell(job, job.finished_at)
    return True


def tell(job: Job, end: datetime) -> None:
    """Tell of the end of a job: a line with what planning for more of them takes, and spans that only now are over."""
    told = figures(job, end)
    log.info("job ended", **told)
    if not tracing.enabled():
        return
    parted = {step.stage for step in job.steps if step.item != WHOLE}
    for step in job.steps:
        if step.item == WHOLE and step.stage in parted and step.started_at is not None:
            _span(job, step.stage, step.started_at, step.finished_at or end, {"stage": step.stage}, own=step.stage)
    flat = {name: value for name, value in told.items() if isinstance(value, str | int | float)}
    _span(job, "job", job.created_at, end, {**flat, "outcome": job.status})


def _span(job: Job, name: str, start: datetime, end: datetime, attributes: dict[str, Any], *, own: str = "") -> None:
    tracing.emit(
        job.id,
        name,
        start=start.timestamp(),
        end=end.timestamp(),
        failed=str((job.error or {}).get("code", "failed")) if job.status == "failed" and name == "job" else None,
        own=own,
        attributes={f"longhand.{key}": value for key, value in attributes.items()},
    )


def figures(job: Job, end: datetime) -> dict[str, Any]:
    """What is told of a job that is over; nothing that anybody said, named or chose to call it."""
    work = [step for step in job.steps if _was_worked_on(step, job.steps)]
    seconds: defaultdict[str, float] = defaultdict(float)
    for step in work:
        seconds[step.stage] += _between(step.started_at, step.finished_at or end)
    total, latency = sum(seconds.values()), _between(job.created_at, end)
    busy = _covered([(s.started_at, s.finished_at or end) for s in work if s.started_at is not None])
    return {
        "job": job.id,
        "batch": job.batch,
        "request_id": job.request_id,
        "account": job.owner,
        "priority": job.priority,
        "outcome": job.status,
        "code": (job.error or {}).get("code"),
        "stage": (job.error or {}).get("stage"),
        "model": _model(job.options),
        "language": job.language,
        "audio_seconds": job.duration,
        "bytes": job.source_bytes,
        "latency_seconds": round(latency, 3),
        "queued_seconds": round(_between(job.created_at, job.started_at or end), 3),
        "waiting_seconds": round(max(latency - busy, 0.0), 3),
        "work_seconds": round(total, 3),
        "stage_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "chunks": sum(step.item != WHOLE for step in job.steps),
        "restarts": sum(max(step.attempts - 1, 0) for step in job.steps),
        "real_time_factor": round(total / job.duration, 4) if job.duration else None,
    }


def _was_worked_on(step: Step, steps: Sequence[Step]) -> bool:
    """A stage in chunks lasts from the first one's begin to the last one's end: its work is theirs."""
    whole_of_chunks = step.item == WHOLE and any(s.stage == step.stage and s.item != WHOLE for s in steps)
    return step.started_at is not None and not whole_of_chunks


def _covered(times: Sequence[tuple[datetime, datetime]]) -> float:
    """Seconds in which at least one of these was going on."""
    seconds, reached = 0.0, None
    for start, end in sorted(times):
        begin = start if reached is None else max(start, reached)
        seconds += max((end - begin).total_seconds(), 0.0)
        reached = end if reached is None else max(end, reached)
    return seconds


def _between(start: datetime | None, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0) if start is not None else 0.0


def _model(options: dict[str, Any]) -> str | None:
    """The model's name; of a folder of the operator's only what it is called."""
    name = str(options.get("model") or "").rstrip("/")
    return name.rpartition("/")[2] if name.startswith(("/", ".")) else name or None
