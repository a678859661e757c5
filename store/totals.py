"""Running totals of what happened here: they outlive the jobs they come from, and never go down.

Each is added to in the transaction that makes what it counts true, so none is counted twice or lost, whoever is killed
when. Add to them last, and all at once: their rows are shared by all jobs, and whoever waits for nothing else holds up
nobody for long. They are taken in one order, or two transactions could wait for each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.database import Database
from store.models import WHOLE, AccountTotal, Job, Step, Total

AUDIO = "audio"
"""Jobs that were done and their seconds of audio, by model and language; of an account, too."""
JOBS = "jobs"
"""Jobs that ended and their seconds of audio (as far as known), by outcome and error code; of an account, too."""
PIECES = "pieces"
"""Pieces of work that were done and the seconds they took, by stage and the least of ``BOUNDS`` not below them."""
WAITS = "waits"
"""Stages that began and the seconds they had been on a queue, by queue and (in one, with a space between) priority and
bound. Of a stage in chunks it is the first of them that begins: the others wait behind their own recording."""
LATE = "late"
"""Those of them that waited longer than they should, by queue and priority."""
TURNS = "turns"
"""Turns that jobs had and the seconds they had waited for them, by priority and bound (``LINES``)."""
AGAIN = "again"
"""Pieces of work that were left undone, to be begun again, by stage and reason."""
LOST = "lost"
"""Those of them whose worker had died or was cut off, by stage and who found out (``CHILD``, ``SILENT``)."""
FACTORS = "factors"
"""Jobs that were done and the seconds of work for each second of their audio, by model and bound (``RATIOS``)."""
HEARD = "heard"
"""The same of the work on their chunks alone."""
WARNED = "warned"
"""Jobs that were done with a warning, by its code; each once for each code."""
WEBHOOKS = "webhooks"
"""Tries of webhooks that are over, by what became of them, and webhooks that were given up (``GIVEN_UP``)."""
CHILD = "child"
"""A worker's parent said that the process which did the work is dead."""
SILENT = "silent"
"""Nothing was heard of the worker for too long."""
DELIVERED, REFUSED, UNANSWERED, DIED, GIVEN_UP = "delivered", "refused", "unanswered", "worker_lost", "given_up"
"""Of webhooks: it arrived; the server answered that it did not; it did not answer; nobody knows, because the worker
died; it is not tried any more."""
BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds; each total is kept under its own bound, so others may be chosen later."""
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
LINES = (1, 10, 60, 300, 900, 3600, 10800, 21600, 43200, 86400)
BEYOND = "+Inf"
MOST_ACCOUNTS = 100
"""Each account is several time series of Prometheus; those that have had the most audio are told one by one."""
_LABEL, _DETAIL = 200, 64


@dataclass(frozen=True)
class Sum:
    """One total."""

    label: str
    detail: str
    count: int
    amount: float


@dataclass(frozen=True)
class AccountSum:
    """One total of one account."""

    owner: str
    figure: str
    label: str
    detail: str
    count: int
    amount: float


@dataclass(frozen=True)
class Addition:
    """What is added to a total."""

    figure: str
    label: str
    detail: str
    amount: float = 0.0
    count: int = 1


def ended(session: Session, job_id: str, status: str) -> None:
    """Count the end of a job; in the transaction that ends it, once for each time it ends."""
    columns = (Job.owner, Job.options, Job.duration, Job.language, Job.error, Job.warnings)
    job = session.execute(select(*columns).where(Job.id == job_id)).one()
    seconds = job.duration or 0.0
    code = str((job.error or {}).get("code", "")) if status == "failed" else ""
    found = [Addition(JOBS, status, code, seconds)]
    if status == "done":
        # Its end says more than its beginning, should it be a long path.
        model = str(job.options.get("model") or "")[-_LABEL:]
        found.append(Addition(AUDIO, model, job.language or "", seconds))
        add_all(session, found, owner=job.owner)
        found += [Addition(WARNED, code, "") for code in {str(warning.get("code", "")) for warning in job.warnings}]
        found += _factors(session, job_id, model, seconds)
    else:
        add_all(session, found, owner=job.owner)
    add_all(session, found)


def _factors(session: Session, job_id: str, model: str, seconds: float) -> list[Addition]:
    """How long a job's work took, all of it and that on its chunks, for each second of audio."""
    if not seconds:
        return []
    query = select(Step.stage, Step.item, Step.started_at, Step.finished_at).where(Step.job_id == job_id)
    steps = session.execute(query).all()
    parted = {step.stage for step in steps if step.item != WHOLE}
    work, heard = 0.0, 0.0
    for step in steps:
        # A stage in chunks is done from the first one's beginning to the last one's end: no work of its own.
        if step.started_at is None or step.finished_at is None or (step.item == WHOLE and step.stage in parted):
            continue
        took = max((step.finished_at - step.started_at).total_seconds(), 0.0)
        work += took
        heard += took if step.item != WHOLE else 0.0
    found = {FACTORS: work / seconds, **({HEARD: heard / seconds} if parted else {})}
    return [Addition(figure, model, name_of(bound_of(one, RATIOS)), one) for figure, one in found.items()]


