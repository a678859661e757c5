"""Webhooks of a job: which were sent, what became of them, and send them again."""

from typing import Annotated, Literal, cast

from flask import Blueprint, jsonify
from pydantic import Field
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from store import deliveries
from store.deliveries import MOST_TRIES
from store.models import OVER, Delivery, Job
from tasks import webhooks
from webapp.errors import Problem
from webapp.lookup import find_job, is_id
from webapp.openapi import Answer, Operation, documented
from webapp.schemas import Address, Time, timestamp
from webapp.services import Services, services

routes = Blueprint("deliveries", __name__)

Event = Literal["job.done", "job.failed", "job.cancelled"]
State = Literal["pending", "delivered", "failed"]


class TryView(TypedDict):
    """A try that is over."""

    attempt: Annotated[int, Field(ge=1)]
    at: Time
    response_status: Annotated[int | None, Field(description="Null if there was no answer.")]
    error: Annotated[str | None, Field(description="Why it failed; null: it arrived.")]


class DeliveryView(TypedDict):
    """A webhook, and what became of it so far."""

    id: Annotated[str, Field(description="Sent as webhook-id, the same at every try.")]
    event: Event
    url: Address
    status: Annotated[State, Field(description="failed: it is not tried any more.")]
    attempts: int
    response_status: Annotated[int | None, Field(description="Of the last try; null if there was no answer.")]
    error: Annotated[str | None, Field(description="Why the last try failed.")]
    created_at: Time
    tried_at: Time | None
    delivered_at: Time | None
    tries: Annotated[
        list[TryView], Field(description=f"Each that is over, also before it was sent again; the last {MOST_TRIES}.")
    ]
    next_attempt_at: Annotated[Time | None, Field(description="Null once it is over; in the past: any moment now.")]


class Deliveries(TypedDict):
    """A job's webhooks, newest first; one for each time it ended."""

    deliveries: list[DeliveryView]


def _sending(summary: str) -> Operation:
    about = "The webhook, which is sent at once and counts as new: it is tried for a day."
    return Operation(
        summary=summary,
        description="Also before its next try is due. What became of the tries before stays on record.",
        answers={202: Answer(about, DeliveryView)},
        problems=(404, 409),
    )


@routes.get("/v1/jobs/<job_id>/deliveries")
@documented(
    Operation(
        summary="List a job's webhooks",
        description="Empty until the job is over, and for a job without webhook_url.",
        answers={200: Answer("The webhooks.", Deliveries)},
        problems=(404,),
    )
)
def page(job_id: str) -> AnyResponse:
    """What was sent."""
    s = services()
    job = find_job(s, job_id)
    return jsonify({"deliveries": [_view(one) for one in deliveries.of_job(s.store.database, job.id)]})


@routes.post("/v1/jobs/<job_id>/redeliver")
@documented(_sending("Send a job's newest webhook again"))
def newest(job_id: str) -> AnyResponse:
    """Send the newest again."""
    s = services()
    job = find_job(s, job_id)
    found = deliveries.of_job(s.store.database, job.id)
    if not found:
        raise Problem(409, _nothing(job))
    return _again(s, found[0])


@routes.post("/v1/jobs/<job_id>/deliveries/<delivery_id>/redeliver")
@documented(_sending("Send a webhook again"))
def redeliver(job_id: str, delivery_id: str) -> AnyResponse:
    """Send one again."""
    s = services()
    job = find_job(s, job_id)
    found = deliveries.get(s.store.database, delivery_id) if is_id(delivery_id) else None
    if found is None or found.job_id != job.id:
        raise _gone(job_id)
    return _again(s, found)


def _again(s: Services, delivery: Delivery) -> AnyResponse:
    if not deliveries.requeue(s.store.database, delivery.id):
        raise Problem(409, "The webhook is being sent at this moment; look at what becomes of it first.")
    # Looked at before it is sent: the answer says that it will be.
    found = deliveries.get(s.store.database, delivery.id)
    if found is None:  # deleted with its job in the meantime
        raise _gone(delivery.job_id)
    webhooks.tell(s.flow, delivery.job_id)
    answer = jsonify(_view(found))
    answer.status_code = 202
    return answer


def _gone(job_id: str) -> Problem:
    return Problem(404, f"The job has no such webhook; list those it has at /v1/jobs/{job_id}/deliveries.")


def _nothing(job: Job) -> str:
    if job.webhook_url is None:
        return "The job has no webhook_url, so there is nothing to send again."
    if job.status not in OVER:
        return "The job is not over, so there is nothing to send again; its end will be told by itself."
    return "The job has no webhook that could be sent again."


def _view(delivery: Delivery) -> DeliveryView:
    pending = delivery.status == "pending"
    return {
        "id": delivery.id,
        "event": cast(Event, delivery.event),
        "url": delivery.url,
        "status": cast(State, delivery.status),
        "attempts": delivery.attempts,
        "response_status": delivery.response_status,
        "error": delivery.error,
        "created_at": timestamp(delivery.created_at),
        "tried_at": timestamp(delivery.tried_at) if delivery.tried_at else None,
        "delivered_at": timestamp(delivery.delivered_at) if delivery.delivered_at else None,
        "tries": [
            {
                "attempt": one.attempt,
                "at": timestamp(one.at),
                "response_status": one.response_status,
                "error": one.error,
            }
            for one in deliveries.tries_of(delivery)
        ],
        "next_attempt_at": timestamp(delivery.due_at) if pending and delivery.due_at else None,
    }
