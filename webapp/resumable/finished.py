"""Resumable uploads that are all there, on their way to being a job's recording: none is used twice, none is lost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from pipelines.stage import SOURCE
from store import uploads
from webapp.errors import Problem, bad_option
from webapp.intake.uploads import Recording
from webapp.lookup import find_upload
from webapp.resumable.writing import lost, settled
from webapp.services import Services

log = structlog.get_logger(__name__)

FIELD = "upload"
_PATIENCE_SECONDS = 10.0
"""How long a request that is just finishing an upload is waited for."""


def recording_of(s: Services, upload_id: str) -> Recording:
    """A finished upload of the caller's as a recording; its id becomes the job's, so no byte is copied.

    Raises:
        Problem: 404 there is none, or it is lost; 409 it is not finished.
        store.file_errors.StorageFull: All of it is there, but the disk is too full to finish it.
    """
    try:
        upload = settled(s, find_upload(s, upload_id), patience=_PATIENCE_SECONDS)
    except Problem as problem:
        if problem.status not in {404, 410}:
            raise Problem(409, problem.detail, headers=problem.headers, param=FIELD) from problem
        shown = repr(upload_id if len(upload_id) <= 60 else f"{upload_id[:60]}…")
        detail = f"There is no upload {shown} (any more); begin one with POST /v1/uploads."
        raise Problem(404, detail, param=FIELD) from problem
    if upload.sha256 is None or upload.length is None:
        whole = "" if upload.length is None else f" of {upload.length}"
        detail = f"The upload {upload.id} is not finished, {upload.offset}{whole} bytes are there; send the rest first."
        raise Problem(409, detail, param=FIELD)
    gone = upload.taken_at is None and not s.store.files.exists(upload.id, SOURCE)
    if gone and uploads.abandon(s.store.database, upload.id):  # else a job has just been made of it
        raise Problem(404, lost(s, upload, missing=SOURCE).detail, param=FIELD)
    return Recording(upload.id, upload.name, upload.length, upload.sha256)


def check_once(ids: Sequence[str]) -> None:
    """Refuse a request that names an upload twice.

    Raises:
        Problem: 400.
    """
    for upload_id in ids:
        if ids.count(upload_id) > 1:
            raise bad_option(f"The upload {upload_id[:60]!r} is named twice; name each once.", param=FIELD)


@dataclass
class Taken:
    """Uploads that were asked for at once."""

    mine: list[str] = field(default_factory=list)
    others: dict[str, Problem] = field(default_factory=dict)
    """Of which a job was made already -> how to say so (409)."""


@contextmanager
def taking(s: Services, ids: Sequence[str]) -> Iterator[Taken]:
    """Take uploads for the jobs that are made in the block; if it fails, they are free again."""
    taken = Taken()
    try:
        for upload_id in ids:
            if uploads.take(s.store.database, upload_id):
                taken.mine.append(upload_id)
            else:
                detail = f"A job was made of the upload {upload_id} already: see GET /v1/jobs/{upload_id}."
                taken.others[upload_id] = Problem(409, detail, param=FIELD)
        yield taken
    except BaseException:
        for upload_id in taken.mine:
            _release(s, upload_id)
        raise


def _release(s: Services, upload_id: str) -> None:
    try:
        uploads.release(s.store.database, upload_id)
    except Exception:  # it becomes free by itself a little later; what failed first is what the client is told
        log.exception("an upload could not be released", upload=upload_id)
