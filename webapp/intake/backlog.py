"""How many jobs may be queued: beyond that it is kinder to refuse than to keep waiting."""

from collections.abc import Mapping

from store import jobs, positions
from webapp.access.callers import caller
from webapp.errors import Problem
from webapp.services import Services

HARD_STOP = 2
"""So many times MAX_QUEUED_JOBS are queued at most, whoever has how few."""
_RETRY_SECONDS = 30
"""A backlog that is full is not gone in a moment."""


def check(s: Services, more: int = 1, *, account: str | None = None) -> None:
    """Refuse jobs that would make the backlog too long.

    Beyond ``MAX_QUEUED_JOBS`` an account may still have its fair part of them queued, so that whoever fills the backlog
    shuts out nobody but itself; beyond twice as many nobody may.

    Args:
        s: The services.
        more: How many jobs there are to be; all of them are refused, or none.
        account: Whose they are to be; None: the caller's.

    Raises:
        Problem: 503, the backlog is full; 413, so many never fit in.
    """
    most = s.settings.max_queued_jobs
    if not most:
        return
    if more > most:
        raise Problem(413, f"No more than {most} jobs may be queued here; send fewer recordings at once.")
    database = s.store.database
    if positions.queued_up_to(database, most) + more <= most:
        return
    mine = account if account is not None else caller().account
    queued = positions.queued_by_account(database)
    if _has_reserve(queued, mine, more, most=most):
        return
    detail = (
        "As many jobs are queued as may be here; send the recording again later."
        if more == 1
        else "So many jobs are queued that these would not fit in; send them again later, or fewer at once."
    )
    raise Problem(503, detail, code="queue_full", headers={"Retry-After": str(_RETRY_SECONDS)})


def _has_reserve(queued: Mapping[str, int], account: str, more: int, *, most: int) -> bool:
    """Whether an account may have these queued although the backlog is full."""
    accounts = len({*queued, account})
    fair = max(1, most // accounts)
    return queued.get(account, 0) + more <= fair and sum(queued.values()) + more <= HARD_STOP * most


def check_before(s: Services) -> None:
    """The same for a synchronous request whose recording has not arrived, unless it may turn out to need no new job.

    Raises:
        Problem: As ``check``.
    """
    if not jobs.shares(s.store.database, owner=caller().account):
        check(s)
