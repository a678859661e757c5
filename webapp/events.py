"""Following a job: Server-Sent Events."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Blueprint, request, stream_with_context
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as AnyResponse

from store import jobs
from store.listening import Ear
from store.models import ACTIVE, OVER, Job
from webapp import schemas
from webapp.access.auth import caller, check_again
from webapp.connection import Receiver, event_stream
from webapp.errors import RETRY_SECONDS, Problem
from webapp.live import LiveSegments
from webapp.lookup import find_job
from webapp.openapi import Answer, Operation, Parameter, documented
from webapp.responses import empty
from webapp.services import Services, services

log = structlog.get_logger(__name__)
routes = Blueprint("events", __name__)

KEEP_ALIVE_SECONDS = 15.0
LEAST_SECONDS = 0.5
"""Between two looks at a job that goes on."""
MOST_SECONDS = 10.0
"""The same, however long a look takes."""
_SHARE = 20.0
"""A stream spends no more than one part in so many on looking."""
RETRY_MILLISECONDS = 2000
"""How long a client that lost the connection waits before it comes again."""
SEND_SECONDS = 30.0
"""A client that takes nothing for this long is let go."""

_LAST = Parameter(
    "Last-Event-ID",
    "The id of the last event that was received; the segments after it follow. Anything else is ignored.",
    where="header",
)
_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "event": {"type": "string", "enum": ["job", "progress", "segment", "done", "failed", "cancelled"]},
        "id": {"type": "string", "description": "For Last-Event-ID; of segments and of the end."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
_ID = re.compile(r"(?P<segment>[0-9]{1,9}|-)(?:\.(?P<end>(?:done|failed|cancelled)\.[0-9]{1,15}))?")


@dataclass(frozen=True)
class Place:
    """What a client has seen of a job's events, as their ids say it: ``7``, or ``7.done.1700000000000`` at the end."""

    segment: int = -1
    """Number of the last segment."""
    end: str | None = None
    """How and when the job ended (``_end``)."""

    def __str__(self) -> str:
        """As an id."""
        return f"{'-' if self.segment < 0 else self.segment}{f'.{self.end}' if self.end else ''}"


@routes.get("/v1/jobs/<job_id>/events")
@documented(
    Operation(
        summary="Follow a job",
        description="Server-Sent Events with JSON as their data: first job (the whole job), then progress (status, "
        "progress, eta_seconds, queue_position and steps, when they change), segment (one of the transcript's, as soon "
        "as it is certain, in order), at last done, failed or cancelled (the whole job), and the stream ends. A "
        "comment comes every 15 seconds. A stream that breaks off goes on with Last-Event-ID, which browsers send by "
        "themselves; whoever has seen the end gets 204.",
        answers={
            200: Answer("The events.", media={"text/event-stream": _EVENT}),
            204: Answer("The job is over, and this client has seen the end."),
        },
        problems=(400, 404, 503),
        parameters=(_LAST,),
    )
)
def events(job_id: str) -> AnyResponse:
    """What happens to a job."""
    s = services()
    job = find_job(s, job_id)
    seen = _place(request.headers.get("Last-Event-ID", ""))
    if seen.end is not None and seen.end == _end(job):
        return empty()
    if request.method == "HEAD":
        return event_stream(())
    if not s.waiting.acquire(blocking=False):
        detail = "Very many requests follow or wait for jobs just now; try again, or look at the job now and then."
        raise Problem(503, detail, headers={"Retry-After": str(RETRY_SECONDS)})
    with contextlib.ExitStack() as place:
        place.callback(s.waiting.release)
        if job.status not in OVER:
            place.enter_context(s.waiters.following(job_id))
        answer = event_stream(stream_with_context(_Stream(s, job_id, seen).run()))
        answer.call_on_close(place.pop_all().close)
    return answer


def _end(job: Job) -> str | None:
    """How a job ended and when, in milliseconds: tried again, it may end the same way."""
    if job.status not in OVER or job.finished_at is None:
        return None
    return f"{job.status}.{round(job.finished_at.timestamp() * 1000)}"


