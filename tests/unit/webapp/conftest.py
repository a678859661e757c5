"""The application over a real record, real files and a real Redis, without workers."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask, Response, current_app, request
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from config.settings import Settings
from pipelines import transcripts
from pipelines.documents import Segment, Transcript, Word
from store import jobs, steps
from store.models import WHOLE
from store.steps import Piece
from tests.stack import KEY, RedisServer
from webapp import create_app
from webapp.openapi import operation_of
from webapp.services import Services

_compile = Rule._compile_builder
_compiled: dict[tuple[str, str, bool], Callable[..., tuple[str, str]]] = {}


def _compile_once(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """What Werkzeug compiles of a route. It is half the time that an application takes, and there are a thousand."""
    key = (rule.rule, repr(rule.defaults), append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]


Rule._compile_builder = _compile_once  # type: ignore[method-assign]

AUTH = {"Authorization": f"Bearer {KEY}"}
SOUND = bytes(range(256)) * 40


@pytest.fixture
def redis_url(redis_server: RedisServer) -> Iterator[str]:
    """A database of that server that is empty before and after."""
    url = f"{redis_server.url}?db=3"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def make(tmp_path: Path, redis_url: str, new_record: Callable[[Path], None]) -> Iterator[Callable[..., Flask]]:
    """Applications with other settings than the usual ones."""
    made: list[Services] = []

    def make(**other: Any) -> Flask:
        usual = {"data_dir": tmp_path / "data", "redis_url": redis_url, "api_key": KEY, "whisper_models": ["demo"]}
        if not {"data_dir", "database_url"} & set(other):
            new_record(tmp_path / "data" / "longhand.db")
        app = create_app(Settings(_env_file=None, **{**usual, **other}))
        made.append(app.extensions["longhand"])
        app.after_request(_as_documented)
        return app

    yield make
    for s in made:
        s.listening.close()
        s.probes.close()
        s.figures.close()
        s.queues.close()
        s.flow.app.close()
        s.store.database.engine.dispose()
        s.store.events._client.close()
        s.tickets.close()


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    return make(max_upload_mb=1, sync_timeout_seconds=20)


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["longhand"]
    return found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def send(client: FlaskClient) -> Callable[..., TestResponse]:
    """POST /v1/jobs with some recording and these fields."""

    def send(sound: bytes | None = SOUND, name: str = "talk.mp3", **fields: Any) -> TestResponse:
        data = dict(fields)
        if sound is not None:
            data["file"] = (io.BytesIO(sound), name)
        return client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data")

    return send


def _as_documented(response: Response) -> Response:
    """No test sees an answer whose status the API document does not name for its operation."""
    operation = operation_of(current_app.view_functions[request.endpoint]) if request.endpoint else None
    if operation is not None and request.method != "OPTIONS":
        # 499: nobody is there any more to be answered.
        known = {*operation.answers, *operation.refusals, 499}
        assert response.status_code in known, f"{request.method} {request.url_rule} gives {response.status_code}"
    return response


def files_of(services: Services) -> set[str]:
    """Everything in storage, as job/name."""
    root = services.store.files.local
    assert root is not None
    return {p.relative_to(root).as_posix() for p in root.rglob("*")} - {"health"}


def words(text: str, start: float) -> list[Word]:
    return [
        Word(start=start + n * 0.5, end=start + n * 0.5 + 0.4, word=f" {w}", probability=0.9)
        for n, w in enumerate(text.split())
    ]


def some_transcript() -> Transcript:
    texts = ["The quick brown fox jumps over the lazy dog & runs <away>.", "Über the hill — and far away."]
    segments = []
    for n, text in enumerate(texts):
        found = words(text, n * 10.0)
        segments.append(
            Segment(
                id=n,
                start=found[0].start,
                end=found[-1].end,
                text=text,
                language="en",
                avg_logprob=-0.2,
                no_speech_prob=0.01,
                words=found,
            )
        )
    return Transcript(
        text=" ".join(texts),
        language="en",
        language_probability=0.98,
        duration=30.0,
        speech_seconds=9.0,
        transcribed_seconds=9.0,
        model="demo",
        segments=segments,
    )


def begin(services: Services, job_id: str, stage: str, item: int = WHOLE) -> str:
    """Claim a piece of work as a worker does; the claim."""
    piece = Piece(job_id, stage, item)
    limits = {"max_attempts": 3, "stale_seconds": 60}
    got, claim = steps.begin(services.store.database, piece, task_id=f"{stage}-{item}", worker="w", **limits)
    assert got is steps.Begin.RUN
    return claim


def do(services: Services, job_id: str, stage: str, item: int = WHOLE) -> None:
    """Claim a piece of work and finish it."""
    claim = begin(services, job_id, stage, item)
    assert steps.done(services.store.database, Piece(job_id, stage, item), claim)


def work_off(services: Services, job_id: str, transcript: Transcript | None = None) -> Transcript:
    """What workers do to the record and the files of a job, from first to last."""
    database = services.store.database
    job = jobs.get(database, job_id)
    assert job is not None
    for stage in job.stages:
        if services.flow.stages[stage].each:
            for item in steps.scatter(database, job_id, stage, count=2):
                do(services, job_id, stage, item)
        else:
            do(services, job_id, stage)
    transcript = transcript or some_transcript()
    with services.store.files.create(job_id, "transcript.json") as upload:
        upload.write("".join(transcripts.lines(transcript, transcript.segments)).encode())
        upload.keep()
    facts = {"duration": transcript.duration, "format": "mp3", "language": transcript.language}
    jobs.describe(database, job_id, {**facts, "warnings": [{"code": "demo_model", "detail": "d"}]})
    assert jobs.finish(database, job_id)
    return transcript
