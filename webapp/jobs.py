"""Jobs: made, listed, waited for, cancelled, deleted."""

import contextlib

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from pipelines.stage import SOURCE
from store import jobs, uploads
from store.models import ACTIVE, OVER, Job
from tasks import webhooks
from tasks.flow import QueueUnavailable
from webapp import journal, schemas
from webapp.access import limits
from webapp.access.auth import caller
from webapp.errors import Problem, bad_option
from webapp.headers import request_id
from webapp.intake import backlog, submission
from webapp.intake.bodies import is_bare
from webapp.lookup import find_job
from webapp.openapi import REPLAYED, Answer, Header, Operation, Parameter, documented
from webapp.paging import CURSOR, LIMIT, no_cursor, page_size
from webapp.responses import empty
from webapp.services import Services, services
from webapp.waiting.ends import WAIT, until_over, wait_seconds

routes = Blueprint("jobs", __name__)

_STATUS = Parameter("status", "Only jobs in this status.", {"type": "string", "enum": list(schemas.STATUSES)})
_KEY = Parameter(
    submission.KEY,
    "Makes it safe to send a request again: the same key with the same recordings and options within 24 hours gives "
    "the job that was made the first time; with others it is refused (422).",
    {"type": "string", "pattern": submission.KEY_PATTERN},
    where="header",
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
        parameters=(_STATUS, LIMIT, CURSOR),
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
            limit=page_size(),
            cursor=request.args.get("cursor"),
        )
    except ValueError as error:
        raise no_cursor() from error
    return jsonify({"jobs": schemas.job_views(s, found), "next_cursor": following})


@routes.get("/v1/jobs/<job_id>")
@documented(
    Operation(
        summary="Look at a job, or wait for its end",
        description="A failed job is answered with 200 as well; its error says why. While very many requests wait, "
        "further ones are answered at once.",
        answers={200: Answer("The job as it is now.", schemas.JobView)},
        problems=(400, 404),
        parameters=(WAIT,),
    )
)
def show(job_id: str) -> AnyResponse:
    """One job."""
    s = services()
    seconds = wait_seconds(s)
    job = find_job(s, job_id)
    if seconds and job.status not in OVER:
        until_over(s, lambda: job_id if jobs.status(s.store.database, job_id) in ACTIVE else None, seconds)
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
        s.flow.ended(job_id)
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
    backlog.check(s, account=job.owner)
    known = [s.flow.stages[name] for name in job.stages if name in s.flow.stages]
    lost = [
        stage.name
        for stage in known
        if not all(s.store.files.exists(job_id, file) for file in set(stage.temporary) & set(stage.writes))
    ]
    if not jobs.retry(s.store.database, job_id, anew=lost, request_id=request_id()):
        job = find_job(s, job_id)
        raise Problem(409, f"The job is {job.status}; only one that failed or was cancelled can be tried again.")
    s.store.events.forget(job_id)
    s.store.events.changed(job_id)
    # Should the queue be away, upkeep queues it as soon as it is there again.
    with contextlib.suppress(QueueUnavailable):
        s.flow.submit(job_id)
    job = find_job(s, job_id)
    journal.accepted([job], again=True)
    return jsonify(schemas.job_view(s, job))


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
        s.flow.ended(job_id)
    # Files first: a row without files can be deleted again, files without a row are found only after a day.
    s.store.files.delete(job_id)
    uploads.forget(s.store.database, job_id)
    jobs.delete_record(s.store.database, job_id)
    s.store.events.forget(job_id)
    s.store.events.changed(job_id)
    return empty()


def _can_go_on(s: Services, job: Job) -> bool:
    """Whether what the job begins with is there, or will be fetched."""
    fetched = any(SOURCE in s.flow.stages[name].writes for name in job.stages if name in s.flow.stages)
    return fetched or s.store.files.exists(job.id, SOURCE)


def _no_parameters() -> None:
    """Refuse query parameters that would be ignored."""
    for name in request.args:
        raise bad_option(f"There is no parameter {name[:60]!r} here; options go into the form.", param=name[:60])
