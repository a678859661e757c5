"""Jobs: made, listed, waited for, cancelled, deleted."""

import contextlib
import math
import time
from collections import Counter
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from store import jobs, uploads
from store.models import OVER, Job
from tasks import webhooks
from tasks.flow import QueueUnavailable
from webapp import schemas
from webapp.access import limits
from webapp.access.auth import caller
from webapp.connection import Receiver
from webapp.errors import Problem, bad_option
from webapp.intake import submission
from webapp.intake.bodies import is_bare
from webapp.intake.uploads import SOURCE
from webapp.lookup import find_job, is_id
from webapp.openapi import REPLAYED, Answer, Header, Operation, Parameter, documented
from webapp.services import Services, services

routes = Blueprint("jobs", __name__)

MAX_PAGE = 200
_PAGE = 50
_MAX_BATCH = 1000
_LOOK_SECONDS = 15.0
"""How often a request that waits looks whether its client is still there."""

_STATUS = Parameter("status", "Only jobs in this status.", {"type": "string", "enum": list(schemas.STATUSES)})
_LIMIT = Parameter(
    "limit", "Jobs on the page.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": _PAGE}
)
_CURSOR = Parameter("cursor", "next_cursor of the page before.", {"type": "string", "pattern": jobs.CURSOR})
_KEY = Parameter(
    submission.KEY,
    "Makes it safe to send a request again: the same key with the same recordings and options within 24 hours gives "
    "the job that was made the first time; with others it is refused (422).",
    {"type": "string", "pattern": submission.KEY_PATTERN},
    where="header",
)
_WAIT = Parameter(
    "wait",
    "Seconds to wait for the job's end; never longer than the operator allows (SYNC_TIMEOUT_SECONDS).",
    {"type": "number", "minimum": 0, "default": 0},
)


@routes.post("/v1/jobs")
@documented(
    Operation(
        summary="Send a recording, or several as a batch",
        description="Lists are sent as a repeated field, with commas, or as a JSON array; an empty field counts as not "
        "given, but for url and upload; diarize is understood as diarise, and keywords as hotwords. A recording may "
        "also be the body itself (audio/*, video/*, application/octet-stream): then the options are query parameters "
        "of the same names (the option.* among the components), and name, or Content-Disposition, says what it is "
        "called.",
        answers={
            202: Answer(
                "Accepted: the job, or for several recordings the batch.",
                schemas.JobView | schemas.NewBatch,
                headers={"Location": Header("Address of the job, or of the batch."), "Idempotency-Replayed": REPLAYED},
            )
        },
        problems=(400, 404, 408, 409, 413, 415, 422, 503),
        parameters=(_KEY,),
        takes_job=True,
    )
)
def create() -> AnyResponse:
    """Accept recordings."""
    if not is_bare(request):
        _no_parameters()
    s = services()
    accepted = submission.accept(s, request)
    if not accepted.jobs:
        raise Problem(404, "What was made of this was deleted at once; send it again if that was a mistake.")
    if accepted.batch is None:
        answer = jsonify(schemas.job_view(s, accepted.jobs[0]))
        location = f"/v1/jobs/{accepted.jobs[0].id}"
    else:
        answer = jsonify({"batch": accepted.batch, "jobs": schemas.job_views(s, accepted.jobs)})
        location = f"/v1/batches/{accepted.batch}"
    if accepted.replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    answer.status_code = 202
    answer.headers["Location"] = schemas.address(s, location)
    return answer


@routes.get("/v1/jobs")
@documented(
    Operation(
        summary="List jobs, newest first",
        answers={200: Answer("A page of jobs.", schemas.JobPage)},
        problems=(400,),
        parameters=(_STATUS, _LIMIT, _CURSOR),
    )
)
def page() -> AnyResponse:
    """One page of jobs."""
    s = services()
    status = request.args.get("status")
    if status is not None and status not in schemas.STATUSES:
        raise bad_option(f"status must be one of {', '.join(schemas.STATUSES)}.")
    try:
        found, following = jobs.page(
            s.store.database,
            owner=caller().sees,
            status=status,
            limit=_limit(),
            cursor=request.args.get("cursor"),
        )
    except ValueError as error:
        raise bad_option("cursor must be the next_cursor of a page before; leave it out to begin.") from error
    return jsonify({"jobs": schemas.job_views(s, found), "next_cursor": following})


@routes.get("/v1/jobs/<job_id>")
@documented(
    Operation(
        summary="Look at a job, or wait for its end",
        description="A failed job is answered with 200 as well; its error says why. While very many requests wait, "
        "further ones are answered at once.",
        answers={200: Answer("The job as it is now.", schemas.JobView)},
        problems=(400, 404),
        parameters=(_WAIT,),
    )
)
def show(job_id: str) -> AnyResponse:
    """One job."""
    s = services()
    seconds = _wait_seconds(s)
    job = find_job(s, job_id)
    if seconds and job.status not in OVER:
        _wait(s, job_id, seconds)
        job = find_job(s, job_id)
    return jsonify(schemas.job_view(s, job))


