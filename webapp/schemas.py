"""What answers look like: the types, from which the API document is made, and the functions that fill them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired, cast

from flask import request
from pydantic import Field
from typing_extensions import TypedDict

from pipelines.documents import Segment
from store import views
from store.models import Job
from store.views import timestamp as timestamp  # for the other views
from webapp.access.callers import caller
from webapp.services import Services

Status = Literal["queued", "running", "done", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = ("queued", "running", "done", "failed", "cancelled")
Time = Annotated[str, Field(description="ISO 8601 in UTC.", json_schema_extra={"format": "date-time"})]
Address = Annotated[str, Field(json_schema_extra={"format": "uri"})]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="One sentence that says what to do.")]
    code: Annotated[str, Field(description="Stable name of the error.")]


class OpenAIProblem(TypedDict):
    """What went wrong, as OpenAI tells it."""

    message: Annotated[str, Field(description="One sentence that says what to do.")]
    type: str
    param: Annotated[str | None, Field(description="The field or parameter that it is about.")]
    code: Annotated[str | None, Field(description="Stable name of the error.")]


class OpenAIError(TypedDict):
    """An error where OpenAI's clients ask."""

    error: OpenAIProblem


class Source(TypedDict):
    """The recording: one that is fetched has its address's name, 0 bytes and an empty sha256 until it is here."""

    name: str
    bytes: Annotated[int, Field(ge=0)]
    duration: Annotated[float | None, Field(description="Seconds; known once it was read.")]
    format: Annotated[str | None, Field(description="Known once it was read.")]
    sha256: str


class Warn(TypedDict):
    """Something to know although the job goes well."""

    code: str
    detail: str


class Failure(TypedDict):
    """Why a job failed."""

    code: str
    detail: str
    stage: str | None


class Step(TypedDict):
    """One stage of a job; its chunks are counted in done and total."""

    stage: str
    status: Literal["pending", "running", "done", "failed", "cancelled"]
    done: int
    total: Annotated[int | None, Field(description="Null until it is known.")]
    attempts: int
    seconds: float | None
    progress: Annotated[float, Field(ge=0, le=1)]


class Links(TypedDict):
    """Where the job and its results are."""

    self: Address
    events: Address
    transcript: Address
    srt: Address
    vtt: Address
    txt: Address
    audio: Address


class JobView(TypedDict):
    """A job."""

    id: str
    batch: Annotated[str | None, Field(description="The batch it came with; null for one that came alone.")]
    account: NotRequired[Annotated[str, Field(description="Whose it is; shown to keys with the scope admin.")]]
    status: Status
    progress: Annotated[float, Field(ge=0, le=1)]
    eta_seconds: int | None
    queue_position: Annotated[
        int | None,
        Field(ge=1, description="While it is queued, from 1 (also in the moment in which its work begins); else null."),
    ]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    source: Source
    options: dict[str, Any]
    metadata: dict[str, Any]
    warnings: list[Warn]
    error: Failure | None
    steps: list[Step]
    links: Links


class JobEvent(TypedDict):
    """What is told of a job that is over."""

    type: Literal["job.done", "job.failed", "job.cancelled"]
    timestamp: Time
    data: JobView


class JobPage(TypedDict):
    """Jobs, newest first."""

    jobs: list[JobView]
    next_cursor: Annotated[str | None, Field(description="For the parameter cursor; null on the last page.")]


class NewBatch(TypedDict):
    """The jobs of one upload of several recordings."""

    batch: str
    jobs: list[JobView]


class Batch(TypedDict):
    """The jobs of a batch in the order of their recordings, and how many are in which status."""

    batch: str
    counts: dict[Status, int]
    jobs: list[JobView]


class Result(TypedDict):
    """A transcript in short; empty until the job is done. ``error`` says why a job failed."""

    status: Status
    text: str
    language: str | None
    segments: list[Segment]
    error: Failure | None


class UploadView(TypedDict):
    """A recording that comes in pieces."""

    id: Annotated[str, Field(description="Also that of the job that takes it.")]
    name: str
    bytes: Annotated[int | None, Field(description="Of the whole; null until the client has said.")]
    offset: Annotated[int, Field(description="Bytes that are there.")]
    finished: Annotated[bool, Field(description="Whether a job can take it: upload=<id> in POST /v1/jobs.")]
    job: Annotated[str | None, Field(description="The job that took it.")]
    expires_at: Time


def job_view(s: Services, job: Job) -> JobView:
    """A job as clients see it."""
    return _shown(views.job_view(s.store, job, weights=_weights(s), base=address(s, "")), job)


def job_views(s: Services, found: Sequence[Job]) -> list[JobView]:
    """Several jobs as clients see them."""
    seen = views.job_views(s.store, found, weights=_weights(s), base=address(s, ""))
    return [_shown(view, job) for view, job in zip(seen, found, strict=True)]


def _shown(view: dict[str, Any], job: Job) -> JobView:
    """With what only whoever sees everybody's jobs needs."""
    return cast(JobView, {**view, "account": job.owner} if caller().admin else view)


def _weights(s: Services) -> dict[str, float]:
    return {stage.name: stage.weight for stage in s.flow.stages.values()}


def failure(job: Job) -> Failure | None:
    """Why a job failed, if it did."""
    return cast("Failure | None", views.failure(job))


def address(s: Services, path: str) -> str:
    """The full address of a path of ours."""
    return (s.settings.public_url or request.url_root).rstrip("/") + path
