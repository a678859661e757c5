"""Queues that nobody serves, and jobs that can do without what waits there."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.settings import Settings
from pipelines.stage import discover, plan
from store import Store, jobs, steps, turns
from store.events import PREFIX
from store.models import WHOLE
from store.steps import Piece
from tasks.flow import Flow
from tasks.unserved import UNSERVED_SECONDS, send_on
from tests.stack import RedisServer
from tests.unit.test_flow import queued

OPTIONS = {"model": "demo", "language": "en", "diarise": True, "formats": ["srt"]}


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Iterator[Settings]:
    found = Settings(_env_file=None, redis_url=redis_server.empty(), data_dir=tmp_path)  # type: ignore[call-arg]
    yield found
    queued(found)
    redis.Redis.from_url(found.redis_url).flushdb()


def done(store: Store, job_id: str, stage: str) -> None:
    piece = Piece(job_id, stage, WHOLE)
    _, claim = steps.begin(store.database, piece, task_id="t", worker="w@a", max_attempts=4, stale_seconds=60)
    assert steps.done(store.database, piece, claim)


@pytest.fixture
def waiting(store: Store, flow: Flow) -> str:
    """A job all of which is done that can be, but the telling apart of speakers."""
    stages = [stage.name for stage in plan(discover(), OPTIONS)]
    each = [stage.name for stage in plan(discover(), OPTIONS) if stage.each]
    new = jobs.NewJob(jobs.new_id(), "ada", OPTIONS, stages, "talk.mp3", 1, "")
    jobs.create(store.database, new, each=each)
    turns.ask(store.database, new.id, turns.WORK, limits={turns.WORK: 9, turns.PREPARE: 9, turns.NET: 9})
    for stage in ("normalise", "chunk", "detect_language"):
        if stage in stages:
            done(store, new.id, stage)
    steps.scatter(store.database, new.id, "transcribe", count=0)
    return new.id


def test_a_job_goes_on_without_what_it_can_do_without(
    store: Store, flow: Flow, settings: Settings, waiting: str
) -> None:
    send_on(flow, waiting, "diarise")
    assert [(queue, name, args) for queue, name, args, _ in queued(settings)] == [
        ("cpu", "job.without", [waiting, "diarise"])
    ]
    send_on(flow, waiting, "diarise")
    assert queued(settings) == [], "it is on its way"


def test_not_while_anything_else_can_be_done(store: Store, flow: Flow, settings: Settings) -> None:
    stages = [stage.name for stage in plan(discover(), OPTIONS)]
    new = jobs.NewJob(jobs.new_id(), "ada", OPTIONS, stages, "talk.mp3", 1, "")
    jobs.create(store.database, new, each=["transcribe"])
    done(store, new.id, "normalise")
    send_on(flow, new.id, "diarise")
    send_on(flow, "nobody", "diarise")
    assert queued(settings) == []


def test_how_long_a_queue_has_had_no_worker(store: Store, settings: Settings) -> None:
    events, client = store.events, redis.Redis.from_url(settings.redis_url)
    assert events.unserved_for("diarise") == 0.0
    client.set(f"{PREFIX}unserved:diarise", f"{time.time() - UNSERVED_SECONDS:.3f}")
    assert events.unserved_for("diarise") >= UNSERVED_SECONDS
    events.here("diarise@a", ["diarise"])
    assert events.unserved_for("diarise") == 0.0
    client.delete(f"{PREFIX}served:diarise")
    assert events.unserved_for("diarise") < 60, "counted anew since it was served"
    assert events.known(["diarise", "gpu"]) == ["diarise"]
