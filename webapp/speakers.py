"""The names of speakers: what people call them, over what the recording's own analysis calls them."""

import re

from flask import Blueprint, jsonify, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response as AnyResponse

from pipelines.documents import Speaker
from store import jobs
from webapp.errors import Problem, bad_option
from webapp.intake.values import PRINTABLE, parsed
from webapp.lookup import find_job, no_job
from webapp.openapi import Answer, Operation, documented
from webapp.results import named, no_transcript, read_head
from webapp.services import services

routes = Blueprint("speakers", __name__)

MAX_NAME = 100
_BODY = 'Send a JSON object of ids and names, such as {"SPEAKER_00": "Ada"}; null gives the usual name back.'


class Speakers(TypedDict):
    """The speakers of a transcript."""

    speakers: list[Speaker]


@routes.patch("/v1/jobs/<job_id>/speakers")
@documented(
    Operation(
        summary="Name the speakers of a transcript",
        description="Speakers that are not mentioned keep their names. From then on the names stand in every format.",
        answers={200: Answer("All speakers of the transcript.", Speakers)},
        problems=(400, 404, 409, 413, 415),
        body={
            "type": "object",
            "description": "Speaker's id -> name; null gives the usual name back.",
            "additionalProperties": {"type": ["string", "null"], "maxLength": MAX_NAME, "pattern": PRINTABLE},
            "minProperties": 1,
            "examples": [{"SPEAKER_00": "Ada"}],
        },
        tag="results",
    )
)
def rename(job_id: str) -> AnyResponse:
    """Remember names for some speakers."""
    s = services()
    job = find_job(s, job_id)
    names = _names()
    if job.status != "done":
        raise no_transcript(job)
    summary = read_head(s, job)
    known = [speaker.id for speaker in summary.speakers]
    for speaker in names:
        if speaker not in known:
            there = f"there are {', '.join(known)}" if known else "it has none"
            raise bad_option(f"The transcript has no speaker {speaker[:60]!r}; {there}.")
    kept = jobs.rename_speakers(s.store.database, job_id, names)
    if kept is None:
        raise no_job()
    s.store.events.changed(job_id)
    return jsonify({"speakers": [one.model_dump() for one in named(summary, kept).speakers]})


def _names() -> dict[str, str | None]:
    if request.mimetype != "application/json":
        raise Problem(415, f"Send application/json. {_BODY}")
    try:
        body = parsed(request.get_data())
    except (ValueError, RecursionError) as error:
        raise bad_option(_BODY) from error
    if not isinstance(body, dict) or not body:
        raise bad_option(_BODY)
    names: dict[str, str | None] = {}
    for speaker, name in body.items():
        if name is not None and not isinstance(name, str):
            raise bad_option(f"The name of {speaker[:60]!r} must be text, or null.")
        if name is not None and not (len(name) <= MAX_NAME and re.fullmatch(PRINTABLE, name)):
            raise bad_option(f"The name of {speaker[:60]!r} must be 1 to {MAX_NAME} printable characters, or null.")
        names[speaker] = " ".join(name.split()) if name is not None else None
    return names
