"""What comes out of a job: the transcript in every format, and the recording to listen to."""

import hashlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from flask import Blueprint, Response, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from pipelines import transcripts
from pipelines.documents import Summary, Transcript
from pipelines.formats import FORMATS, Format
from pipelines.formats.style import StyleOptions
from pipelines.media import media_type
from pipelines.stage import SOURCE
from pipelines.stages.export import TRANSCRIPT, export_name
from store.models import OVER, Job
from webapp import schemas
from webapp.downloads import attach, serve_file
from webapp.errors import Problem, bad_option
from webapp.intake.options import check_query
from webapp.lookup import find_job
from webapp.openapi import Answer, Header, Operation, Parameter, documented
from webapp.services import Services, services

routes = Blueprint("results", __name__)

_TEXT = {"type": "string"}
_MEDIA: dict[str, Mapping[str, Any]] = {f.media_type: _TEXT for f in FORMATS.values() if f.name != "json"}
_FORMAT = Parameter("format", "Format of the answer.", {"type": "string", "enum": list(FORMATS), "default": "json"})
_DOWNLOAD = Parameter("download", "1: to be saved as a file.", {"type": "string", "enum": ["0", "1", "false", "true"]})
_MATCH = Parameter("If-None-Match", "ETag of the copy at hand.", where="header")
_RANGE = Parameter(
    "Range",
    "The bytes that are wanted; what is no range of bytes is ignored.",
    {"type": "string", "examples": ["bytes=0-1023", "bytes=-1"]},
    where="header",
)
_IF_RANGE = Parameter(
    "If-Range", "ETag of the copy that the range completes; of another recording the whole comes.", where="header"
)
_NAME = Header("A name made of the recording's; inline, or with download=1 attachment.")
_OF_AUDIO = {"ETag": Header("Of the content."), "Accept-Ranges": Header("bytes: parts of it can be had.")}
_STYLED = "Subtitle fields choose another look than the job's; a subtitle_preset replaces the job's look, other fields "
_TRANSCRIPT_ANSWERS = {
    200: Answer(
        "The transcript. Times are seconds from the start of the recording; subtitles have their own notation.",
        Transcript,
        media=_MEDIA,
        headers={"ETag": Header("Changes with the content."), "Content-Disposition": _NAME},
    ),
    304: Answer("The copy at hand is still right.", headers={"ETag": Header("Of that copy.")}),
}


@routes.get("/v1/jobs/<job_id>/transcript")
@documented(
    Operation(
        summary="Get the transcript in any format",
        description=f"{_STYLED}change it.",
        answers=_TRANSCRIPT_ANSWERS,
        problems=(400, 404, 409, 422),
        parameters=(_FORMAT, _DOWNLOAD, _MATCH),
        queries=StyleOptions,
        tag="results",
    )
)
def transcript(job_id: str) -> AnyResponse:
    """The transcript in the format of the query."""
    return _transcript(job_id, (request.args.get("format") or "json").strip().casefold(), also=("format", "download"))


@routes.get("/v1/jobs/<job_id>/transcript.<extension>")
@documented(
    Operation(
        summary="Get the transcript in the format of the extension",
        description=f"{', '.join(FORMATS)}. {_STYLED}change it.",
        answers=_TRANSCRIPT_ANSWERS,
        problems=(400, 404, 409, 422),
        parameters=(_DOWNLOAD, _MATCH),
        queries=StyleOptions,
        tag="results",
    )
)
def transcript_file(job_id: str, extension: str) -> AnyResponse:
    """The transcript in the format of the address."""
    return _transcript(job_id, extension.casefold(), also=("download",))


@routes.get("/v1/jobs/<job_id>/audio")
@documented(
    Operation(
        summary="Get the recording as it was sent",
        description="Whole, or one range of its bytes (RFC 9110); of several ranges at once the whole comes.",
        answers={
            200: Answer(
                "The whole recording.",
                media={"*/*": {"type": "string", "format": "binary"}},
                headers={**_OF_AUDIO, "Content-Disposition": _NAME},
            ),
            206: Answer(
                "A part of it.",
                media={"*/*": {"type": "string", "format": "binary"}},
                headers={
                    **_OF_AUDIO,
                    "Content-Range": Header("Which part: bytes <first>-<last>/<length>."),
                    "Content-Disposition": _NAME,
                },
            ),
            304: Answer("The copy at hand is still right.", headers={"ETag": Header("Of that copy.")}),
        },
        problems=(400, 404, 416, 503),
        parameters=(_DOWNLOAD, _MATCH, _RANGE, _IF_RANGE),
        tag="results",
        ticket=True,
    )
)
def audio(job_id: str) -> AnyResponse:
    """The recording, whole or a range of it."""
    s = services()
    job = find_job(s, job_id)
    if not job.source_sha256:  # it is fetched from an address, and nothing is sure of it before all of it is here
        raise Problem(404, _unfetched(job))
    kind = media_type(job.source_format or "")
    try:
        answer = serve_file(s.store.files, job_id, SOURCE, media_type=kind, etag=job.source_sha256)
    except FileNotFoundError as error:
        raise Problem(404, "The recording is not kept any more; send it again.") from error
    attach(answer, job.source_name, download=_download())
    return answer


