"""Recordings by address on a running installation."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack, until
from tests.web_server import Visit, WebServer

SAMPLE = ROOT / "models" / "demo" / "sample.flac"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        server.answers["/talk"] = lambda visit: visit.give(
            SAMPLE.read_bytes(), Content_Disposition="attachment; filename*=UTF-8''Gespr%C3%A4ch.flac"
        )
        yield server


def send(stack: Stack, **body: object) -> str:
    answer = stack.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_a_recording_is_fetched_and_transcribed(stack: Stack, web: WebServer) -> None:
    done = stack.wait(send(stack, url=web.url("/talk?token=geheim"), language="en", formats=["srt"]))
    assert done["status"] == "done", done["error"]
    assert done["source"]["name"] == "Gespräch.flac"
    assert done["source"]["bytes"] == SAMPLE.stat().st_size
    assert done["source"]["duration"] == pytest.approx(29, abs=3)
    assert done["steps"][0]["stage"] == "fetch" and done["steps"][0]["status"] == "done"
    assert stack.transcript(done["id"])["text"].startswith("Welcome to the product demo.")
    audio = stack.client.get(f"/v1/jobs/{done['id']}/audio")
    assert audio.content == SAMPLE.read_bytes() and audio.headers["ETag"].strip('"') == done["source"]["sha256"]
    assert not any("geheim" in stack.log(name) for name in ("web", "cpu", "net", "gpu1", "gpu2", "beat", "flower"))


def test_what_is_not_there_fails_with_a_sentence_and_can_be_tried_again(stack: Stack, web: WebServer) -> None:
    logged = len(stack.log("net"))
    failed = stack.wait(send(stack, url=web.url("/later")))
    assert (failed["status"], failed["error"]["code"], failed["error"]["stage"]) == (
        "failed",
        "invalid_option",
        "fetch",
    )
    assert "404 Not Found" in failed["error"]["detail"]
    web.answers["/later"] = lambda visit: visit.give(SAMPLE.read_bytes())
    stack.client.post(f"/v1/jobs/{failed['id']}/retry").raise_for_status()
    assert stack.wait(failed["id"])["status"] == "done"
    assert "Traceback" not in stack.log("net")[logged:]


def test_a_cancel_ends_a_silent_download(stack: Stack, web: WebServer) -> None:
    reached, left = threading.Event(), threading.Event()

    def answer(visit: Visit) -> None:
        visit.give(b"\0" * 1000, length=1_000_000)
        visit.wfile.flush()
        reached.set()
        visit.connection.settimeout(20)
        visit.connection.recv(1)  # until the other side hangs up
        left.set()

    web.answers["/silent"] = answer
    job_id = send(stack, url=web.url("/silent"))
    assert reached.wait(20)
    stack.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert left.wait(15), "it hung up only when its own patience was over"
    until(lambda: not list((Path(stack.folder) / "data" / "scratch").glob(f"{job_id}-*")), 30, "the scratch to be gone")
