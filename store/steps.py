"""Records of the pieces of a job's work: who runs which, how often it was started, which are done."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import Update, and_, func, or_, select, true, update
from sqlalchemy.orm import Session

from store import totals
from store.database import Database, changed
from store.jobs import now
from store.models import ACTIVE, WHOLE, Job, Step
from store.pieces import Piece as Piece
from store.pieces import Wait as Wait
from store.pieces import active, here, hold, mine, undone
from store.totals import Addition

LOST_SECONDS = 600.0
"""A message that was sent this long ago and has not begun may be lost."""


class Begin(Enum):
    """What a worker that was handed a piece of work should do."""

    RUN = "run"
    """It is yours."""
    DONE = "done"
    """Somebody finished it before: see that the job goes on."""
    TAKEN = "taken"
    """Somebody else is at it."""
    OVER = "over"
    """The job is over, or gone."""
    EXHAUSTED = "exhausted"
    """It was started too often without coming to an end."""


def begin(
    database: Database,
    piece: Piece,
    *,
    task_id: str,
    worker: str,
    max_attempts: int,
    stale_seconds: float,
    wait: Wait | None = None,
) -> tuple[Begin, str]:
    """Claim a piece of work.

    Pending work is anybody's. Running work is taken over once it has shown no sign of life for ``stale_seconds``; the
    run that had it learns of that by its claim, which is then no longer the record's.

    Returns:
        What to do, and for ``RUN`` the claim to do it under.
    """
    at, claim = now(), uuid.uuid4().hex
    with database.write() as session:
        priority = hold(session, piece.job_id)
        if priority is None:
            return Begin.OVER, ""
        counted = _free_stale(session, piece, before=at - timedelta(seconds=stale_seconds))
        new = session.scalar(select(Step.started_at.is_(None)).where(here(piece)))
        free = update(Step).where(here(piece), Step.status == "pending", active(piece), Step.attempts < max_attempts)
        values = {"status": "running", "attempts": Step.attempts + 1, "claim": claim, "task_id": task_id}
        times = {"started_at": func.coalesce(Step.started_at, at), "alive_at": at}
        won = changed(session, free.values(worker=worker, **values, **times))
        if won:
            first = _mark_started(session, piece, at)
            counted += _waited(wait, priority, at) if wait is not None and new and first else []
        totals.add_all(session, counted)
        return (Begin.RUN, claim) if won else (_why_not(session, piece, max_attempts), "")


def _free_stale(session: Session, piece: Piece, *, before: datetime) -> list[Addition]:
    """Running → pending if there was no sign of life since; how that counts."""
    stale = and_(here(piece), Step.status == "running", Step.alive_at < before)
    dead = changed(session, update(Step).where(stale).values(status="pending"))
    return totals.lost(piece.stage, totals.SILENT) if dead else []


def _why_not(session: Session, piece: Piece, max_attempts: int) -> Begin:
    step = session.execute(select(Step.status, Step.attempts).where(here(piece))).one_or_none()
    if step is None:
        return Begin.OVER
    if step.status == "done":
        return Begin.DONE
    # Who was at it may have freed it just now, between our change and our look.
    return Begin.EXHAUSTED if step.attempts >= max_attempts and step.status == "pending" else Begin.TAKEN


def _waited(wait: Wait, priority: str, at: datetime) -> list[Addition]:
    seconds = max(at.timestamp() - wait.since, 0.0)
    return totals.waited(queue=wait.queue, priority=priority, seconds=seconds, target=wait.target)


def _mark_started(session: Session, piece: Piece, at: datetime) -> bool:
    """With its first piece of work the job runs, and with its first chunk the stage; whether the stage began."""
    began = func.coalesce(Job.started_at, at)
    job = update(Job).where(Job.id == piece.job_id, Job.status == "queued").values(status="running", started_at=began)
    whole = and_(here(Piece(piece.job_id, piece.stage)), Step.status == "pending")
    session.execute(job)
    begun = changed(session, update(Step).where(whole).values(status="running", started_at=at))
    return begun or piece.item == WHOLE


def alive(database: Database, piece: Piece, claim: str) -> bool:
    """Give a sign of life; whether the work is still wanted and still this run's."""
    with database.write() as session:
        return changed(session, update(Step).where(mine(piece, claim), active(piece)).values(alive_at=now()))