@routes.post("/v1/jobs/<job_id>/cancel")
@documented(
    Operation(
        summary="Stop a job",
        answers={200: Answer("The job, cancelled.", schemas.JobView)},
        problems=(404, 409),
    )
)
def cancel(job_id: str) -> AnyResponse:
    """Stop a job that is not over."""
    s = services()
    find_job(s, job_id)
    won = jobs.cancel(s.store.database, job_id)
    s.store.events.changed(job_id)
    if won:
        webhooks.tell(s.flow, job_id)
    job = find_job(s, job_id)
    if not won:
        raise Problem(409, f"The job is {job.status} already, so there is nothing to cancel.")
    return jsonify(schemas.job_view(s, job))


@routes.post("/v1/jobs/<job_id>/retry")
@documented(
    Operation(
        summary="Try a job again that failed or was cancelled",
        description="It goes on from the last stage, and the last chunk, that was finished.",
        answers={200: Answer("The job, queued again.", schemas.JobView)},
        problems=(404, 409, 503),
    )
)
def retry(job_id: str) -> AnyResponse:
    """Take up a job that ended without a transcript."""
    s = services()
    job = find_job(s, job_id)
    if job.status in ("failed", "cancelled") and not _can_go_on(s, job):
        raise Problem(409, "The recording is not kept any more, so the job cannot be tried again; send it again.")
    limits.check_audio(s)
    if not jobs.retry(s.store.database, job_id):
        job = find_job(s, job_id)
        raise Problem(409, f"The job is {job.status}; only one that failed or was cancelled can be tried again.")
    s.store.events.forget(job_id)
    s.store.events.changed(job_id)
    # Should the queue be away, upkeep queues it as soon as it is there again.
    with contextlib.suppress(QueueUnavailable):
        s.flow.submit(job_id)
    return jsonify(schemas.job_view(s, find_job(s, job_id)))


@routes.delete("/v1/jobs/<job_id>")
@documented(
    Operation(
        summary="Delete a job, its recording and its results",
        description="A job that is not over is cancelled first.",
        answers={204: Answer("Deleted.")},
        problems=(404,),
    )
)
def delete(job_id: str) -> AnyResponse:
    """Forget a job."""
    s = services()
    find_job(s, job_id)
    if jobs.cancel(s.store.database, job_id):
        s.store.events.changed(job_id)
    # Files first: a row without files can be deleted again, files without a row are found only after a day.
    s.store.files.delete(job_id)
    uploads.forget(s.store.database, job_id)
    jobs.delete_record(s.store.database, job_id)
    s.store.events.forget(job_id)
    s.store.events.changed(job_id)
    answer = Response(status=204)
    del answer.headers["Content-Type"]  # there is nothing to have a type
    return answer


@routes.get("/v1/batches/<batch_id>")
@documented(
    Operation(
        summary="Look at a batch",
        answers={200: Answer("Its jobs and counts by status.", schemas.Batch)},
        problems=(404,),
    )
)
def batch(batch_id: str) -> AnyResponse:
    """The jobs of one upload."""
    s = services()
    found: list[Job] = []
    if is_id(batch_id):
        found, _ = jobs.page(s.store.database, owner=caller().sees, batch=batch_id, limit=_MAX_BATCH)
    if not found:
        raise Problem(404, "There is no such batch; check its id.")
    counts = Counter(job.status for job in found)
    return jsonify(
        {
            "batch": batch_id,
            "counts": {status: counts[status] for status in schemas.STATUSES},
            "jobs": schemas.job_views(s, found[::-1]),
        }
    )


def _can_go_on(s: Services, job: Job) -> bool:
    """Whether what the job begins with is there, or will be fetched."""
    fetched = any(SOURCE in s.flow.stages[name].writes for name in job.stages if name in s.flow.stages)
    return fetched or s.store.files.exists(job.id, SOURCE)


def _no_parameters() -> None:
    """Refuse query parameters that would be ignored."""
    for name in request.args:
        raise bad_option(f"There is no parameter {name[:60]!r} here; options go into the form.", param=name[:60])


def _limit() -> int:
    text = request.args.get("limit", str(_PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE):
        raise bad_option(f"limit must be a whole number from 1 to {MAX_PAGE}.")
    return int(text)


def _wait_seconds(s: Services) -> float:
    text: Any = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise bad_option("wait must be a number of seconds, 0 or more.")
    return min(seconds, s.settings.sync_timeout_seconds)


def _wait(s: Services, job_id: str, seconds: float) -> None:
    """Return once the job is over, or gone, or time is up."""
    if not s.waiting.acquire(blocking=False):
        return
    end, client = time.monotonic() + seconds, Receiver(request.environ)
    try:
        with s.waiters.following(job_id), s.listening.to(job_id) as ear:
            while (status := jobs.status(s.store.database, job_id)) is not None and status not in OVER:
                left = end - time.monotonic()
                if left <= 0 or s.listening.closed or client.gone():
                    return
                ear.wait(min(left, _LOOK_SECONDS))
    finally:
        s.waiting.release()
