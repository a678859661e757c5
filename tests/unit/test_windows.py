"""Chunks are sent a few at a time, and jobs when it is their turn: over a real record and broker, nobody working."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import update

from config.settings import Settings
from store import Store, jobs, positions, steps
from store.figures import BEHIND
from store.models import Job, Step
from store.steps import LOST_SECONDS, Begin, Piece
from tasks.capacity import Capacity
from tasks.flow import LARGE_BYTES, Flow, QueueUnavailable
from tests.stack import RedisServer
from tests.unit.test_flow import chunks, do, queued, submitted

CHUNKS = 7
WINDOW = 2
"""Nobody is there, so it is the least there is."""
TURNS = 4


@pytest.fixture
def server() -> Iterator[RedisServer]:
    own = RedisServer()
    yield own.start()
    own.close()


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(_env_file=None, redis_url=server.url, data_dir=tmp_path)  # type: ignore[call-arg]


@pytest.fixture
def long(flow: Flow, store: Store, settings: Settings) -> str:
    """A job of many chunks, none of which is sent yet."""
    job_id = submitted(flow, store, language="en")
    do(store, job_id, "normalise", "chunk")
    chunks(store, job_id, CHUNKS)
    queued(settings)
    return job_id


def sent(settings: Settings) -> list[int]:
    """Takes the messages of chunks, and with them what they would have done."""
    return [arguments[1] for _, task, arguments, _ in queued(settings) if task == "stage.transcribe"]


def begin(store: Store, job_id: str, item: int) -> str:
    limits = {"max_attempts": 3, "stale_seconds": 30}
    begun, claim = steps.begin(store.database, Piece(job_id, "transcribe", item), task_id="t", worker="w", **limits)
    assert begun is Begin.RUN
    return claim


def age(store: Store, seconds: float) -> None:
    with store.database.write() as session:
        before = jobs.now() - timedelta(seconds=seconds)
        session.execute(update(Step).where(Step.sent_at.is_not(None)).values(sent_at=before))


def test_each_chunk_that_is_done_sends_the_next(flow: Flow, store: Store, settings: Settings, long: str) -> None:
    flow.advance(long)
    assert sent(settings) == [0, 1]
    for item in range(CHUNKS):
        flow.advance(long)
        assert sent(settings) == [], "nothing is done since"
        do(store, long, "transcribe", item=item)
        flow.advance(long)
        if item < CHUNKS - 1:
            assert sent(settings) == ([item + WINDOW] if item + WINDOW < CHUNKS else [])
    assert steps.finished(store.database, long) >= {"transcribe"}


def test_what_waits_behind_its_own_recording_says_so(flow: Flow, store: Store, settings: Settings, long: str) -> None:
    with redis.Redis.from_url(settings.redis_url) as client:

        def marks() -> list[bool]:
            found = [json.loads(message)["headers"] for message in client.lrange("gpu\x06\x163", 0, -1)]
            client.delete("gpu\x06\x163")
            return [BEHIND in headers for headers in reversed(found)]

        flow.advance(long)
        assert marks() == [False, True]
        flow.submit(long)
        assert marks() == [False, True], "sent anew, and none has begun"
        do(store, long, "transcribe", item=0)
        flow.advance(long)
        flow.submit(long)
        assert marks() == [True] * 3
        assert jobs.cancel(store.database, long) and jobs.retry(store.database, long)
        flow.submit(long)
        assert marks() == [False, True]


def test_what_runs_counts_and_what_is_freed_is_still_sent(
    flow: Flow, store: Store, settings: Settings, long: str
) -> None:
    flow.advance(long)
    claim = begin(store, long, 0)
    sent(settings)
    flow.advance(long)
    assert sent(settings) == []
    steps.release(store.database, Piece(long, "transcribe", 0), claim, refund=True)
    flow.advance(long)
    assert sent(settings) == [], "its message comes again by itself"


def test_sending_anew_sends_the_first_ones_that_are_not_done(
    flow: Flow, store: Store, settings: Settings, long: str
) -> None:
    flow.advance(long)
    do(store, long, "transcribe", item=1)
    flow.advance(long)
    assert sent(settings) == [0, 1, 2]
    flow.submit(long)
    assert sent(settings) == [0, 2], "they may be lost"
    do(store, long, "transcribe", item=2)
    flow.advance(long)
    assert sent(settings) == [3], "the window is as wide as before"


def test_a_lost_message_does_not_narrow_the_window_for_good(
    flow: Flow, store: Store, settings: Settings, long: str
) -> None:
    flow.advance(long)
    sent(settings)
    age(store, LOST_SECONDS + 1)
    do(store, long, "transcribe", item=1)
    flow.advance(long)
    assert sent(settings) == [0, 2], "0 was sent so long ago that it must be lost"


def test_what_the_broker_did_not_take_is_sent_later(
    flow: Flow, store: Store, settings: Settings, long: str, server: RedisServer
) -> None:
    flow.capacity.turns()
    server.kill()
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            flow.advance(long)
    server.start()
    flow.advance(long)
    assert sent(settings) == [0, 1]


def test_the_end_of_a_stage_is_sent_on_once(flow: Flow, store: Store, settings: Settings, long: str) -> None:
    flow.advance(long)
    for item in range(CHUNKS):
        do(store, long, "transcribe", item=item)
    queued(settings)
    flow.advance(long)
    flow.advance(long)
    merging = [("cpu", "stage.merge", [long], ["stage.export", "job.finish"])]
    assert queued(settings) == merging, "two chunks that were last at once are no reason to send it twice"
    flow.submit(long)
    assert queued(settings) == merging


def test_chunks_that_end_at_once_send_different_ones(store: Store, long: str, flow: Flow) -> None:
    steps.scatter(store.database, long, "transcribe", count=200)
    job = jobs.get(store.database, long)
    assert job is not None
    code = (
        "import sys; from store import steps; from store.database import Database\n"
        "database = Database(sys.argv[1])\n"
        "print(*(n for w in range(5, 105, 5) for n in steps.take_next(database, sys.argv[2], 'transcribe', window=w)))"
    )
    command = [sys.executable, "-c", code, store.database.url, long]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    def take(window: int) -> list[int]:
        return steps.take_next(store.database, long, "transcribe", window=window)

    with ThreadPoolExecutor(8) as pool:
        taken = [n for found in list(pool.map(take, range(5, 105, 5))) for n in found]
    taken += [int(n) for process in processes for n in process.communicate()[0].split()]
    assert sorted(taken) == list(range(100))


def test_retried_chunks_begin_anew(flow: Flow, store: Store, settings: Settings, long: str) -> None:
    flow.advance(long)
    do(store, long, "transcribe", item=0)
    jobs.cancel(store.database, long)
    flow.advance(long)
    assert steps.take_next(store.database, long, "transcribe", window=9) == [], "it is over"
    assert jobs.retry(store.database, long)
    queued(settings)
    flow.submit(long)
    assert sent(settings) == [1, 2]


def test_the_window_is_as_wide_as_there_are_workers(settings: Settings, store: Store) -> None:
    store.events.here("gpu1@a", ["gpu"], children=1)
    store.events.here("gpu2@a", ["gpu", "diarise"], children=2)
    store.events.here("cpu@a", ["cpu"], children=2)
    store.events.here("net@a", ["net"], children=12)
    capacity = Capacity(store.events, settings)
    assert [capacity.window(queue) for queue in ("gpu", "diarise", "cpu", "nobody's")] == [4, 3, 3, 2]
    assert capacity.turns() == {"work": 10, "prepare": 1, "net": 6}
    other = Capacity(store.events, settings.model_copy(update={"account_jobs": 1}))
    assert other.turns()["work"] == 1


def test_what_was_known_of_the_workers_counts_while_nobody_tells(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.capacity._KNOWN_SECONDS", 0.0)
    capacity = Capacity(store.events, settings)
    assert (capacity.window("gpu"), capacity.turns()) == (2, {"work": 4, "prepare": 1, "net": 16})
    store.events.here("gpu@a", ["gpu"], children=3)
    assert capacity.window("gpu") == 4
    store.events.gone("gpu@a")
    assert (capacity.window("gpu"), capacity.turns()["work"]) == (4, 6)


def test_jobs_beyond_their_account_s_turns_wait_in_the_record_alone(
    flow: Flow, store: Store, settings: Settings
) -> None:
    made = [submitted(flow, store, language="en") for _ in range(TURNS + 2)]
    assert [arguments[0] for _, _, arguments, _ in queued(settings)] == made[:TURNS]
    flow.submit(made[-1])
    assert queued(settings) == [], "to ask again does not help"
    jobs.cancel(store.database, made[0])
    flow.ended(made[0])
    assert [arguments[0] for _, _, arguments, _ in queued(settings)] == [made[TURNS]]
    waiting = jobs.get(store.database, made[-1])
    assert waiting is not None and (waiting.status, waiting.admitted_at) == ("queued", None)


def test_a_fetched_job_asks_for_its_turn(flow: Flow, store: Store, settings: Settings) -> None:
    uploads = [submitted(flow, store, language="en") for _ in range(TURNS)]
    fetched = submitted(flow, store, language="en", url="http://127.0.0.1/talk.mp3")
    with redis.Redis.from_url(settings.redis_url) as client:
        assert client.llen("net\x06\x163") == 1, "it need not wait for that"
    queued(settings)
    do(store, fetched, "fetch")
    begun = jobs.get(store.database, fetched)
    flow.advance(fetched)
    assert queued(settings) == []
    waiting = jobs.get(store.database, fetched)
    assert begun is not None and waiting is not None
    assert (begun.status, waiting.status) == ("running", "queued")
    assert positions.queue_position(store.database, waiting) == TURNS + 1
    jobs.cancel(store.database, uploads[0])
    flow.ended(uploads[0])
    assert queued(settings) == [("cpu", "stage.normalise", [fetched], ["stage.chunk"])]
    do(store, fetched, "normalise")
    again = jobs.get(store.database, fetched)
    assert again is not None and (again.status, again.started_at) == ("running", begun.started_at)


def test_large_recordings_leave_a_process_to_others(flow: Flow, store: Store, settings: Settings) -> None:
    def large(priority: str = "normal") -> str:
        new = jobs.NewJob(
            id=jobs.new_id(), owner="", options={"language": "en"}, source_name="x", source_sha256="",
            stages=["normalise", "chunk", "transcribe", "merge", "export"], source_bytes=LARGE_BYTES, priority=priority,
        )  # fmt: skip
        jobs.create(store.database, new, each=["transcribe"])
        flow.submit(new.id)
        return new.id

    def begun() -> list[str]:
        return [arguments[0] for _, _, arguments, _ in queued(settings)]

    first, second, high = large(), large(), large("high")
    small = submitted(flow, store, language="en")
    assert sorted(begun()) == sorted([first, high, small])
    do(store, first, "normalise")
    flow.submit(first)
    assert begun() == [first], "it is prepared still"
    do(store, first, "chunk")
    chunks(store, first, 1)
    flow.advance(first)
    assert begun() == [second, first], "while the one is transcribed, the next is prepared"
    flow.submit(first)
    assert begun() == [first]


def test_a_broker_that_is_away_when_it_is_a_job_s_turn_costs_it_nothing(
    flow: Flow, store: Store, settings: Settings, server: RedisServer
) -> None:
    made = [submitted(flow, store, language="en") for _ in range(TURNS + 1)]
    jobs.cancel(store.database, made[0])
    server.kill()
    flow.ended(made[0])
    server.start()
    job = jobs.get(store.database, made[-1])
    assert job is not None and job.admitted_at is None
    flow.admit("")
    assert [arguments[0] for _, _, arguments, _ in queued(settings)] == [made[-1]]


def test_one_job_that_cannot_be_queued_does_not_hold_up_the_others(
    flow: Flow, store: Store, settings: Settings
) -> None:
    made = [submitted(flow, store, language="en") for _ in range(TURNS + 2)]
    bad, good = made[-2:]
    do(store, bad, "normalise", "chunk")  # and there is no chunks.json
    queued(settings)
    for job_id in made[:2]:
        jobs.cancel(store.database, job_id)
        flow.ended(job_id)
    assert [arguments[0] for _, _, arguments, _ in queued(settings)] == [good]
    assert jobs.status(store.database, bad) == "failed", "it would stand for ever, and in the way of others"
    assert jobs.retry(store.database, bad)
    jobs.cancel(store.database, good)
    with pytest.raises(FileNotFoundError):
        flow.submit(bad)


def test_a_job_with_a_stage_that_is_gone_gives_its_turn_to_the_next(
    flow: Flow, store: Store, settings: Settings
) -> None:
    made = [submitted(flow, store, language="en") for _ in range(TURNS + 1)]
    queued(settings)
    with store.database.write() as session:
        session.execute(update(Job).where(Job.id == made[0]).values(stages=["polish"]))
    flow.submit(made[0])
    assert [arguments[0] for _, _, arguments, _ in queued(settings)] == [made[-1]]
