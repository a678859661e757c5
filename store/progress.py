"""How far a job is: pure figures from its steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store.models import WHOLE, Step


@dataclass(frozen=True)
class StageProgress:
    """One stage of a job, its chunks taken together."""

    stage: str
    status: str
    done: int
    total: int | None
    """Pieces of work; None until that is known."""
    attempts: int
    """Starts of the piece that was started most often."""
    seconds: float | None
    """Wall-clock time since its first start; None before."""
    fraction: float
    """Share that is done, 0 to 1, the running pieces counted by how far they are."""


def by_stage(steps: Sequence[Step], fractions: Mapping[tuple[str, int], float], *, at: datetime) -> list[StageProgress]:
    """A job's stages in order."""
    wholes = sorted((s for s in steps if s.item == WHOLE), key=lambda s: s.position)
    return [_stage(whole, [s for s in steps if s.stage == whole.stage], fractions, at) for whole in wholes]


def overall(stages: Sequence[StageProgress], weights: Mapping[str, float]) -> float:
    """Share of the whole job that is done, 0 to 1, each stage counted by its weight."""
    total = sum(weights.get(s.stage, 1.0) for s in stages)
    if not total:
        return 0.0
    return round(sum(weights.get(s.stage, 1.0) * s.fraction for s in stages) / total, 4)


def last_news(steps: Sequence[Step], reported: datetime | None) -> datetime | None:
    """When the share that is done last changed: a progress report, or a step that ended."""
    return max((at for at in (reported, *(s.finished_at for s in steps)) if at is not None), default=None)


def eta(fraction: float, started: datetime | None, *, at: datetime, reported: datetime | None = None) -> int | None:
    """Seconds until the end if it goes on like this; None while too little is done to tell.

    Args:
        fraction: Share of the job that is done.
        started: When it began.
        at: Now.
        reported: When that share was true. Progress comes in steps: between two of them the end comes nearer, and the
            time since the last is no sign that the work has become slower.
    """
    if started is None or fraction < 0.03:
        return None
    known = min(max(reported or at, started), at)
    left = (known - started).total_seconds() * (1 - fraction) / fraction
    return max(1, round(left - (at - known).total_seconds()))


def _stage(
    whole: Step, rows: Sequence[Step], fractions: Mapping[tuple[str, int], float], at: datetime
) -> StageProgress:
    items = [s for s in rows if s.item != WHOLE]
    pieces = items or [whole]
    done = sum(s.status == "done" for s in pieces)
    running = sum(fractions.get((s.stage, s.item), 0.0) for s in pieces if s.status == "running")
    fraction = 1.0 if whole.status == "done" else min((done + running) / len(pieces), 1.0)
    seconds = ((whole.finished_at or at) - whole.started_at).total_seconds() if whole.started_at else None
    return StageProgress(
        stage=whole.stage,
        status=whole.status,
        done=done if whole.total is None or whole.total else 0,
        total=whole.total,
        attempts=max((s.attempts for s in pieces), default=0),
        seconds=None if seconds is None else round(max(seconds, 0.0), 3),
        fraction=fraction,
    )
