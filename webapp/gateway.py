"""One recording in, its text out: the model is in the address."""

from flask import Blueprint, jsonify, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from pipelines import transcripts
from webapp.errors import bad_option
from webapp.forms import Form
from webapp.intake.options import JobRequest
from webapp.intake.submission import KEY, KEY_PATTERN
from webapp.models import allowed_model
from webapp.openapi import REPLAYED, Answer, Header, Operation, Parameter, documented
from webapp.results import open_transcript
from webapp.services import services
from webapp.waiting import synchronous

routes = Blueprint("gateway", __name__)

KEY_PARAMETER = Parameter(
    KEY,
    "Makes it safe to send a request again: the same key with the same recording and options within 24 hours gives the "
    "result of the job that was made the first time; with others it is refused.",
    {"type": "string", "pattern": KEY_PATTERN},
    where="header",
)
JOB_HEADERS = {
    synchronous.JOB_HEADER: Header("The job: it is listed in /v1/jobs as well."),
    "Idempotency-Replayed": REPLAYED,
}
JOB_OF_REFUSAL = {synchronous.JOB_HEADER: Header("The job, once there is one.", always=False)}
PROBLEMS = (400, 404, 408, 409, 413, 415, 422, 503, 504)


class SpokenText(TypedDict):
    """What was said."""

    text: str
    language: str | None
    """ISO 639-1 code; null where nobody speaks."""


_OPERATION = Operation(
    summary="Transcribe one recording and wait for the text",
    description="The model stands in the address: a size such as small or large-v3-turbo, a hub id such as "
    "openai/whisper-small, or an alias; /transcribe-small is the same as /transcribe/small. Makes an ordinary job of "
    "high priority. Identical requests at the same time share one job; a client that leaves cancels it, unless it or "
    "another asks for the same within seconds.",
    answers={200: Answer("The text.", SpokenText, headers=JOB_HEADERS)},
    problems=PROBLEMS,
    parameters=(KEY_PARAMETER,),
    form=Form("RecordingForm", without=("model",)),
    carries=JOB_OF_REFUSAL,
    tag="at once",
)


@routes.post("/transcribe/<path:model>")
@routes.post("/transcribe-<path:model>", endpoint="transcribe_dashed")
@documented(_OPERATION)
def transcribe(model: str) -> AnyResponse:
    """Text and language."""
    s = services()
    for name in request.args:
        raise bad_option(f"There is no parameter {name[:60]!r} here; options go into the form.", param=name[:60])
    model = model.rstrip("/") or model  # some clients end every address with one
    allowed_model(s.settings, model)  # before the recording is read

    def read(fields: synchronous.Fields) -> JobRequest:
        if "model" in fields:
            raise bad_option("The model stands in the address here; leave the field out.", param="model")
        return synchronous.reading(s, {**fields, "model": [model]})

    try:
        with synchronous.Call(s, request) as call:
            call.submit(request, read)
            job = call.wait()
            with open_transcript(s, job) as stream:
                found = transcripts.read_summary(stream)
            return call.finish(jsonify({"text": found.text, "language": found.language}))
    except synchronous.ClientGone:
        return synchronous.nobody()
