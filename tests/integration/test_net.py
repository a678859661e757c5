"""Other people's servers that hang must hold up nobody but who asked for them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.receiver import Receiver, receiving
from tests.stack import ROOT, Stack, until
from tests.web_server import Visit, WebServer

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
THREADS = 8
HUNG = 3
"""More than there are children for the queue cpu."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("net"), net_threads=THREADS, ALLOW_PRIVATE_URLS="true") as running:
        yield running


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Set: what hangs goes on."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def web(go: threading.Event) -> Iterator[WebServer]:
    def hang(visit: Visit) -> None:
        go.wait(60)
        visit.give(SAMPLE.read_bytes())

    with WebServer() as server:
        server.answers["/hangs"] = hang
        yield server


def asked(web: WebServer) -> set[str]:
    """The recordings that were asked for, once or, on a slow machine, again."""
    return {visit.path for visit in list(web.visits)}


def fetching(stack: Stack, web: WebServer, count: int) -> list[str]:
    """Jobs whose recordings do not come."""
    before = len(asked(web))
    sent = [stack.client.post("/v1/jobs", json={"url": web.url(f"/hangs?{before + n}")}) for n in range(count)]
    until(lambda: len(asked(web)) == before + count, 60, "all of them to be asked for")
    return [answer.raise_for_status().json()["id"] for answer in sent]


def fetch_of(stack: Stack, job_id: str) -> dict[str, Any]:
    steps = stack.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()["steps"]
    found: dict[str, Any] = next(step for step in steps if step["stage"] == "fetch")
    return found


def test_a_clip_overtakes_servers_and_receivers_that_hang(stack: Stack, web: WebServer, go: threading.Event) -> None:
    hung = fetching(stack, web, HUNG)
    with ExitStack() as close:
        receivers = [close.enter_context(receiving()) for _ in range(THREADS)]
        close.callback(go.set)
        for receiver in receivers:
            receiver.answers = [lambda _: go.wait(60) and None]
            stack.post(b"no recording", webhook_url=receiver.url)

        def waiting() -> list[Receiver]:
            return [receiver for receiver in receivers if receiver.got]

        until(lambda: len(waiting()) >= THREADS // 2, 60, "as many webhooks as may be sent at once")
        done = stack.run(SAMPLE, language="en")
        assert done["status"] == "done"
        fetched = stack.client.post("/v1/jobs", json={"url": web.url("/hangs?more"), "priority": "low"})
        until(lambda: "/hangs?more" in asked(web), 60, "one more to be fetched although receivers hang")
        hung.append(fetched.raise_for_status().json()["id"])
        assert {fetch_of(stack, job_id)["status"] for job_id in hung} == {"running"}, "they hang still"
        go.set()
        assert {stack.wait(job_id)["status"] for job_id in hung} == {"done"}
        until(lambda: len(waiting()) == THREADS, 60, "the rest of the webhooks, which had to wait")


def test_a_worker_that_stops_hands_back_what_it_waits_for(stack: Stack, web: WebServer, go: threading.Event) -> None:
    hung = fetching(stack, web, HUNG)
    logged = len(stack.log("net"))
    worker = stack.processes["net"]
    worker.send_signal(signal.SIGQUIT)
    worker.wait(60)
    before = len(web.visits)
    assert "Traceback" not in stack.log("net")[logged:]
    assert {fetch_of(stack, job_id)["status"] for job_id in hung} == {"pending"}
    assert not list((Path(stack.folder) / "data" / "scratch").glob("*"))
    ready = stack.client.get("/health/ready")
    assert ready.status_code == 503
    assert [name for name, check in ready.json()["checks"].items() if not check["ok"]] == ["queue net"]
    stack.start_worker("net", "net", THREADS, pool="threads")
    until(lambda: len(web.visits) >= before + HUNG, 60, "another worker to take them over")
    go.set()
    assert {stack.wait(job_id)["status"] for job_id in hung} == {"done"}
    assert {fetch_of(stack, job_id)["attempts"] for job_id in hung} == {1}, "it was not their fault"
