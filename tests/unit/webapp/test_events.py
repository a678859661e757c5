"""Following a job: what comes, in which order, and how a stream that broke off goes on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipelines.documents import Chunk, ChunkPlan, ChunkTranscript, Document, Segment, Span, Transcript
from pipelines.joining import join
from store import jobs, steps
from tests.stack import until
from tests.unit.webapp.conftest import AUTH, begin, do, some_transcript, words, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.live import LiveSegments
from webapp.services import Services

Send = Callable[..., TestResponse]
CHUNKS = 3


@dataclass
class Event:
    name: str
    data: Any
    id: str | None


def parse(text: str) -> list[Event]:
    """What a browser would make of it."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "event" in fields:
            found.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found


class Reader:
    """Reads a stream in a thread of its own."""

    def __init__(self, client: FlaskClient, job_id: str, **headers: str) -> None:
        self.text = ""
        self.headers: Any = None
        self.thread = threading.Thread(target=self._read, args=(client.application, job_id, {**AUTH, **headers}))
        self.thread.start()
        until(lambda: self.text, 30, "the beginning")

    def _read(self, app: Flask, job_id: str, headers: dict[str, str]) -> None:
        response = app.test_client().get(f"/v1/jobs/{job_id}/events", headers=headers)
        self.headers = response.headers
        for part in response.iter_encoded():
            self.text += part.decode()
        response.close()

    @property
    def events(self) -> list[Event]:
        return parse(self.text[: self.text.rfind("\n\n") + 2])

    def segments(self) -> list[Any]:
        return [e.data for e in self.events if e.name == "segment"]

    def end(self) -> list[Event]:
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.events


def follow(client: FlaskClient, job_id: str, **headers: str) -> list[Event]:
    """The whole stream of a job that is over."""
    with client.get(f"/v1/jobs/{job_id}/events", headers={**AUTH, **headers}) as answer:
        assert answer.status_code == 200
        return parse(answer.text)


def plan() -> ChunkPlan:
    chunks = [
        Chunk(index=n, start=max(0, n * 30.0 - 2), end=n * 30.0 + 32, spans=[Span(start=n * 30.0, end=n * 30.0 + 28)])
        for n in range(CHUNKS)
    ]
    return ChunkPlan(duration=92.0, speech_seconds=84, chunks=chunks, seams=[n * 30.0 for n in range(1, CHUNKS)])


def part(number: int) -> ChunkTranscript:
    segments = []
    for n in range(4):
        found = words(f"Part {number} says sentence {n}.", number * 30.0 + 3 + n * 6)
        text = "".join(w.word for w in found).strip()
        times = {"start": found[0].start, "end": found[-1].end}
        segments.append(Segment(id=n, text=text, avg_logprob=-0.1, no_speech_prob=0.0, words=found, **times))
    return ChunkTranscript(
        index=number, language="en", language_probability=1, model="demo", transcribed_seconds=28, segments=segments
    )


def joined() -> list[Any]:
    return [s.model_dump(mode="json") for s in join(plan(), [part(n) for n in range(CHUNKS)])]


def keep(services: Services, job_id: str, name: str, document: Document) -> None:
    with services.store.files.create(job_id, name) as upload:
        upload.write(document.model_dump_json().encode())
        upload.keep()


@pytest.fixture
def job_id(services: Services, send: Send) -> Iterator[str]:
    """A job whose recording is cut into chunks, none of which is transcribed."""
    made: str = send(language="en").json["id"]
    do(services, made, "normalise")
    do(services, made, "chunk")
    keep(services, made, "chunks.json", plan())
    steps.scatter(services.store.database, made, "transcribe", count=CHUNKS)
    yield made
    jobs.cancel(services.store.database, made)
    services.store.events.changed(made)


def hear(services: Services, job_id: str, number: int) -> None:
    """What a worker does about one chunk."""
    keep(services, job_id, f"segments/{number}.json", part(number))
    do(services, job_id, "transcribe", number)
    services.store.events.changed(job_id)


def finish(services: Services, job_id: str) -> None:
    """The rest of the job, up to its end."""
    transcript = Transcript(**{**dict(some_transcript()), "duration": 92.0, "segments": joined()})
    job = jobs.get(services.store.database, job_id)
    assert job is not None
    done = steps.finished(services.store.database, job_id)
    for stage in (name for name in job.stages if name not in done):
        if stage == "merge":
            from pipelines import transcripts

            with services.store.files.create(job_id, "transcript.json") as upload:
                upload.write("".join(transcripts.lines(transcript, transcript.segments)).encode())
                upload.keep()
        do(services, job_id, stage)
    services.store.files.remove(job_id, "chunks.json", *(f"segments/{n}.json" for n in range(CHUNKS)))
    assert jobs.finish(services.store.database, job_id)
    services.store.events.changed(job_id)


