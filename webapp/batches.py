"""Batches: listed, waited for, cancelled."""

from collections import Counter
from typing import Annotated

from flask import Blueprint, jsonify, request
from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from store import batches, jobs
from store.models import Job
from tasks import webhooks
from webapp import schemas
from webapp.access.auth import caller
from webapp.errors import Problem
from webapp.lookup import is_id
from webapp.openapi import Answer, Operation, documented
from webapp.paging import CURSOR, LIMIT, no_cursor, page_size
from webapp.services import Services, services
from webapp.waiting.ends import WAIT, until_over, wait_seconds

routes = Blueprint("batches", __name__)

_MOST_JOBS = 1000


class BatchSummary(TypedDict):
    """A batch without its jobs."""

    batch: str
    created_at: schemas.Time
    counts: dict[schemas.Status, int]


class BatchPage(TypedDict):
    """Batches, newest first."""

    batches: list[BatchSummary]
    next_cursor: Annotated[str | None, Field(description="For the parameter cursor; null on the last page.")]


@routes.get("/v1/batches")
@documented(
    Operation(
        summary="List batches, newest first",
        description="A batch is there as long as one of its jobs is.",
        answers={200: Answer("A page of batches, and how many of their jobs are in which status.", BatchPage)},
        problems=(400,),
        parameters=(LIMIT, CURSOR),
    )
)
def page() -> AnyResponse:
    """One page of batches."""
    s = services()
    limit = page_size()
    try:
        found, following = batches.page(
            s.store.database, owner=caller().sees, limit=limit, cursor=request.args.get("cursor")
        )
    except ValueError as error:
        raise no_cursor() from error
    shown = [
        {"batch": one.id, "created_at": schemas.timestamp(one.created_at), "counts": _counts(one.counts)}
        for one in found
    ]
    return jsonify({"batches": shown, "next_cursor": following})


@routes.get("/v1/batches/<batch_id>")
@documented(
    Operation(
        summary="Look at a batch, or wait for its end",
        description="It is over once each of its jobs is done, failed or cancelled. While very many requests wait, "
        "further ones are answered at once.",
        answers={200: Answer("Its jobs and counts by status.", schemas.Batch)},
        problems=(400, 404),
        parameters=(WAIT,),
    )
)
def show(batch_id: str) -> AnyResponse:
    """The jobs of one request."""
    s = services()
    seconds = wait_seconds(s)
    if seconds and _active(s, batch_id):
        until_over(s, lambda: next(iter(_active(s, batch_id)), None), seconds)
    return jsonify(_view(s, batch_id))


@routes.post("/v1/batches/<batch_id>/cancel")
@documented(
    Operation(
        summary="Stop a batch",
        description="All of its jobs that are not over; the others stay as they are.",
        answers={200: Answer("The batch, with nothing of it queued or running.", schemas.Batch)},
        problems=(404, 409),
    )
)
def cancel(batch_id: str) -> AnyResponse:
    """Stop what is not over."""
    s = services()
    _found(s, batch_id)
    # The last first: a place that becomes free is not taken by another of them.
    cancelled = [job_id for job_id in _active(s, batch_id) if jobs.cancel(s.store.database, job_id)]
    if not cancelled:
        raise Problem(409, "All jobs of the batch are over already, so there is nothing to cancel.")
    for job_id in cancelled:
        s.store.events.changed(job_id)
    webhooks.tell(s.flow)
    s.flow.ended(cancelled[0])
    return jsonify(_view(s, batch_id))


def _active(s: Services, batch_id: str) -> list[str]:
    return batches.active(s.store.database, batch_id, owner=caller().sees) if is_id(batch_id) else []


def _found(s: Services, batch_id: str) -> list[Job]:
    """The jobs of a batch in the order of their recordings, if the caller may see it.

    Raises:
        Problem: 404.
    """
    found: list[Job] = []
    if is_id(batch_id):
        found, _ = jobs.page(s.store.database, owner=caller().sees, batch=batch_id, limit=_MOST_JOBS)
    if not found:
        raise Problem(404, "There is no such batch; check its id, or list the batches there are at /v1/batches.")
    return found[::-1]


def _view(s: Services, batch_id: str) -> schemas.Batch:
    found = _found(s, batch_id)
    counts = Counter(job.status for job in found)
    return {"batch": batch_id, "counts": _counts(counts), "jobs": schemas.job_views(s, found)}


def _counts(found: dict[str, int]) -> dict[schemas.Status, int]:
    return {status: found.get(status, 0) for status in schemas.STATUSES}
