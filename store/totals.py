"""Running totals of what happened here: they outlive the jobs they come from, and never go down.

Each is added to in the transaction that makes what it counts true, so none is counted twice or lost, whoever is killed
when. Add to them last: their rows are shared by all jobs, and whoever waits for nothing else holds up nobody for long.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.database import Database
from store.models import Job, Step, Total

AUDIO = "audio"
"""Jobs that were done and their seconds of audio, by model and language."""
JOBS = "jobs"
"""Jobs that ended and their seconds of audio (as far as known), by outcome and error code."""
PIECES = "pieces"
"""Pieces of work that were done and the seconds they took, by stage and the least of ``BOUNDS`` not below them."""
BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds; each total is kept under its own bound, so others may be chosen later."""
BEYOND = "+Inf"
_LABEL, _DETAIL = 200, 64


@dataclass(frozen=True)
class Sum:
    """One total."""

    label: str
    detail: str
    count: int
    amount: float


def ended(session: Session, job_id: str, status: str) -> None:
    """Count the end of a job; in the transaction that ends it, once for each time it ends."""
    job = session.execute(select(Job.options, Job.duration, Job.language, Job.error).where(Job.id == job_id)).one()
    seconds = job.duration or 0.0
    if status == "done":
        # Its end says more than its beginning, should it be a long path.
        add(session, AUDIO, str(job.options.get("model") or "")[-_LABEL:], job.language or "", seconds)
    code = str((job.error or {}).get("code", "")) if status == "failed" else ""
    add(session, JOBS, status, code, seconds)


def refused(session: Session, code: str, *, count: int) -> None:
    """Count jobs that failed as soon as they were made; in the transaction that makes them."""
    add(session, JOBS, "failed", code, 0.0, count=count)


def worked(session: Session, job_id: str, stage: str, item: int, *, at: datetime) -> None:
    """Count a piece of work that is done, from its first start on; in the transaction that makes it done."""
    begun = session.scalar(select(Step.started_at).where(Step.job_id == job_id, Step.stage == stage, Step.item == item))
    seconds = max((at - (begun or at)).total_seconds(), 0.0)
    bound = next((bound for bound in BOUNDS if seconds <= bound), float(BEYOND))
    add(session, PIECES, stage, name_of(bound), seconds)


def name_of(bound: float) -> str:
    """A bound as it is kept."""
    return BEYOND if bound == float(BEYOND) else f"{bound:g}"


def add(session: Session, figure: str, label: str, detail: str, amount: float, *, count: int = 1) -> None:
    """Add a count, and an amount, to a total."""
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    row = {"figure": figure, "label": label[:_LABEL], "detail": detail[:_DETAIL], "count": count, "amount": amount}
    more = {"count": Total.count + count, "amount": Total.amount + amount}
    session.execute(
        insert(Total).values(row).on_conflict_do_update(index_elements=["figure", "label", "detail"], set_=more)
    )


def read(database: Database) -> dict[str, list[Sum]]:
    """All totals by figure."""
    found: dict[str, list[Sum]] = {AUDIO: [], JOBS: [], PIECES: []}
    with database.read() as session:
        query = select(Total.figure, Total.label, Total.detail, Total.count, Total.amount)
        for row in session.execute(query.order_by(Total.figure, Total.label, Total.detail)):
            found.setdefault(row.figure, []).append(Sum(row.label, row.detail, row[3], row.amount))
    return found
