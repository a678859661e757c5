"""Text as Server-Sent Events, while it is being made, as OpenAI sends it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from flask import Response

from pipelines.documents import Segment
from pipelines.languages import between_sentences
from store.models import OVER
from webapp.connection import event_stream
from webapp.errors import Problem, openai_error
from webapp.live import LiveSegments
from webapp.openai import shapes
from webapp.openai.fields import Wanted
from webapp.services import Services
from webapp.waiting.synchronous import Call, ClientGone

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 10.0
SEND_SECONDS = 60.0
"""A client that takes nothing for this long has gone."""
BEGIN_SECONDS = 2.0
"""How long the first word is held back: a recording that cannot be read is refused with a proper status."""
_DONE = "data: [DONE]\n\n"


def answer(s: Services, call: Call, wanted: Wanted) -> Response:
    """The stream of a call's job, which goes on with the call.

    Raises:
        ClientGone: There is nobody to answer to.
        Problem: The job failed already.
    """
    call.begun(BEGIN_SECONDS)
    return event_stream(call.receiver.taking(_Stream(s, call, wanted).run(), seconds=SEND_SECONDS))


class _Stream:
    """The events of one answer."""

    def __init__(self, s: Services, call: Call, wanted: Wanted) -> None:
        self._call = call
        self._live = LiveSegments(s, call.job_id)
        self._logprobs = "logprobs" in wanted.wishes.include
        self._diarized = wanted.wishes.response_format == "diarized_json"
        self._known = wanted.wishes.known_speaker_names
        self._name: Callable[[str | None], str] | None = None
        self._text: list[str] = []
        self._said: list[shapes.TranscriptionLogprob] = []

    def run(self) -> Iterator[str]:
        """Every event; an error that comes in the middle is one too."""
        try:
            yield from self._deltas()
            self._call.result()
            yield from self._done()
        except ClientGone:
            return
        except Problem as problem:
            yield _event(openai_error(problem))
        except Exception:
            log.exception("a stream was broken off", job=self._call.job_id)
            detail = f"Something went wrong on the server; ask for the job at /v1/jobs/{self._call.job_id}."
            yield _event(openai_error(Problem(500, detail)))

    def _deltas(self) -> Iterator[str]:
        sent = time.monotonic()
        for status in self._call.news():
            for segment in self._live.each():
                self._call.patient()  # as long as there is text, it may take longer
                yield from self._delta(segment)
                sent = time.monotonic()
            if status is None or status in OVER:
                return
            if self._live.whole():
                self._call.patient()  # there is no text before the end, but there is somebody who reads
            if time.monotonic() - sent >= KEEP_ALIVE_SECONDS:
                sent = time.monotonic()
                yield ": still here\n\n"

    def _delta(self, segment: Segment) -> Iterator[str]:
        text = segment.text
        if text and any(self._text):
            text = between_sentences(segment.language) + text
        self._text.append(text)
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": text}
        if self._logprobs:
            event["logprobs"] = list(shapes.logprobs_of(segment))
            self._said += event["logprobs"]
        if self._diarized:
            # By now it is known how many speak, and who they are.
            self._name = self._name or shapes.naming(self._live.speakers, self._known)
            spoken = shapes.spoken(segment, self._name(segment.speaker))
            yield _event({**event, "segment_id": spoken["id"]})
            yield _event(spoken)
        else:
            yield _event(event)

    def _done(self) -> Iterator[str]:
        event: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(self._text)}
        if self._logprobs:
            event["logprobs"] = self._said
        yield _event(event)  # without usage: here it may only be in tokens, which nobody counts
        yield _DONE


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
