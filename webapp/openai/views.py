"""The routes of OpenAI's audio API and of its list of models."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from config.models import OPENAI_NAMES
from pipelines import transcripts
from pipelines.documents import Transcript
from pipelines.formats import FORMATS
from pipelines.formats.style import StyleOptions
from pipelines.stages.diarise import SPEAKER_WARNINGS
from store.models import Job
from webapp.errors import bad_option
from webapp.forms import Form
from webapp.gateway import JOB_HEADERS, JOB_OF_REFUSAL, KEY_PARAMETER, PROBLEMS
from webapp.intake.options import JobRequest
from webapp.models import allowed_model, model_names
from webapp.openai import shapes, streaming
from webapp.openai.fields import MAX_FIELD_BYTES, Plain, Wanted, Wishes, read, schemas
from webapp.openapi import Answer, Header, Operation, documented
from webapp.results import open_transcript
from webapp.services import Services, services
from webapp.waiting import synchronous

routes = Blueprint("openai", __name__)

_RELEASED = 1_663_718_400
"""When Whisper was published: what is said of every model, as nobody notes when it was made."""
NOT_APART = "X-Speakers-Warning"
_NOT_APART = {
    NOT_APART: Header(
        "Why speakers were not told apart, or not recognised, in diarized_json.", {"type": "string"}, always=False
    )
}
_TEXT = {"type": "string"}
_MEDIA = {"text/plain": _TEXT, FORMATS["srt"].media_type: _TEXT, FORMATS["vtt"].media_type: _TEXT}
_ABOUT = (
    "Works with OpenAI's own clients. Makes an ordinary job of high priority, whose fields may be sent as well. "
    "Identical requests at the same time share one job; a client that leaves cancels it, unless it or another asks for "
    "the same within seconds. Lists are sent as a repeated field, with brackets or without."
)


class OpenAIModel(TypedDict):
    """A model, or another name of one."""

    id: str
    object: str
    created: int
    owned_by: str


class OpenAIModels(TypedDict):
    """All of them."""

    object: str
    data: list[OpenAIModel]


@routes.post("/v1/audio/transcriptions")
@documented(
    Operation(
        summary="Transcribe as OpenAI does",
        description=_ABOUT,
        answers={
            200: Answer(
                "The text in the format that was asked for.",
                shapes.Transcription | shapes.TranscriptionVerbose | shapes.TranscriptionDiarized,
                media={**_MEDIA, "text/event-stream": _TEXT},
                headers={**JOB_HEADERS, **_NOT_APART},
            )
        },
        problems=PROBLEMS,
        parameters=(KEY_PARAMETER,),
        form=Form("TranscriptionForm", schemas(Wishes)),
        carries=JOB_OF_REFUSAL,
        tag="at once",
    )
)
def transcriptions() -> AnyResponse:
    """A transcription."""
    return _answer(translate=False)


@routes.post("/v1/audio/translations")
@documented(
    Operation(
        summary="Translate into English as OpenAI does",
        description=_ABOUT,
        answers={
            200: Answer(
                "The English text in the format that was asked for.",
                shapes.Translation | shapes.TranslationVerbose,
                media=_MEDIA,
                headers=JOB_HEADERS,
            )
        },
        problems=PROBLEMS,
        parameters=(KEY_PARAMETER,),
        form=Form("TranslationForm", schemas(Plain), without=("task",)),
        carries=JOB_OF_REFUSAL,
        tag="at once",
    )
)
def translations() -> AnyResponse:
    """A translation."""
    return _answer(translate=True)


@routes.get("/v1/models")
@documented(
    Operation(
        summary="List the models that may be asked for",
        answers={200: Answer("Names of this installation, and those that OpenAI's clients know.", OpenAIModels)},
        problems=(400,),
        tag="at once",
    )
)
def models() -> AnyResponse:
    """Every name."""
    settings = services().settings
    names = [name for name in model_names(settings) if " " not in name]
    data = [_model(name) for name in dict.fromkeys([*names, *OPENAI_NAMES])]
    return jsonify({"object": "list", "data": data})


@routes.get("/v1/models/<path:model>")
@documented(
    Operation(
        summary="Look whether a model may be asked for",
        answers={200: Answer("It may.", OpenAIModel)},
        problems=(400, 404),
        tag="at once",
    )
)
def model(model: str) -> AnyResponse:
    """One name."""
    settings = services().settings
    allowed_model(settings, model)
    return jsonify(_model(model))


def _model(name: str) -> OpenAIModel:
    return {"id": name, "object": "model", "created": _RELEASED, "owned_by": "longhand"}


def _no_parameters() -> None:
    for name in request.args:
        raise bad_option(f"There is no parameter {name[:60]!r} here; leave it out.", param=name[:60])


def _answer(*, translate: bool) -> AnyResponse:
    s = services()
    _no_parameters()
    call = synchronous.Call(s, request)
    wanted: list[Wanted] = []

    def reading(fields: synchronous.Fields) -> JobRequest:
        wanted.append(read(s, fields, translate=translate))
        return wanted[0].job

    try:
        with call:
            call.submit(request, reading, max_field_bytes=MAX_FIELD_BYTES)
            if wanted[0].wishes.stream:
                stream = streaming.answer(s, call, wanted[0])
                _warn(stream, wanted[0], _missing(s, wanted[0].job.options))
                return call.finish(call.hand_over(stream))
            job = call.wait()
            return call.finish(_rendered(s, job, wanted[0], translate=translate))
    except synchronous.ClientGone:
        return synchronous.nobody()


def _rendered(s: Services, job: Job, wanted: Wanted, *, translate: bool) -> AnyResponse:
    """The transcript of a job as it was asked for."""
    kind = wanted.wishes.response_format
    if kind in {"srt", "vtt"}:
        return _subtitles(s, job, kind)
    with open_transcript(s, job) as stream:
        if kind == "text":
            text = f"{transcripts.read_summary(stream).text}\n"
            return Response(text, content_type="text/plain; charset=utf-8")
        found = transcripts.read(stream)
    answer = jsonify(_json(found, job, wanted, translate=translate))
    why = [warn.detail for warn in found.warnings if warn.code in SPEAKER_WARNINGS]
    _warn(answer, wanted, " ".join(why) or (None if found.speakers else _missing(s, job.options)))
    return answer


def _missing(s: Services, options: Mapping[str, Any]) -> str | None:
    """Why nobody even tries to tell speakers apart."""
    told = options.get("diarise") or options.get("channels") == "split"
    if told:
        return None
    if (missing := s.diarising.missing()) or not s.serving.missing([s.diarising.queue or ""]):
        return missing
    return "No worker tells speakers apart just now; ask the operator, or send the recording again later."


def _warn(answer: AnyResponse, wanted: Wanted, why: str | None) -> None:
    """Say why speakers are not told apart, where they were to be; OpenAI's own shape has no place for it."""
    if why and wanted.wishes.response_format == "diarized_json":
        # A header holds no other letters, and a name may have some.
        answer.headers[NOT_APART] = " ".join(why.split()).encode("ascii", "replace").decode()


def _json(found: Transcript, job: Job, wanted: Wanted, *, translate: bool) -> Any:
    kind, wishes = wanted.wishes.response_format, wanted.wishes
    temperature = float(job.options.get("temperature") or 0.0)
    if kind == "verbose_json" and translate:
        return shapes.translated_verbose(found, temperature=temperature)
    if kind == "verbose_json":
        asked = wishes.timestamp_granularities or ["segment"]
        return shapes.verbose(found, temperature=temperature, words="word" in asked, segments="segment" in asked)
    if kind == "diarized_json":
        return shapes.diarized(found, known=wishes.known_speaker_names)
    if translate:
        return {"text": found.text}
    languages = wanted.model == "gpt-transcribe"
    return shapes.plain(found, logprobs="logprobs" in wishes.include, languages=languages)


def _subtitles(s: Services, job: Job, name: str) -> AnyResponse:
    style = StyleOptions(**{k: v for k, v in job.options.items() if k in StyleOptions.model_fields}).style()
    made = FORMATS[name]
    with open_transcript(s, job) as stream:
        summary = transcripts.read_summary(stream)
        text = "".join(made.render(summary, transcripts.read_segments(stream), style))
    return Response(text, content_type=f"{made.media_type}; charset=utf-8")
