"""How the pieces of a job's work are found in the record, for those who change them."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from store.models import ACTIVE, WHOLE, Job, Step


class Piece(NamedTuple):
    """One piece of work: a stage of a job, or one chunk of it."""

    job_id: str
    stage: str
    item: int = WHOLE


@dataclass(frozen=True)
class Wait:
    """Since when a piece of work has been on a queue."""

    queue: str
    since: float
    """Seconds since 1970."""
    target: float
    """Seconds that it should have waited at most."""


def hold(session: Session, job_id: str) -> str | None:
    """One at a time sends work of a job: two chunks that end at once choose different ones.

    The job first, then its steps, as everybody must who changes both: else two could wait for each other.

    Returns:
        Its priority; None: it is over, or gone.
    """
    held = select(Job.priority).where(Job.id == job_id, Job.status.in_(ACTIVE)).with_for_update(key_share=True)
    return session.scalar(held)


def here(piece: Piece) -> ColumnElement[bool]:
    """Its row."""
    return and_(Step.job_id == piece.job_id, Step.stage == piece.stage, Step.item == piece.item)


def mine(piece: Piece, claim: str) -> ColumnElement[bool]:
    """Its row, as long as the run that has this claim owns it."""
    return and_(here(piece), Step.status == "running", Step.claim == claim)


def active(piece: Piece) -> ColumnElement[bool]:
    """Whether its job is not over."""
    return select(Job.id).where(Job.id == piece.job_id, Job.status.in_(ACTIVE)).exists()


def undone(job_id: str, stage: str) -> ColumnElement[bool]:
    """The chunks of a stage that are not done."""
    return and_(Step.job_id == job_id, Step.stage == stage, Step.item != WHOLE, Step.status != "done")