def test_text_comes_as_chunks_finish_and_then_the_end(client: FlaskClient, services: Services, job_id: str) -> None:
    reader = Reader(client, job_id)
    assert reader.headers["Content-Type"] == "text/event-stream"
    assert reader.headers["X-Accel-Buffering"] == "no"
    assert "no-cache" in reader.headers["Cache-Control"]
    hear(services, job_id, 1)  # not its turn
    begin(services, job_id, "transcribe", 0)
    services.store.events.report(job_id, "transcribe", 0, 0.5)
    until(lambda: any(e.name == "progress" for e in reader.events), 30, "progress")
    assert not reader.segments()
    steps.free(services.store.database, steps.silent(services.store.database, seconds=-1))
    hear(services, job_id, 0)
    until(lambda: len(reader.segments()) >= 6, 30, "the text of two chunks")
    assert reader.segments() == joined()[: len(reader.segments())]
    hear(services, job_id, 2)
    until(lambda: len(reader.segments()) == 12, 30, "all text")
    finish(services, job_id)
    seen = reader.end()
    assert reader.text.startswith("retry: ")
    assert (seen[0].name, seen[0].data["id"], seen[-1].name) == ("job", job_id, "done")
    assert seen[-1].data == client.get(f"/v1/jobs/{job_id}", headers=AUTH).json
    assert {e.name for e in seen[1:-1]} == {"progress", "segment"}
    assert reader.segments() == joined()
    assert [e.id for e in seen if e.name == "segment"] == [str(n) for n in range(12)]
    assert set(next(e.data for e in seen if e.name == "progress")) == {
        "status", "progress", "eta_seconds", "queue_position", "steps",
    }  # fmt: skip


@pytest.mark.parametrize("last", [-1, 0, 5, 11, 400])
def test_a_stream_that_broke_off_goes_on_right_behind(
    client: FlaskClient, services: Services, job_id: str, last: int
) -> None:
    for n in range(CHUNKS):
        hear(services, job_id, n)
    headers = {"Last-Event-ID": str(last)} if last >= 0 else {}
    reader = Reader(client, job_id, **headers)
    rest = joined()[last + 1 :]
    until(lambda: len(reader.segments()) >= len(rest), 30, "the rest")
    finish(services, job_id)
    assert (reader.end()[-1].name, reader.segments()) == ("done", rest)
    # Once it is over it comes out of the transcript, the same.
    assert [e.data for e in follow(client, job_id, **headers) if e.name == "segment"] == rest


def test_whoever_has_seen_the_end_is_told_not_to_come_again(
    client: FlaskClient, services: Services, job_id: str
) -> None:
    database = services.store.database
    hear(services, job_id, 0)
    jobs.fail(database, job_id, code="worker_lost", detail="It was lost.", stage="transcribe")
    first = follow(client, job_id)
    assert first[-1].id
    assert [e.name for e in first] == ["job", *["segment"] * (len(first) - 2), "failed"]
    assert first[-1].data["error"]["code"] == "worker_lost"
    assert len(first) > 3
    again = {"Last-Event-ID": str(first[-1].id)}
    assert client.get(f"/v1/jobs/{job_id}/events", headers={**AUTH, **again}).status_code == 204
    # Another end than the one that was seen: what followed comes.
    for end in (first[-1].id.replace("failed", "done"), first[-1].id.rpartition(".")[0] + ".17"):
        assert [e.name for e in follow(client, job_id, **{"Last-Event-ID": end})][-1] == "failed"
    # Tried again, it ends the same way.
    assert jobs.retry(database, job_id)
    jobs.fail(database, job_id, code="out_of_memory", detail="It was too much.", stage="transcribe")
    second = follow(client, job_id, **again)
    assert [e.name for e in second] == ["job", "failed"]
    assert second[-1].data["error"]["code"] == "out_of_memory"
    again = {"Last-Event-ID": str(second[-1].id)}
    assert client.get(f"/v1/jobs/{job_id}/events", headers={**AUTH, **again}).status_code == 204


@pytest.mark.parametrize(
    "last", ["x", "-1", "1.5", "²", "9" * 400, "7.", ".done", "", "7.done7", "7.done", "7.done.", "\x80é"]
)
def test_an_id_of_somebody_else_is_ignored(client: FlaskClient, services: Services, send: Send, last: str) -> None:
    job_id = send().json["id"]
    transcript = work_off(services, job_id)
    seen = follow(client, job_id, **{"Last-Event-ID": last})
    assert [e.name for e in seen] == ["job", *["segment"] * len(transcript.segments), "done"]


