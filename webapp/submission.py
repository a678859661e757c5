"""From a form to queued jobs: all of them, or nothing stays behind."""

from flask import Request

from store import jobs
from store.models import Job
from webapp.auth import OWNER
from webapp.errors import Problem, bad_option
from webapp.headers import request_id
from webapp.options import JobRequest
from webapp.services import Services
from webapp.uploads import Form, Recording, received

_EMPTY = "The file is empty; send one with something in it."


def accept(s: Services, request: Request) -> tuple[str | None, list[Job]]:
    """Make jobs of a request's recordings and queue them.

    Returns:
        The id of the batch (None for a single recording) and the jobs, in order.

    Raises:
        Problem: The request cannot be used.
        pipelines.errors.OptionsError: Its options contradict each other.
        tasks.flow.QueueUnavailable: The queue cannot be reached.
    """
    if request.is_json:
        raise bad_option("Recordings by address (url) come with a later version; send multipart/form-data with a file.")
    with received(request, s.store.files, max_bytes=s.settings.max_upload_bytes) as form:
        wanted = s.options.read(form.fields)
        if not form.files:
            raise bad_option("Send a recording in the field 'file', as curl -F file=@talk.mp3 does.")
        batch = jobs.new_id() if len(form.files) > 1 else None
        if batch is None and not form.files[0].size:
            raise Problem(415, _EMPTY, code="unsupported_media")
        return batch, _create(s, form, wanted, batch)


def _create(s: Services, form: Form, wanted: JobRequest, batch: str | None) -> list[Job]:
    try:
        for recording in form.files:
            jobs.create(s.store.database, _new_job(recording, wanted, batch), each=wanted.each)
        for recording in form.files:
            if recording.size:
                s.flow.submit(recording.id)
            else:
                # One bad file does not sink the others; its own job says what is wrong with it.
                jobs.fail(s.store.database, recording.id, code="unsupported_media", detail=_EMPTY, stage=None)
        made = (jobs.get(s.store.database, recording.id) for recording in form.files)
        return [job for job in made if job is not None]
    except BaseException:
        for recording in form.files:
            jobs.delete_record(s.store.database, recording.id)
        raise


def _new_job(recording: Recording, wanted: JobRequest, batch: str | None) -> jobs.NewJob:
    return jobs.NewJob(
        id=recording.id,
        owner=OWNER,
        options=wanted.options,
        stages=wanted.stages,
        source_name=recording.name,
        source_bytes=recording.size,
        source_sha256=recording.sha256,
        priority=wanted.priority,
        batch=batch,
        details=wanted.metadata,
        request_id=request_id(),
    )
