"""How many jobs may be queued: beyond that it is kinder to refuse than to keep waiting."""

from store import jobs, positions
from webapp.access.callers import caller
from webapp.errors import Problem
from webapp.services import Services

_RETRY_SECONDS = 30
"""A backlog that is full is not gone in a moment."""


def check(s: Services, more: int = 1) -> None:
    """Refuse jobs that would make the backlog too long.

    Args:
        s: The services.
        more: How many jobs there are to be; all of them are refused, or none.

    Raises:
        Problem: 503, the backlog is full; 413, so many never fit in.
    """
    most = s.settings.max_queued_jobs
    if not most:
        return
    if more > most:
        raise Problem(413, f"No more than {most} jobs may be queued here; send fewer recordings at once.")
    if positions.queued_up_to(s.store.database, most) + more <= most:
        return
    detail = (
        "As many jobs are queued as may be here; send the recording again later."
        if more == 1
        else "So many jobs are queued that these would not fit in; send them again later, or fewer at once."
    )
    raise Problem(503, detail, code="queue_full", headers={"Retry-After": str(_RETRY_SECONDS)})


def check_before(s: Services) -> None:
    """The same for a synchronous request whose recording has not arrived, unless it may turn out to need no new job.

    Raises:
        Problem: As ``check``.
    """
    if not jobs.shares(s.store.database, owner=caller().account):
        check(s)
