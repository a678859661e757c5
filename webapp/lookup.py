"""Finding the job that an address means."""

import re

from store import jobs, uploads
from store.models import Job, ResumableUpload
from webapp.access.auth import caller
from webapp.errors import Problem
from webapp.services import Services

_ID = re.compile(r"[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Whether it could be an id of ours."""
    return _ID.fullmatch(text) is not None


def find_job(s: Services, job_id: str) -> Job:
    """The job of that id, if the caller may see it.

    Raises:
        Problem: 404.
    """
    job = jobs.get(s.store.database, job_id) if is_id(job_id) else None
    if job is None or caller().sees not in (None, job.owner):
        raise no_job()
    return job


def find_upload(s: Services, upload_id: str) -> ResumableUpload:
    """The resumable upload of that id, if the caller may see it.

    Raises:
        Problem: 404; 410 its time is over.
    """
    upload = uploads.get(s.store.database, upload_id) if is_id(upload_id) else None
    if upload is None or caller().sees not in (None, upload.owner):
        raise Problem(404, "There is no such upload; check its id, or begin a new one with POST /v1/uploads.")
    if upload.expires_at <= jobs.now():
        raise Problem(410, "The time of this upload is over; begin a new one with POST /v1/uploads.")
    return upload


def no_job() -> Problem:
    """404 for a job that is not there, or not any more."""
    return Problem(404, "There is no such job; check its id, or list the jobs there are at /v1/jobs.")
