"""One trace a job, as a collector receives it from real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.otlp_receiver import Collector, Span, collecting
from tests.stack import ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
CLIENT_TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["normalise", "chunk", "detect_language", "transcribe chunk", "transcribe", "merge"]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector, fuse: Path) -> Iterator[Stack]:
    env = {
        "ENABLE_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "longhand-of-test",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=tests", "OTEL_BSP_SCHEDULE_DELAY": "200",
        "PLUGINS": str(ROOT / "tests" / "plugins"), "WHISPER_ENGINE": "deadly", "LONGHAND_TEST_DEADLY": str(fuse),
    }  # fmt: skip
    with Stack(tmp_path_factory.mktemp("traced"), cpu_children=1, net_threads=2, **env) as running:
        yield running


def trace(collector: Collector, job_id: str) -> list[Span]:
    """A job's spans, once its end is among them, and each that has children."""

    def whole() -> list[Span] | None:
        spans = collector.of(job_id)
        ids = {span.id for span in spans}
        named = {span.name for span in spans}
        complete = "job" in named and all(span.parent in ids or not span.parent for span in spans)
        return spans if complete and {*STAGES} - {"detect_language"} <= named else None

    found: list[Span] = until(whole, 60, "the whole trace")
    return found


def test_a_job_is_one_trace_from_request_to_end(traced: Stack, collector: Collector) -> None:
    sent = {"X-Request-ID": "traced-request", "traceparent": f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"}
    file = {"file": ("Notes on a divorce.flac", SAMPLE.read_bytes())}
    job = traced.client.post("/v1/jobs", files=file, headers=sent).json()
    assert traced.wait(job["id"])["status"] == "done"
    spans = trace(collector, job["id"])
    by_name = {span.name: span for span in spans}

    [root] = [span for span in spans if not span.parent]
    assert root.name == "POST /v1/jobs" and root.facts["longhand.request_id"] == "traced-request"
    [theirs] = [span for span in collector.spans if span.trace == CLIENT_TRACE]
    assert theirs.parent == CLIENT_SPAN and theirs.links == [(job["id"], root.id)]
    assert root.links == [(CLIENT_TRACE, theirs.id)]

    assert {*STAGES} <= by_name.keys()
    chunks = [span for span in spans if "longhand.chunk" in span.facts]
    assert {span.parent for span in chunks} == {by_name["transcribe"].id}
    assert {span.parent for span in spans if span not in chunks and span is not root} == {root.id}
    assert all(span.end >= span.start and span.failed is None for span in spans)
    for name in {*STAGES} - {"transcribe"}:
        work = by_name[name]
        [wait] = [s for s in spans if s.name == "queue wait" and s.facts["longhand.stage"] == name.split()[0]]
        assert root.start <= wait.start <= wait.end and abs(wait.end - work.start) < 0.001
        assert work.facts["longhand.worker"] == (
            "gpu1@test" if "transcribe" in name or "detect" in name else "cpu@test"
        )
        assert (work.facts["longhand.attempt"], work.facts["longhand.outcome"]) == (1, "done")
    assert by_name["transcribe chunk"].facts["longhand.audio_seconds"] > 1
    end = by_name["job"].facts
    assert (end["longhand.outcome"], end["longhand.model"], end["longhand.chunks"]) == ("done", "demo", 1)
    assert by_name["job"].end >= max(s.end for s in spans if s.name in STAGES) - 0.001
    assert {span.service["service.name"] for span in spans} == {"longhand-of-test"}
    assert {headers["x-tenant"] for headers in collector.headers} == {"tests"}
    assert b"divorce" not in collector.raw and traced.env["API_KEY"].encode() not in collector.raw


def test_a_batch_is_a_trace_a_job_and_a_killed_process_leaves_its_work_in_it(
    traced: Stack, collector: Collector, fuse: Path
) -> None:
    fuse.write_text("x")
    files = [("file", ("a.flac", SAMPLE.read_bytes())), ("file", ("b.txt", b"no recording at all"))]
    made = traced.client.post("/v1/jobs", files=files).json()["jobs"]
    good, bad = (traced.wait(job["id"]) for job in made)
    assert (good["status"], bad["status"]) == ("done", "failed") and fuse.read_text() == ""
    spans = trace(collector, good["id"])
    chunks = sorted((span for span in spans if span.name == "transcribe chunk"), key=lambda span: span.start)
    assert [span.facts["longhand.outcome"] for span in chunks] == ["worker_lost", "done"]
    assert chunks[0].failed == "worker_lost" and chunks[1].facts["longhand.attempt"] == 2
    assert len({span.parent for span in chunks}) == 1

    until(lambda: any(span.name == "job" for span in collector.of(bad["id"])), 60, "the end of the other")
    failed = {span.name: span.failed for span in collector.of(bad["id"]) if span.failed}
    assert failed == dict.fromkeys(("normalise", "job"), bad["error"]["code"])
    roots = [span for job in made for span in collector.of(job["id"]) if not span.parent]
    assert [(span.trace, span.name) for span in roots] == [(job["id"], "POST /v1/jobs") for job in made]
