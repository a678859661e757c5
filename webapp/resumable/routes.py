"""Recordings that come in pieces, by the open protocol tus 1.0.0: a connection that breaks costs nothing but time."""

from email.utils import format_datetime
from typing import NoReturn

import structlog
from flask import Blueprint, Flask, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from store import jobs, uploads
from store.file_errors import StorageFull
from store.models import ResumableUpload
from webapp import schemas
from webapp.access.auth import caller
from webapp.errors import Problem, bad_option
from webapp.lookup import find_upload
from webapp.openapi import Answer, Header, Operation, documented
from webapp.responses import empty
from webapp.resumable import described, overriding, pending
from webapp.resumable import headers as tus_headers
from webapp.resumable.body import Incoming
from webapp.resumable.writing import busy, held, receive, settled
from webapp.services import Services, services

log = structlog.get_logger(__name__)
routes = Blueprint("uploads", __name__)

PATH = "/v1/uploads"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination"
_OPTIONS = Operation(
    summary="Ask what the server can do with resumable uploads",
    tag="uploads",
    public=True,
    answers={
        204: Answer(
            "See the headers.",
            headers={
                "Tus-Version": Header("Versions that are spoken."),
                "Tus-Extension": Header("Extensions of the protocol that are understood."),
                "Tus-Max-Size": Header("Bytes that an upload may have.", described.COUNT),
                "Tus-Checksum-Algorithm": Header("What Upload-Checksum may begin with."),
                "Allow": Header("Methods of the address."),
            },
        )
    },
    carries=described.VERSIONS,
)


def install(app: Flask) -> None:
    """Serve the addresses; also to clients that can send no PATCH or DELETE and say it in a header of a POST."""
    app.register_blueprint(routes)
    app.wsgi_app = overriding.Overriding(app.wsgi_app, f"{PATH}/")  # type: ignore[method-assign]  # Flask's way to wrap itself


@routes.after_request
def speak(response: AnyResponse) -> AnyResponse:
    """Every answer says which version it speaks."""
    response.headers["Tus-Resumable"] = tus_headers.VERSION
    return response


@routes.route(PATH, methods=["OPTIONS"])
@routes.route(f"{PATH}/<upload_id>", methods=["OPTIONS"], endpoint="options_of_one")
@documented(_OPTIONS)
def options(upload_id: str = "") -> AnyResponse:
    """What is spoken here."""
    answer = empty()
    answer.headers["Allow"] = "OPTIONS, GET, HEAD, PATCH, DELETE" if upload_id else "OPTIONS, POST"
    answer.headers["Tus-Version"] = tus_headers.VERSION
    answer.headers["Tus-Extension"] = EXTENSIONS
    answer.headers["Tus-Max-Size"] = str(services().settings.max_upload_bytes)
    answer.headers["Tus-Checksum-Algorithm"] = ",".join(tus_headers.ALGORITHMS)
    return answer


@routes.post(PATH, provide_automatic_options=False)
@documented(
    Operation(
        summary="Begin a resumable upload",
        tag="uploads",
        description="The protocol is tus 1.0.0 (https://tus.io); its clients work unchanged. The bytes follow with "
        f"PATCH; the first of them may come along as the body ({tus_headers.MEDIA_TYPE}). "
        "When all are there, the id of the upload can be sent as the field upload of POST /v1/jobs. "
        f"An account may have {pending.MOST_UPLOADS} unfinished uploads; a finished one counts no more. "
        f"{overriding.HEADER}: PATCH (or DELETE) makes a POST to an upload's address one.",
        parameters=(described.VERSION, described.LENGTH, described.DEFERRED, described.DETAILS, described.CHECKSUM),
        answers={
            201: Answer(
                "Begun.", headers={"Location": Header("Where the bytes go."), **described.OFFSET, **described.EXPIRES}
            ),
        },
        carries=described.VERSIONS,
        problems=(400, 408, 412, 413, 415, 460, 503),
    )
)
def create() -> AnyResponse:
    """Begin."""
    tus_headers.check_version(request)
    s = services()
    tus_headers.check_extensions(request)
    length = tus_headers.length(request, max_bytes=s.settings.max_upload_bytes)
    details, name = tus_headers.metadata(request)
    checksum = tus_headers.checksum(request)
    body = Incoming(request)
    brings = _brings_bytes(body)
    if brings:
        tus_headers.check_type(request)
        _check_room(body, s.settings.max_upload_bytes if length is None else length)
    new = uploads.NewUpload(owner=caller().account, name=name, details=details, length=length)
    upload = uploads.create(s.store.database, new, hours=s.settings.upload_hours)
    try:
        pending.check(s, upload)
        if brings or length == 0:
            with held(s, upload.id) as hold:
                assert hold is not None  # noqa: S101  # for the type checker: nobody else knows it yet
                receive(s, hold, upload, body, checksum)
    except BaseException:
        # The client does not know the address yet: nobody would ever go on with it.
        _remove(s, upload.id)
        raise
    if brings:
        upload = uploads.get(s.store.database, upload.id) or upload
    answer = empty(201)
    answer.headers["Location"] = schemas.address(s, f"{PATH}/{upload.id}")
    answer.headers["Upload-Offset"] = str(upload.offset)
    return _with_expiry(answer, upload)