def release(database: Database, piece: Piece, claim: str, *, refund: bool, reason: str = "") -> None:
    """Running → pending: it will be tried again.

    Args:
        database: The record.
        piece: The work.
        claim: This run's; nothing happens if the work is somebody else's by now.
        refund: Whether the start does not count, because what went wrong was neither the work's nor its worker's.
        reason: Why it is left undone, in a word.
    """
    attempts = Step.attempts - 1 if refund else Step.attempts
    with database.write() as session:
        if changed(session, update(Step).where(mine(piece, claim)).values(status="pending", attempts=attempts)):
            totals.add(session, totals.AGAIN, piece.stage, reason, 0.0)


def free_dead(database: Database, piece: Piece, *, task_id: str, worker: str) -> None:
    """Running → pending, said by the parent of the process that ran it and is dead."""
    theirs = and_(here(piece), Step.status == "running", Step.task_id == task_id, Step.worker == worker)
    with database.write() as session:
        if changed(session, update(Step).where(theirs).values(status="pending")):
            totals.add_all(session, totals.lost(piece.stage, totals.CHILD))


def wear_out(database: Database, piece: Piece, *, task_id: str, attempts: int) -> None:
    """Running → pending, with all its starts used up: whoever begins it next is told so."""
    theirs = and_(here(piece), Step.status == "running", Step.task_id == task_id)
    with database.write() as session:
        if changed(session, update(Step).where(theirs).values(status="pending", attempts=attempts, sent_at=None)):
            totals.add(session, totals.AGAIN, piece.stage, "timeout", 0.0)


def done(database: Database, piece: Piece, claim: str) -> bool:
    """Running → done; whether this run did it. The last chunk of a stage finishes the stage.

    Asked again, because the first answer was lost with the database's connection, the answer is the same.
    """
    at = now()
    with database.write() as session:
        hold(session, piece.job_id)
        if piece.item != WHOLE:
            # Two last chunks at once must see each other: one waits here (on SQLite, at the beginning of the block).
            session.execute(select(Step.stage).where(here(Piece(piece.job_id, piece.stage))).with_for_update())
        won = changed(session, update(Step).where(mine(piece, claim)).values(status="done", finished_at=at))
        if won and piece.item != WHOLE:
            left = select(func.count()).select_from(Step).where(undone(piece.job_id, piece.stage))
            if not session.scalar(left):
                whole = and_(here(Piece(piece.job_id, piece.stage)), Step.total.is_not(None))
                session.execute(update(Step).where(whole).values(status="done", finished_at=at))
        if won:
            totals.worked(session, piece.job_id, piece.stage, piece.item, at=at)
        ours = and_(here(piece), Step.status == "done", Step.claim == claim)
        return won or session.scalar(select(Step.stage).where(ours)) is not None


def attempts(database: Database, piece: Piece) -> int:
    """How often a piece of work was started."""
    with database.read() as session:
        return session.scalar(select(Step.attempts).where(here(piece))) or 0


def runs_for(database: Database, piece: Piece) -> str | None:
    """The message that runs a piece of work, or ran it last."""
    with database.read() as session:
        return session.scalar(select(Step.task_id).where(here(piece)))


def scatter(database: Database, job_id: str, stage: str, *, count: int) -> list[int]:
    """Make the rows of a stage's chunks, once; the numbers of those that are not done. No chunks: the stage is done."""
    at = now()
    with database.write() as session:
        hold(session, job_id)  # else who deletes it, and we, could wait for each other
        whole = session.get(Step, (job_id, stage, WHOLE), with_for_update=True)
        if whole is None:
            return []
        if whole.total is None:
            whole.total = count
            session.add_all(
                Step(job_id=job_id, stage=stage, item=n, position=whole.position, status="pending", attempts=0, total=1)
                for n in range(count)
            )
        session.flush()
        left = list(session.scalars(select(Step.item).where(undone(job_id, stage)).order_by(Step.item)))
        if not left and whole.status != "done":
            whole.status, whole.started_at, whole.finished_at = "done", whole.started_at or at, at
        return left