def refused(session: Session, codes: Iterable[tuple[str, str]]) -> None:
    """Count jobs that failed as soon as they were made, given as account and code of each; where they are made."""
    by_owner: dict[str, list[Addition]] = {}
    for owner, code in codes:
        by_owner.setdefault(owner, []).append(Addition(JOBS, "failed", code))
    for owner, found in sorted(by_owner.items()):
        add_all(session, found, owner=owner)
    add_all(session, [one for found in by_owner.values() for one in found])


def worked(session: Session, job_id: str, stage: str, item: int, *, at: datetime) -> None:
    """Count a piece of work that is done, from its first start on; in the transaction that makes it done."""
    begun = session.scalar(select(Step.started_at).where(Step.job_id == job_id, Step.stage == stage, Step.item == item))
    seconds = max((at - (begun or at)).total_seconds(), 0.0)
    add(session, PIECES, stage, name_of(bound_of(seconds, BOUNDS)), seconds)


def waited(*, queue: str, priority: str, seconds: float, target: float) -> list[Addition]:
    """A stage that begins, and how long it should have waited at most."""
    bound = name_of(bound_of(seconds, sorted({*BOUNDS, target})))
    late = [Addition(LATE, queue, priority, seconds)] if seconds > target else []
    return [Addition(WAITS, queue, f"{priority} {bound}", seconds), *late]


def took_turn(*, priority: str, seconds: float) -> Addition:
    """A job whose turn it is, and how long it waited for that."""
    return Addition(TURNS, priority, name_of(bound_of(seconds, LINES)), seconds)


def lost(stage: str, how: str) -> list[Addition]:
    """A piece of work that was taken from a worker that had died, or was cut off."""
    return [Addition(AGAIN, stage, "worker_lost"), Addition(LOST, stage, how)]


def bound_of(value: float, bounds: Sequence[float]) -> float:
    """The least of the bounds (in order) that is not below a value."""
    return next((bound for bound in bounds if value <= bound), float(BEYOND))


def name_of(bound: float) -> str:
    """A bound as it is kept."""
    return BEYOND if bound == float(BEYOND) else f"{bound:g}"


def add(session: Session, figure: str, label: str, detail: str, amount: float, *, count: int = 1) -> None:
    """Add a count, and an amount, to a total."""
    add_all(session, [Addition(figure, label, detail, amount, count)])


def add_all(session: Session, additions: Iterable[Addition], *, owner: str | None = None) -> None:
    """Add to several totals at once: those of the installation, or of an account."""
    sums: dict[tuple[str, str, str], list[Any]] = {}
    for one in additions:
        found = sums.setdefault((one.figure, one.label[:_LABEL], one.detail[:_DETAIL]), [0, 0.0])
        found[0] += one.count
        found[1] += one.amount
    if not sums:
        return
    names = ("figure", "label", "detail")
    more = {} if owner is None else {"owner": owner}
    rows = [
        {**more, **dict(zip(names, key, strict=True)), "count": n, "amount": x} for key, (n, x) in sorted(sums.items())
    ]
    table: type[Total] | type[AccountTotal] = Total if owner is None else AccountTotal
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    new = insert(table).values(rows)
    values = {"count": table.count + new.excluded.count, "amount": table.amount + new.excluded.amount}
    session.execute(new.on_conflict_do_update(index_elements=[*more, *names], set_=values))


def read(database: Database) -> dict[str, list[Sum]]:
    """All totals by figure."""
    names = (AUDIO, JOBS, PIECES, WAITS, LATE, TURNS, AGAIN, LOST, FACTORS, HEARD, WARNED, WEBHOOKS)
    found: dict[str, list[Sum]] = {name: [] for name in names}
    with database.read() as session:
        query = select(Total.figure, Total.label, Total.detail, Total.count, Total.amount)
        for row in session.execute(query.order_by(Total.figure, Total.label, Total.detail)):
            found.setdefault(row.figure, []).append(Sum(row.label, row.detail, row[3], row.amount))
    return found


def of_accounts(database: Database, *, most: int = MOST_ACCOUNTS) -> list[AccountSum]:
    """Totals of accounts; of those that have had the most audio, if there are more than ``most``."""
    t = AccountTotal
    largest = select(t.owner).where(t.figure == JOBS).group_by(t.owner)
    chosen = largest.order_by(func.sum(t.amount).desc(), func.sum(t.count).desc(), t.owner).limit(most).subquery()
    known = and_(t.figure.in_((AUDIO, JOBS)), t.owner.in_(select(chosen.c.owner)))
    query = select(t.owner, t.figure, t.label, t.detail, t.count, t.amount).where(known)
    with database.read() as session:
        return [AccountSum(*row) for row in session.execute(query.order_by(t.figure, t.owner, t.label, t.detail))]