def test_a_job_that_is_cancelled_ends_the_stream_at_once(client: FlaskClient, job_id: str) -> None:
    reader = Reader(client, job_id)
    began = time.monotonic()
    client.post(f"/v1/jobs/{job_id}/cancel", headers=AUTH)
    assert [e.name for e in reader.end()] == ["job", "cancelled"]
    assert time.monotonic() - began < 10


def test_a_job_that_is_deleted_ends_the_stream(client: FlaskClient, services: Services, send: Send) -> None:
    job_id = send().json["id"]
    reader = Reader(client, job_id)
    services.store.files.delete(job_id)
    jobs.delete_record(services.store.database, job_id)
    services.store.events.changed(job_id)
    assert [e.name for e in reader.end()] == ["job"]


def test_progress_comes_only_when_it_changed_and_not_too_often(
    client: FlaskClient, services: Services, job_id: str
) -> None:
    begin(services, job_id, "transcribe", 0)
    reader = Reader(client, job_id)
    began = time.monotonic()
    for n in range(20):
        services.store.events.report(job_id, "transcribe", 0, n / 40)
        services.store.events.changed(job_id)
        time.sleep(0.05)
    done = lambda: next(s["progress"] for s in reader.events[-1].data["steps"] if s["stage"] == "transcribe")  # noqa: E731
    until(lambda: done() == round(19 / 120, 4), 30, "the last")
    count = len(reader.events)
    assert 2 <= count <= 2 + (time.monotonic() - began) / 0.5 + 1
    for _ in range(5):
        services.store.events.changed(job_id)
        time.sleep(0.1)
    time.sleep(0.6)
    assert len(reader.events) == count


def test_a_comment_keeps_the_line_open(client: FlaskClient, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.events.KEEP_ALIVE_SECONDS", 0.2)
    reader = Reader(client, job_id)
    until(lambda: reader.text.count("\n:") >= 3, 30, "three comments")
    assert [e.name for e in reader.events] == ["job"]


def test_when_all_places_are_taken_the_next_is_asked_to_come_later(
    client: FlaskClient, services: Services, send: Send
) -> None:
    job_id = send().json["id"]
    jobs.cancel(services.store.database, job_id)
    taken = 0
    while services.waiting.acquire(blocking=False):
        taken += 1
    response = client.get(f"/v1/jobs/{job_id}/events", headers=AUTH)
    assert is_problem(response, 503, "queue_full")
    assert int(response.headers["Retry-After"]) > 0
    services.waiting.release()
    for _ in range(3):
        assert follow(client, job_id)[-1].name == "cancelled", "each gives its place back"
    head = client.head(f"/v1/jobs/{job_id}/events", headers=AUTH)
    assert (head.status_code, head.content_type, head.text) == (200, "text/event-stream", "")
    for _ in range(taken - 1):
        services.waiting.release()
    with pytest.raises(ValueError, match="too many"):
        services.waiting.release()


def test_the_end_of_the_process_ends_the_streams(client: FlaskClient, services: Services, job_id: str) -> None:
    reader = Reader(client, job_id)
    services.listening.close()
    assert [e.name for e in reader.end()] == ["job"]


def test_what_cannot_be_followed(client: FlaskClient, send: Send) -> None:
    assert is_problem(client.get(f"/v1/jobs/{'0' * 32}/events", headers=AUTH), 404, "not_found")
    assert is_problem(client.get("/v1/jobs/nonsense/events", headers=AUTH), 404, "not_found")
    job_id = send().json["id"]
    assert is_problem(client.get(f"/v1/jobs/{job_id}/events?from=3", headers=AUTH), 400, "invalid_option")
    assert client.get(f"/v1/jobs/{job_id}/events").status_code == 401


def test_live_segments_are_the_transcript_s_whenever_one_looks(app: Any, services: Services, job_id: str) -> None:
    with app.app_context():
        live, late = LiveSegments(services, job_id), LiveSegments(services, job_id)
        found = list(live.each())
        for n in (0, 2, 1):
            hear(services, job_id, n)
            found += list(live.each())
        assert list(live.each()) == []
        assert [s.model_dump(mode="json") for s in found] == joined()
        half = LiveSegments(services, job_id)
        keep(services, job_id, "segments/0.json", part(0))
        first = next(iter(half.each()))
        finish(services, job_id)
        assert [s.model_dump(mode="json") for s in [first, *list(half.each())]] == joined()
        assert [s.model_dump(mode="json") for s in list(late.each())] == joined()
        assert (list(live.each()), list(late.each())) == ([], [])
        services.store.files.delete(job_id)
        assert list(LiveSegments(services, job_id).each()) == []
