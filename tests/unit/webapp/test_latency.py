"""How long answers take, as many processes of the API tell it together. Real gunicorn, real Redis."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest
from prometheus_client import parser

from store.tallies import Tallies
from tests.stack import RedisServer, until
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_gunicorn import FORM, HEAD, TAIL, Server, start

NAME = "longhand_http_request_duration_seconds"
Told = dict[tuple[str, str, str], tuple[float, float]]
JOB = "/v1/jobs/<job_id>"
LIVE = ("GET", "/health/live", "2xx")


@pytest.fixture(scope="module")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.empty()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("latency")
    running = start(folder, redis_url, WEB_WORKERS=2, WEB_THREADS=16)
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


def told(server: Server) -> Told:
    """Requests and their seconds by method, route and status."""
    text = httpx.get(f"{server.url}/metrics", headers=AUTH, timeout=20).raise_for_status().text
    found: dict[tuple[str, str, str], list[float]] = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples if family.name == NAME else []:
            if sample.name.endswith(("_count", "_sum")):
                labels = (sample.labels["method"], sample.labels["route"], sample.labels["status"])
                found.setdefault(labels, [0.0, 0.0])[sample.name.endswith("_sum")] = sample.value
    return {labels: (count, seconds) for labels, (count, seconds) in found.items()}


def ask(server: Server, times: int) -> None:
    for _ in range(times):
        assert httpx.get(f"{server.url}/health/live").is_success


def test_what_the_server_waits_for_is_not_its_own_time(server: Server) -> None:
    def slowly() -> Iterator[bytes]:
        yield HEAD
        time.sleep(1.5)
        yield b"x" * 1000 + TAIL

    made = httpx.post(f"{server.url}/v1/jobs", headers=FORM, content=slowly(), timeout=20)
    assert made.status_code == 202
    url = f"{server.url}/v1/jobs/{made.json()['id']}"
    began = time.monotonic()
    assert httpx.get(url, params={"wait": 1.5}, headers=AUTH, timeout=20).is_success
    assert time.monotonic() - began > 1.4
    with httpx.stream("GET", f"{url}/events", headers=AUTH, timeout=20) as stream:
        for _ in stream.iter_lines():
            break
    assert httpx.get(f"{server.url}/v1/jobs/{'0' * 32}", headers=AUTH).status_code == 404
    assert httpx.request("BREW", f"{server.url}/no/such/{'0' * 32}", headers=AUTH).status_code in (404, 405)
    wanted = [("POST", "/v1/jobs", "2xx"), ("GET", JOB, "2xx"), ("GET", f"{JOB}/events", "2xx"), ("GET", JOB, "4xx")]
    found = until(lambda: set(wanted) <= (t := told(server)).keys() and t, 60, "what both processes measured")
    for labels in wanted:
        count, seconds = found[labels]
        assert count == 1 and seconds < 1.0, labels
    assert ("other", "none", "4xx") in found, "nothing that a client makes up is a label"


def test_processes_that_are_killed_take_along_the_last_seconds_and_no_more(server: Server, redis_url: str) -> None:
    every = Tallies(redis_url, "http")  # /metrics may be a second old, of one process or the other

    def counted() -> tuple[int, int]:
        """Requests and microseconds."""
        found = {field: n for field, n in every.read().items() if field.endswith(" /health/live")}
        microseconds = found.pop("GET 2xx sum /health/live", 0)
        return sum(found.values()), microseconds

    before = counted()
    ask(server, 20)
    seen = until(lambda: (n := counted())[0] >= before[0] + 20 and n, 60, "both to have handed over")
    sums = [seen]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            sums.append(counted())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for child in server.process_info.children():
            os.kill(child.pid, signal.SIGKILL)
            until(lambda pid=child.pid: pid not in {c.pid for c in server.process_info.children()}, 60, "its end")
        until(lambda: len(server.process_info.children()) == 2, 60, "new processes")
        until(lambda: told(server)[LIVE][0] >= 20, 60, "an answer", (httpx.HTTPError,))
    finally:
        ended.set()
        watcher.join()
        every.close()
    assert all(now[n] >= then[n] for then, now in pairwise(sums) for n in (0, 1)), "no sum ever goes down"


def test_processes_that_stop_hand_over_everything(server: Server) -> None:
    old = {child.pid for child in server.process_info.children()}
    before = until(lambda: told(server)[LIVE][0], 60, "figures")
    ask(server, 30)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: not old & {c.pid for c in server.process_info.children()}, 30, "the old processes to end")
    assert told(server)[LIVE][0] >= before + 30
