"""What is queued when: over real records and a real broker, with nobody working."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from config.settings import Settings
from pipelines.stage import discover, plan
from store import Store, jobs, open_store, steps
from store.figures import REQUEST_ID
from store.models import WHOLE
from tasks.flow import Flow, QueueUnavailable, open_flow
from tasks.order import ready, run_from
from tests.stack import RedisServer


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Iterator[Settings]:
    found = Settings(_env_file=None, redis_url=redis_server.empty(), data_dir=tmp_path)  # type: ignore[call-arg]
    yield found
    queued(found)


def queued(settings: Settings) -> list[tuple[str, str, list[Any], list[str]]]:
    """Takes all messages: (queue, task, arguments, what its chain goes on with)."""
    found = []
    with redis.Redis.from_url(settings.redis_url) as client:
        for queue in ("cpu", "gpu"):
            for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
                while (raw := client.rpop(queue + suffix)) is not None:
                    message = json.loads(raw)
                    body = json.loads(__import__("base64").b64decode(message["body"]))
                    behind = [link["task"] for link in reversed(body[2]["chain"] or [])]
                    found.append((queue, message["headers"]["task"], body[0], behind))
    return found


def submitted(flow: Flow, store: Store, **options: Any) -> str:
    stages = plan(flow.stages, options)
    new = jobs.NewJob(
        id=jobs.new_id(),
        owner="",
        options=options,
        stages=[s.name for s in stages],
        source_name="x",
        source_bytes=1,
        source_sha256="",
    )
    jobs.create(store.database, new, each=[s.name for s in stages if s.each])
    flow.submit(new.id)
    return new.id


def do(store: Store, job_id: str, *stages: str, item: int = WHOLE) -> None:
    for stage in stages:
        piece = steps.Piece(job_id, stage, item)
        _, claim = steps.begin(store.database, piece, task_id="t", worker="w", max_attempts=3, stale_seconds=30)
        assert steps.done(store.database, piece, claim)


def chunks(store: Store, job_id: str, count: int) -> None:
    with store.files.create(job_id, "chunks.json") as upload:
        upload.write(json.dumps({"chunks": [{}] * count}).encode())
        upload.keep()


def test_a_new_job_is_one_chain_up_to_the_chunks(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store)
    assert queued(settings) == [("cpu", "stage.normalise", [job_id], ["stage.chunk", "stage.detect_language"])]


def test_every_message_of_a_job_names_its_request_also_when_it_is_sent_anew_after_a_retry(
    flow: Flow, store: Store, settings: Settings
) -> None:
    job_id = submitted(flow, store)  # by a request that had no id
    assert requests(settings) == [None, None, None]
    jobs.cancel(store.database, job_id)
    assert jobs.retry(store.database, job_id, request_id="second")
    flow.take_up(job_id)  # as upkeep does, which has no request at all
    assert requests(settings) == ["second", "second", "second"]


def requests(settings: Settings) -> list[Any]:
    """The request that a queued message names, and those that the rest of its chain will."""
    with redis.Redis.from_url(settings.redis_url) as client:
        message = json.loads(client.rpop("cpu\x06\x163") or "")
    behind = json.loads(__import__("base64").b64decode(message["body"]))[2]["chain"]
    return [
        message["headers"].get(REQUEST_ID),
        *((link["options"].get("headers") or {}).get(REQUEST_ID) for link in behind),
    ]


def test_each_chunk_is_one_message_to_the_gpu_queue(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store, language="en")
    queued(settings)
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 2)
    flow.submit(job_id)
    assert queued(settings) == [("gpu", "stage.transcribe", [job_id, n], []) for n in range(2)]


def test_a_resumed_job_gets_only_the_chunks_that_are_left(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 3)
    flow.submit(job_id)
    queued(settings)
    do(store, job_id, "transcribe", item=1)
    flow.submit(job_id)
    assert [m[2] for m in queued(settings)] == [[job_id, 0], [job_id, 2]]


def test_after_the_last_chunk_the_rest_is_one_chain(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 1)
    flow.submit(job_id)
    do(store, job_id, "transcribe", item=0)
    queued(settings)
    flow.submit(job_id)
    assert queued(settings) == [("cpu", "stage.merge", [job_id], ["stage.export", "job.finish"])]


def test_silence_goes_straight_on_to_the_merge(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 0)
    queued(settings)
    flow.submit(job_id)
    assert queued(settings) == [("cpu", "stage.merge", [job_id], ["stage.export", "job.finish"])]


def test_a_job_whose_steps_are_all_done_is_only_finished(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 0)
    flow.submit(job_id)
    do(store, job_id, "merge", "export")
    queued(settings)
    flow.submit(job_id)
    assert queued(settings) == [("cpu", "job.finish", [job_id], [])]


def test_a_job_that_is_over_or_gone_queues_nothing(flow: Flow, store: Store, settings: Settings) -> None:
    job_id = submitted(flow, store)
    queued(settings)
    jobs.cancel(store.database, job_id)
    flow.submit(job_id)
    flow.submit("0" * 32)
    assert queued(settings) == []


def test_a_job_with_a_stage_that_is_gone_fails_with_a_sentence(flow: Flow, store: Store, settings: Settings) -> None:
    new = jobs.NewJob(
        id=jobs.new_id(), owner="", options={}, stages=["normalise", "polish"], source_name="x", source_bytes=1,
        source_sha256="",
    )  # fmt: skip
    jobs.create(store.database, new)
    flow.submit(new.id)
    job = jobs.get(store.database, new.id)
    assert job is not None and job.status == "failed" and job.error is not None
    assert "polish" in job.error["detail"]
    assert queued(settings) == []


def test_what_waits_is_counted_over_all_queues_and_priorities(flow: Flow, store: Store, settings: Settings) -> None:
    assert flow.waiting() == 0
    submitted(flow, store)
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, 2)
    flow.submit(job_id)
    assert flow.waiting() == 4
    queued(settings)


def test_a_broker_that_is_away_is_an_error_soon(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, redis_url=f"unix://{tmp_path}/nobody", data_dir=tmp_path)  # type: ignore[call-arg]
    store = open_store(settings)
    store.database.upgrade()
    with pytest.raises(QueueUnavailable):
        submitted(open_flow(settings, store), store)
    store.database.engine.dispose()


def test_a_run_stops_where_something_else_must_be_waited_for() -> None:
    stages = {s.name: s for s in plan(discover(), {})}
    heads = ready(stages, set())
    assert [s.name for s in heads] == ["normalise"]
    assert [s.name for s in run_from(heads[0], stages, set())] == ["normalise", "chunk", "detect_language"]
    done = {"normalise", "chunk", "detect_language", "transcribe"}
    assert [s.name for s in run_from(stages["merge"], stages, done)] == ["merge", "export"]