@routes.get("/results/<job_id>")
@documented(
    Operation(
        summary="Get the result in short",
        description="For simple clients: 202 until the job is over, then 200; status says how it ended.",
        answers={
            200: Answer("The job is over.", schemas.Result),
            202: Answer("Not yet; text and segments are empty.", schemas.Result),
        },
        problems=(404,),
        tag="results",
    )
)
def result(job_id: str) -> AnyResponse:
    """Status, text, language and segments."""
    s = services()
    job = find_job(s, job_id)
    found = _read(s, job) if job.status == "done" else None
    answer = jsonify(
        {
            "status": job.status,
            "text": found.text if found else "",
            "language": found.language if found else job.language,
            "segments": [segment.model_dump(mode="json") for segment in found.segments] if found else [],
            "error": schemas.failure(job),
        }
    )
    answer.status_code = 202 if job.status in ("queued", "running") else 200
    return answer


def _read(s: Services, job: Job) -> Transcript:
    with open_transcript(s, job) as stream:
        return transcripts.read(stream)


def _transcript(job_id: str, name: str, *, also: tuple[str, ...]) -> AnyResponse:
    s = services()
    job = find_job(s, job_id)
    if name not in FORMATS:
        raise bad_option(f"There is no format {name[:20]!r}; choose one of {', '.join(FORMATS)}.")
    if job.status != "done":
        raise no_transcript(job)
    made = FORMATS[name]
    asked = check_query(StyleOptions, request.args.to_dict(), also=also)
    download = _download()
    body = _bytes(s, job, made, asked)
    charset = "" if made.media_type == "application/json" else "; charset=utf-8"
    answer = Response(body, content_type=f"{made.media_type}{charset}")
    answer.set_etag(hashlib.sha256(body).hexdigest()[:32])
    answer.headers["Cache-Control"] = "private, no-cache"
    attach(answer, job.source_name, extension=made.extension, download=download)
    return answer.make_conditional(request)


def _bytes(s: Services, job: Job, made: Format, asked: StyleOptions) -> bytes:
    """The export if it is there and looks as asked, else made on the spot."""
    own = StyleOptions(**{k: v for k, v in job.options.items() if k in StyleOptions.model_fields})
    look = own
    if "subtitle_preset" in asked.model_fields_set:
        look = asked
    elif asked.model_fields_set:
        given = {name: getattr(asked, name) for name in asked.model_fields_set}
        look = StyleOptions(**{**own.model_dump(), **given})
    # Exports made ahead know no names that were given later.
    as_made = not job.speaker_names and (look.style() == own.style() or not made.subtitle)
    if as_made and made.name in job.options.get("formats", ()):
        try:
            return s.store.files.read(job.id, export_name(made.name))
        except FileNotFoundError:
            pass
    with open_transcript(s, job) as stream:
        summary = named(transcripts.read_summary(stream), job.speaker_names)
        return "".join(made.render(summary, transcripts.read_segments(stream), look.style())).encode()


def read_head(s: Services, job: Job) -> Summary:
    """The transcript of a job that is done, without its segments, as the files know it.

    Raises:
        Problem: 404, its files are gone.
    """
    with open_transcript(s, job) as stream:
        return transcripts.read_summary(stream)


def named(summary: Summary, names: dict[str, Any]) -> Summary:
    """A transcript's head with the names that people gave."""
    speakers = [one.model_copy(update={"name": names.get(one.id, one.name)}) for one in summary.speakers]
    return summary.model_copy(update={"speakers": speakers})


def open_transcript(s: Services, job: Job) -> BinaryIO:
    """The transcript of a job that is done, for ``pipelines.transcripts`` to read.

    Raises:
        Problem: 404, its files are gone.
    """
    try:
        return s.store.files.open(job.id, TRANSCRIPT)
    except FileNotFoundError as error:
        raise Problem(404, "The transcript is not kept any more; send the recording again.") from error


def no_transcript(job: Job) -> Problem:
    """409: a job that has not come to a transcript, and why."""
    if job.status == "failed":
        reason = (job.error or {}).get("detail", "")
        return Problem(409, f"The job failed, so there is no transcript: {reason}")
    if job.status == "cancelled":
        again = f"POST /v1/jobs/{job.id}/retry"
        return Problem(409, f"The job was cancelled, so there is no transcript; go on with it by {again}.")
    return Problem(409, f"The job is still {job.status}; ask again when it is done, or wait for it with ?wait=30.")


def _unfetched(job: Job) -> str:
    if job.status in OVER:
        return "The recording was never fetched from its address, so there is none; see the job's error."
    return "The recording is not fetched from its address yet; ask again when the job has come past that."


def _download() -> bool:
    text = (request.args.get("download") or "0").casefold()
    if text not in {"0", "1", "false", "true"}:
        raise bad_option("download must be 0 or 1.")
    return text in {"1", "true"}