@routes.get(f"{PATH}/<upload_id>", provide_automatic_options=False)
@documented(
    Operation(
        summary="Look at a resumable upload",
        tag="uploads",
        description="HEAD is the protocol's way to ask for the offset, in the same headers.",
        head=(described.VERSION,),
        carries=described.VERSIONS,
        answers={
            200: Answer(
                "The upload.",
                schemas.UploadView,
                headers={
                    **described.OFFSET,
                    "Upload-Length": Header("Bytes of the whole, once that is known.", described.COUNT, always=False),
                    "Upload-Defer-Length": Header("1: the length is not known yet.", always=False),
                    "Upload-Metadata": Header("As it came.", always=False),
                    **described.EXPIRES,
                },
            )
        },
        problems=(400, 404, 410, 412),
    )
)
def show(upload_id: str) -> AnyResponse:
    """One upload, for people and, by HEAD, for clients that resume."""
    if request.method == "HEAD":
        tus_headers.check_version(request)
    s = services()
    upload = _as_it_is(s, upload_id)
    taken = jobs.status(s.store.database, upload.id) is not None
    answer = jsonify(
        {
            "id": upload.id,
            "name": upload.name,
            "bytes": upload.length,
            "offset": upload.offset,
            "finished": upload.sha256 is not None,
            "job": upload.id if taken else None,
            "expires_at": schemas.timestamp(upload.expires_at),
        }
    )
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Upload-Offset"] = str(upload.offset)
    if upload.length is None:
        answer.headers["Upload-Defer-Length"] = "1"
    else:
        answer.headers["Upload-Length"] = str(upload.length)
    if upload.details:
        answer.headers["Upload-Metadata"] = upload.details
    return _with_expiry(answer, upload)


@routes.patch(f"{PATH}/<upload_id>", provide_automatic_options=False)
@documented(
    Operation(
        summary="Send the next bytes of a resumable upload",
        tag="uploads",
        description=f"The body is the bytes as they are, with Content-Type: {tus_headers.MEDIA_TYPE}. What arrived "
        "before a connection broke is kept, unless Upload-Checksum came with it. Upload-Length comes along if it was "
        "deferred.",
        carries=described.VERSIONS,
        parameters=(
            described.VERSION,
            described.AT,
            described.CHECKSUM,
        ),
        answers={204: Answer("Kept.", headers={**described.OFFSET, **described.EXPIRES})},
        problems=(400, 404, 409, 410, 412, 413, 415, 423, 460, 503),
    )
)
def append(upload_id: str) -> AnyResponse:
    """Go on with an upload."""
    tus_headers.check_version(request)
    s = services()
    upload = find_upload(s, upload_id)
    body = Incoming(request)
    if _brings_bytes(body):
        tus_headers.check_type(request)
    offset = tus_headers.number(request, "Upload-Offset")
    if offset is None:
        raise bad_option("Send Upload-Offset with the bytes that are there already; HEAD says how many.")
    length = tus_headers.number(request, "Upload-Length")
    tus_headers.check_length(length, max_bytes=s.settings.max_upload_bytes)
    checksum = tus_headers.checksum(request)
    tus_headers.check_offset(upload, offset)
    with held(s, upload.id) as hold:
        upload = find_upload(s, upload_id)
        tus_headers.check_offset(upload, offset)
        if length is not None and tus_headers.is_news(upload, length) and hold is not None:
            pending.check_disk(s, length - offset)
            hold.declare(length)
            upload.length = length
        _check_room(body, (s.settings.max_upload_bytes if upload.length is None else upload.length) - offset)
        if hold is not None:
            offset = receive(s, hold, upload, body, checksum)
        elif any(body.blocks()):  # in chunks, which say beforehand no more than that they come
            _refuse_more(0)
    answer = empty()
    answer.headers["Upload-Offset"] = str(offset)
    return _with_expiry(answer, find_upload(s, upload_id))


@routes.delete(f"{PATH}/<upload_id>", provide_automatic_options=False)
@documented(
    Operation(
        summary="Give a resumable upload up",
        tag="uploads",
        description="An upload that a job took is deleted with the job.",
        carries=described.VERSIONS,
        parameters=(described.VERSION,),
        answers={204: Answer("Deleted.")},
        problems=(400, 404, 409, 410, 412, 423),
    )
)
def delete(upload_id: str) -> AnyResponse:
    """Delete what is there of it."""
    tus_headers.check_version(request)
    s = services()
    upload = find_upload(s, upload_id)
    if not uploads.abandon(s.store.database, upload.id):
        if find_upload(s, upload_id).taken_at is not None:
            raise Problem(409, f"A job was made of this upload; delete it with DELETE /v1/jobs/{upload.id}.")
        raise busy()
    _remove(s, upload.id)
    return empty()


def _as_it_is(s: Services, upload_id: str) -> ResumableUpload:
    upload = find_upload(s, upload_id)
    try:
        return settled(s, upload, patience=0)
    except (Problem, StorageFull, OSError) as error:
        # Another request is at it, or it cannot be finished now: it is looked at only, and somebody else will be told.
        log.info("an upload that is all there could not be finished", upload=upload_id, error=type(error).__name__)
        return find_upload(s, upload_id)


def _remove(s: Services, upload_id: str) -> None:
    # Files first: a record without files is found again when it expires, files without a record only by the sweep.
    s.store.files.delete(upload_id)
    uploads.forget(s.store.database, upload_id)


def _brings_bytes(body: Incoming) -> bool:
    return bool(body.length) or request.mimetype == tus_headers.MEDIA_TYPE or "Transfer-Encoding" in request.headers


def _check_room(body: Incoming, room: int) -> None:
    if (body.length or 0) > room:
        _refuse_more(room)


def _refuse_more(room: int) -> NoReturn:
    raise Problem(413, f"The upload has {room} bytes left, and the request brings more; send only what is missing.")


def _with_expiry(answer: AnyResponse, upload: ResumableUpload) -> AnyResponse:
    answer.headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    return answer