def take_next(database: Database, job_id: str, stage: str, *, window: int, anew: bool = False) -> list[int]:
    """Choose the chunks of a stage to send now, so that no more than ``window`` are sent and not done.

    Args:
        database: The record.
        job_id: The job.
        stage: The stage, scattered.
        window: How many.
        anew: Whether all that were sent before may be lost: the first ``window`` that are not done are chosen again.

    Returns:
        Their numbers; no other caller gets the same unless ``anew``. The caller sends them, or gives them back.
    """
    at = now()
    chunks = and_(Step.job_id == job_id, Step.stage == stage, Step.item != WHOLE)
    waiting = and_(chunks, Step.status == "pending")
    with database.write() as session:
        if hold(session, job_id) is None:
            return []
        # What was sent long ago may be lost. If it is not, it is merely sent twice, and claimed once.
        lost = true() if anew else Step.sent_at < at - timedelta(seconds=LOST_SECONDS)
        _change(session, update(Step).where(waiting, lost).values(sent_at=None))
        if anew:
            found = select(Step.item).where(undone(job_id, stage)).order_by(Step.item).limit(window)
        else:
            under_way = or_(Step.status == "running", and_(Step.status == "pending", Step.sent_at.is_not(None)))
            sent = session.scalar(select(func.count()).select_from(Step).where(chunks, under_way)) or 0
            unsent = select(Step.item).where(waiting, Step.sent_at.is_(None)).order_by(Step.item)
            found = unsent.limit(max(0, window - sent))
        items = list(session.scalars(found))
        if items:
            _change(session, update(Step).where(chunks, Step.item.in_(items)).values(sent_at=at))
            _change(session, update(Job).where(Job.id == job_id).values(submitted_at=at))
        return items


def take_whole(database: Database, job_id: str, stage: str, *, anew: bool = False) -> bool:
    """Note that a whole stage is being sent; False if it was before, or runs, unless ``anew``."""
    at = now()
    lost = or_(Step.sent_at.is_(None), Step.sent_at < at - timedelta(seconds=LOST_SECONDS))
    unsent = true() if anew else and_(Step.status == "pending", lost)
    with database.write() as session:
        if hold(session, job_id) is None:
            return False
        won = changed(session, update(Step).where(here(Piece(job_id, stage)), unsent).values(sent_at=at))
        if won:
            _change(session, update(Job).where(Job.id == job_id).values(submitted_at=at))
        return won


def give_back(database: Database, job_id: str, stage: str, items: Sequence[int]) -> None:
    """Note that pieces of work that were taken could not be sent."""
    pieces = and_(Step.job_id == job_id, Step.stage == stage, Step.item.in_(items))
    with database.write() as session:
        _change(session, update(Step).where(pieces).values(sent_at=None))


def finished(database: Database, job_id: str) -> set[str]:
    """Names of a job's stages that are done."""
    with database.read() as session:
        query = select(Step.stage).where(Step.job_id == job_id, Step.item == WHOLE, Step.status == "done")
        return set(session.scalars(query))


def done_items(database: Database, job_id: str, stage: str, *, first: int = 0) -> list[int]:
    """Numbers of a stage's chunks that are done, from ``first`` on, in order."""
    with database.read() as session:
        query = select(Step.item).where(Step.job_id == job_id, Step.stage == stage, Step.status == "done")
        return list(session.scalars(query.where(Step.item >= first).order_by(Step.item)))


def silent(database: Database, *, seconds: float) -> dict[Piece, datetime]:
    """Running work of active jobs that has shown no sign of life for this long, with its last one."""
    dead = and_(Step.status == "running", Step.alive_at < now() - timedelta(seconds=seconds))
    going = select(Job.id).where(Job.status.in_(ACTIVE))
    with database.read() as session:
        query = select(Step.job_id, Step.stage, Step.item, Step.alive_at).where(dead, Step.job_id.in_(going))
        return {Piece(*row[:3]): row[3] for row in session.execute(query) if row[3] is not None}


def free(database: Database, found: Mapping[Piece, datetime]) -> list[str]:
    """Running → pending, where the last sign of life is still the one that was found; the jobs this freed some of."""
    freed = []
    for piece, at in found.items():
        dead = and_(here(piece), Step.status == "running", Step.alive_at == at)
        with database.write() as session:
            if changed(session, update(Step).where(dead).values(status="pending")):
                totals.add_all(session, totals.lost(piece.stage, totals.SILENT))
                freed.append(piece.job_id)
    return list(dict.fromkeys(freed))


def _change(session: Session, statement: Update) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})
