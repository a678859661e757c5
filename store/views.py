"""Jobs as they are shown outside: by the API, and in webhooks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from store import positions, progress
from store.events import Live
from store.models import Job
from store.open import Store


def job_view(store: Store, job: Job, *, weights: Mapping[str, float], base: str) -> dict[str, Any]:
    """A job as ``GET /v1/jobs/<id>`` shows it; ``webapp.schemas.JobView`` describes it.

    Args:
        store: The store.
        job: The job, with its steps.
        weights: Stage → its share of a job's work.
        base: Address that links begin with, without a slash at the end.
    """
    live = store.events.live(job.id) if job.status == "running" else Live()
    return _view(job, live, positions.queue_position(store.database, job), weights, base)


def job_views(store: Store, found: Sequence[Job], *, weights: Mapping[str, float], base: str) -> list[dict[str, Any]]:
    """Several jobs; the database and Redis are asked once for all of them."""
    lives = store.events.lives([job.id for job in found if job.status == "running"])
    places = positions.queue_positions(store.database, found)
    return [_view(job, lives.get(job.id, Live()), places.get(job.id), weights, base) for job in found]


def _view(job: Job, live: Live, position: int | None, weights: Mapping[str, float], base: str) -> dict[str, Any]:
    at = datetime.now(UTC)
    stages = progress.by_stage(job.steps, live.fractions, at=at)
    news = progress.last_news(job.steps, live.at)
    share = 1.0 if job.status == "done" else progress.overall(stages, weights)
    return {
        "id": job.id,
        "batch": job.batch,
        "status": job.status,
        "progress": share,
        "eta_seconds": progress.eta(share, job.started_at, at=at, reported=news) if job.status == "running" else None,
        "queue_position": position,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at) if job.started_at else None,
        "finished_at": timestamp(job.finished_at) if job.finished_at else None,
        "source": {
            "name": job.source_name,
            "bytes": job.source_bytes,
            "duration": job.duration,
            "format": job.source_format,
            "sha256": job.source_sha256,
        },
        "options": _options(job),
        "metadata": job.details,
        "warnings": [{"code": w["code"], "detail": w["detail"]} for w in job.warnings],
        "error": failure(job),
        "steps": [_step(stage) for stage in stages],
        "links": _links(f"{base}/v1/jobs/{job.id}"),
    }


def failure(job: Job) -> dict[str, Any] | None:
    """Why a job failed, if it did."""
    if job.error is None:
        return None
    return {"code": job.error["code"], "detail": job.error["detail"], "stage": job.error.get("stage")}


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _options(job: Job) -> dict[str, Any]:
    told = {} if job.webhook_url is None else {"webhook_url": job.webhook_url}
    return {**job.options, "priority": job.priority, **told}


def _step(stage: progress.StageProgress) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "status": stage.status,
        "done": stage.done,
        "total": stage.total,
        "attempts": stage.attempts,
        "seconds": stage.seconds,
        "progress": round(stage.fraction, 4),
    }


def _links(here: str) -> dict[str, str]:
    return {
        "self": here,
        "events": f"{here}/events",
        "transcript": f"{here}/transcript",
        "srt": f"{here}/transcript.srt",
        "vtt": f"{here}/transcript.vtt",
        "txt": f"{here}/transcript.txt",
        "audio": f"{here}/audio",
    }
