"""One call, one answer: an ordinary job at high priority, made or shared, and waited for."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from flask import Request
from werkzeug.wrappers import Response as AnyResponse

from store import jobs
from store.models import OVER, Job
from webapp import latency
from webapp.access import limits
from webapp.access.auth import caller, check_again
from webapp.connection import Receiver
from webapp.errors import RETRY_SECONDS, Problem, bad_option
from webapp.intake import backlog
from webapp.intake.options import JobRequest
from webapp.intake.submission import key_of
from webapp.intake.uploads import MAX_FIELD_BYTES, Form, Recording, Reference, received
from webapp.services import Services
from webapp.waiting.sharing import Asked, keep_attached, share, share_by_key

JOB_HEADER = "X-Job-ID"
Fields = Mapping[str, Sequence[str]]
_PRESENCE_SECONDS = 1.0
"""How often the connection is looked at."""
_LOOK_SECONDS = 10.0
"""How often the job is looked at although nothing was heard, and whether the key is still good."""
_DEFAULTS = {"priority": "high", "formats": "none"}
"""Whoever waits takes the answer, and needs no files made ahead."""
_STATUSES = {
    "unsupported_media": 415,
    "no_audio": 415,
    "too_long": 413,
    "too_large": 413,
    "invalid_option": 422,
    "fetch_failed": 422,
    "unknown_model": 404,
    "model_not_allowed": 404,
    "rate_limited": 429,
    "unavailable": 503,
    "model_unavailable": 503,
    "out_of_memory": 503,
    "storage_full": 503,
}
"""What a job failed with and the status that says so; all else is 500."""


class ClientGone(Exception):
    """Whoever asked does not listen any more."""


class Call:
    """One synchronous request from its place among those who wait to its end; use it with ``with``, or ``close`` it.

    Args:
        s: The services.
        request: Nobody has touched its body.

    Raises:
        Problem: 503, too many wait already, or nobody serves a queue; 429, the key's audio of the day is used up.
    """

    def __init__(self, s: Services, request: Request) -> None:
        self._s = s
        self._caller = caller()
        self._size = request.content_length
        self.receiver = Receiver(request.environ)
        self._began = jobs.now()
        self._token: str | None = None
        self._settled = False
        """Whether the job needs nobody any more: it is over, or goes on by itself."""
        self._handed_over = False
        self._end = 0.0
        self._shared = False
        """Whether another request made the job."""
        self.job_id = ""
        self.replayed = False
        key = key_of(request)
        if key is None:
            # Looked at here as well, so that nobody uploads for nothing.
            limits.check_audio(s)
            s.serving.check_any()
            backlog.check_before(s)
        self._key = key
        self._open = s.waiting.acquire(blocking=False)
        if not self._open:
            detail = "Too many requests wait for their jobs already; try again soon, or send the recording to /v1/jobs."
            raise Problem(503, detail, code="queue_full", headers={"Retry-After": str(RETRY_SECONDS)})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Problem) and self.job_id:
            error.headers.setdefault(JOB_HEADER, self.job_id)
        if error is not None or not self._handed_over:
            self.close()

    def hand_over(self, answer: AnyResponse) -> AnyResponse:
        """Let an answer that is sent bit by bit end the call, instead of the block."""
        self._handed_over = True
        answer.call_on_close(self.close)
        return answer

    def close(self) -> None:
        """Give the place back. If the job is not over, it ends after a time of grace in which nobody came for it."""
        if not self._open:
            return
        self._open = False
        self._s.waiting.release()
        if self._token is not None:
            left = self._s.waiters.leave(self.job_id, self._token)
            if not self._settled:
                self._s.departures.add(self.job_id, owner=self._caller.account, size=self._size, left=left)

    def submit(
        self, request: Request, read: Callable[[Fields], JobRequest], *, max_field_bytes: int = MAX_FIELD_BYTES
    ) -> None:
        """Receive the recording and make its job, or share the one that an identical request made.

        Args:
            request: A form with one recording.
            read: Makes a job's options of the form's fields.
            max_field_bytes: Bound of the fields together.

        Raises:
            Problem: The request cannot be used.
            pipelines.errors.OptionsError: Its options contradict each other.
            tasks.flow.QueueUnavailable: The queue cannot be reached.
        """
        s = self._s
        arriving = s.waiters.arriving(self._caller.account, self._size)
        most = s.settings.max_upload_bytes
        try:
            with received(request, s.store, max_bytes=most, max_field_bytes=max_field_bytes) as form:
                wanted = read(form.fields)
                recording = _only_recording(form)
                form.fields.clear()  # samples of voices are large, and the wait may be long
                keep_attached(s, recording.id, wanted)
                asked = Asked(recording, wanted, self._began)
                if self._key is None:
                    self._shared = share(s, asked, self._take)
                else:
                    self._shared = self.replayed = share_by_key(s, asked, self._key, self._take)
            if self._shared:
                s.store.files.delete(recording.id)
        finally:
            s.waiters.arrived(self._caller.account, self._size, arriving)
        self.patient()  # only now: however long the recording took to arrive, its job has just begun

    def wait(self) -> Job:
        """The job once it is done.

        Raises:
            ClientGone: There is nobody to answer to.
            Problem: Why there is no result; 504 after ``SYNC_TIMEOUT_SECONDS``, and the job goes on.
        """
        for status in self.news():
            if status is None or status in OVER:
                break
        return self.result()

    def begun(self, seconds: float) -> None:
        """Wait a moment until the recording has turned out to be readable, or not.

        Raises:
            ClientGone: There is nobody to answer to.
            Problem: Why there will be no result.
        """
        s, end = self._s, time.monotonic() + seconds
        with s.listening.to(self.job_id) as ear:
            while (left := end - time.monotonic()) > 0:
                job = jobs.get(s.store.database, self.job_id)
                if job is None or job.status in OVER:
                    self.result()
                    return
                if job.duration is not None:
                    return
                if self.receiver.gone():
                    raise ClientGone
                with latency.waiting():
                    ear.wait(min(left, _PRESENCE_SECONDS))

    def news(self) -> Iterator[str | None]:
        """The job's status at once, whenever something happened to it and every few seconds; None: it was deleted.

        Raises:
            ClientGone: There is nobody to answer to.
            Problem: 504; 403 the key is not good any more.
        """
        s, looked, due = self._s, 0.0, True
        checked = time.monotonic()
        with s.listening.to(self.job_id) as ear:
            while True:
                if due:
                    looked = time.monotonic()
                    yield jobs.status(s.store.database, self.job_id)
                if self.receiver.gone():
                    raise ClientGone
                if s.listening.closed:
                    raise _stopping()
                if time.monotonic() - checked >= _LOOK_SECONDS:
                    check_again(s, self._caller)
                    checked = time.monotonic()
                left = self._end - time.monotonic()
                if left <= 0:
                    raise self._timeout()
                with latency.waiting():
                    due = ear.wait(min(left, _PRESENCE_SECONDS)) or time.monotonic() - looked >= _LOOK_SECONDS

    def patient(self) -> None:
        """Begin to count the seconds until the end of the wait, again."""
        self._end = time.monotonic() + self._s.settings.sync_timeout_seconds

    def result(self) -> Job:
        """The job, which is done.

        Raises:
            Problem: It ended in another way; says in which.
        """
        job = jobs.get(self._s.store.database, self.job_id)
        self._settled = True
        if job is not None and job.status == "done":
            return job
        if job is None and self._shared:
            # Most likely the request that made it could not queue it; whoever sends this again makes it anew.
            detail = "The job that an identical request made is not there any more; send the request again."
            raise Problem(503, detail, headers={"Retry-After": "1"})
        raise _no_result(job)

    def finish(self, answer: AnyResponse) -> AnyResponse:
        """An answer that names the job."""
        answer.headers[JOB_HEADER] = self.job_id
        if self.replayed:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    def _timeout(self) -> Problem:
        self._s.waiters.keep(self.job_id)
        self._settled = True
        detail = (
            f"The job {self.job_id} is not done after {self._s.settings.sync_timeout_seconds:g} s; it goes on, so ask "
            f"for it at /v1/jobs/{self.job_id}."
        )
        return Problem(504, detail)

    def _take(self, job_id: str) -> bool:
        token = self._s.waiters.join(job_id)
        if token is None:
            return False
        self.job_id, self._token = job_id, token
        return True


def reading(s: Services, fields: Fields) -> JobRequest:
    """The options of a synchronous request.

    Raises:
        Problem: 400, 404.
        pipelines.errors.OptionsError: They contradict each other.
    """
    given = {name: [text for text in texts if text.strip()] for name, texts in fields.items()}
    return s.options.read({**fields, **{name: [text] for name, text in _DEFAULTS.items() if not given.get(name)}})


def nobody() -> AnyResponse:
    """What is answered to a client that left."""
    return AnyResponse(status=499)


def _only_recording(form: Form) -> Recording:
    if len(form.sources) != len(form.files):
        detail = "Send the recording itself here; addresses and uploads are for /v1/jobs."
        raise bad_option(detail, param=next(s.field for s in form.sources if isinstance(s, Reference)))
    if not form.files:
        raise bad_option("Send a recording in the field 'file', as curl -F file=@talk.mp3 does.")
    if len(form.files) > 1:
        raise bad_option("Send one recording at a time here; /v1/jobs takes several at once.")
    if not form.files[0].size:
        raise Problem(415, "The file is empty; send one with something in it.", code="unsupported_media")
    return form.files[0]


def _stopping() -> Problem:
    """The process ends; a client that sends its request again finds the job where it is."""
    detail = "The server is being restarted; send the request again at once: the job goes on."
    return Problem(503, detail, code="internal", headers={"Retry-After": "1"})


def _no_result(job: Job | None) -> Problem:
    """Why there is no result. It is final: sending the request again by itself would not help."""
    headers = {"X-Should-Retry": "false"}
    if job is None or job.error is None:
        became = "deleted" if job is None else job.status
        return Problem(409, f"The job was {became} before it was done; send the recording again.", headers=headers)
    status = _STATUSES.get(job.error["code"], 500)
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Problem(status, job.error["detail"], code=job.error["code"], headers=headers)