def _place(last_id: str) -> Place:
    found = _ID.fullmatch(last_id.strip())
    if found is None:
        return Place()
    segment, end = found["segment"], found["end"]
    return Place(-1 if segment == "-" else int(segment), end)


class _Stream:
    """The events of one job for one client."""

    def __init__(self, s: Services, job_id: str, seen: Place) -> None:
        self._s = s
        self._job_id = job_id
        self._seen = seen.segment
        self._segments = LiveSegments(s, job_id)
        self._client = Receiver(request.environ)
        self._caller = caller()
        self._shown: Any = None

    def run(self) -> Iterator[str]:
        """The stream's text, until the job ends or the client goes."""
        try:
            yield from self._client.taking(self._run(), seconds=SEND_SECONDS)
        except (Problem, SQLAlchemyError, OSError) as error:
            # The client comes again by itself and gets a proper answer, or goes on where it was.
            log.warning("a stream of events was broken off", job=self._job_id, reason=str(error))

    def _run(self) -> Iterator[str]:
        with self._s.listening.to(self._job_id) as ear:
            due = time.monotonic() + KEEP_ALIVE_SECONDS
            # Looked at only now that nothing is missed any more.
            while (looked := self._look()) is not None:
                view, end, again = looked
                yield from self._news(view, end)
                if view["status"] in OVER:
                    return
                called = False
                while not called:
                    called = ear.wait(due - time.monotonic())
                    if self._left():
                        return
                    if time.monotonic() >= due:
                        due = time.monotonic() + KEEP_ALIVE_SECONDS
                        check_again(self._s, self._caller)
                        yield ": still here\n\n"
                self._rest(ear, again)

    def _look(self) -> tuple[schemas.JobView, str | None, float] | None:
        """The job as it is, its end, and when the next look may be.

        Many followers of a huge job must not take all the time.
        """
        began = time.monotonic()
        job = jobs.get(self._s.store.database, self._job_id)
        if job is None:
            return None
        view = schemas.job_view(self._s, job)
        pause = max(LEAST_SECONDS, _SHARE * (time.monotonic() - began))
        return view, _end(job), began + min(pause, MOST_SECONDS)

    def _left(self) -> bool:
        """Whether nobody reads on, or the process ends."""
        return self._client.gone() or self._s.listening.closed

    def _rest(self, ear: Ear, until: float) -> None:
        """Wait, so that a job with many workers does not send events without end; its own end is told at once."""
        while (left := until - time.monotonic()) > 0 and jobs.status(self._s.store.database, self._job_id) in ACTIVE:
            ear.wait(left)
            if self._left():
                return

    def _news(self, view: schemas.JobView, end: str | None) -> Iterator[str]:
        """What the client has not seen of the job."""
        over = view["status"] in OVER
        shown = _essence(view)
        if self._shown is None:
            yield f"retry: {RETRY_MILLISECONDS}\n\n" + _event("job", _dump(view))
        elif shown != self._shown and not over:
            yield _event("progress", _dump({name: view[name] for name in _PROGRESS}))  # type: ignore[literal-required]
        if shown != self._shown:  # there is text only when a chunk is done
            for segment in self._segments.each():
                if segment.id > self._seen:
                    self._seen = segment.id
                    yield _event("segment", segment.model_dump_json(), place=Place(segment.id))
        self._shown = shown
        if over:
            yield _event(view["status"], _dump(view), place=Place(self._seen, end))


_PROGRESS = ("status", "progress", "eta_seconds", "queue_position", "steps")


def _essence(view: schemas.JobView) -> Any:
    """What must differ for an event to be worth sending: times run by themselves."""
    steps = [{name: value for name, value in step.items() if name != "seconds"} for step in view["steps"]]
    return (view["status"], view["progress"], view["queue_position"], steps)


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _event(name: str, data: str, *, place: Place | None = None) -> str:
    return f"{f'id: {place}{chr(10)}' if place else ''}event: {name}\ndata: {data}\n\n"
