"""The record of webhooks: one for every end, one try at a time, none lost. Real SQLite, several threads."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from store import deliveries, jobs, steps
from store.database import Database
from store.models import Delivery
from store.steps import Piece

URL = "https://example.org/hook"


def job(database: Database, url: str | None = URL, owner: str = "admin") -> str:
    new = jobs.NewJob(
        id=jobs.new_id(), owner=owner, options={}, stages=["merge"], source_name="x", source_bytes=1,
        source_sha256="", webhook_url=url,
    )  # fmt: skip
    jobs.create(database, new)
    return new.id


def owed(database: Database, **values: Any) -> str:
    """A delivery of a job that was cancelled."""
    job_id = job(database, **values)
    assert jobs.cancel(database, job_id)
    return deliveries.of_job(database, job_id)[0].id


def change(database: Database, delivery_id: str, **values: Any) -> None:
    with database.write() as session:
        session.execute(update(Delivery).where(Delivery.id == delivery_id).values(**values))


def miss(database: Database, delivery_id: str, *, status: int | None = None, again: float = 0) -> None:
    """Claim it, and let it fail."""
    claimed = deliveries.claim(database, delivery_id)
    assert claimed is not None
    due = jobs.now() + timedelta(seconds=again)
    assert deliveries.missed(database, claimed, error="No.", response_status=status, due_at=due)


def at_once(count: int, action: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        found.append(action())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_every_end_is_owed_once(database: Database) -> None:
    done, failed, cancelled = (job(database) for _ in range(3))
    _, claim = steps.begin(database, Piece(done, "merge"), task_id="t", worker="w", max_attempts=3, stale_seconds=30)
    assert steps.done(database, Piece(done, "merge"), claim)
    assert sum(at_once(4, lambda: jobs.finish(database, done))) == 1
    assert sum(at_once(4, lambda: jobs.fail(database, failed, code="x", detail="y", stage=None))) == 1
    assert sum(at_once(4, lambda: jobs.cancel(database, cancelled))) == 1
    assert not jobs.cancel(database, done)
    events = {name: [d.event for d in deliveries.of_job(database, i)] for name, i in
              [("done", done), ("failed", failed), ("cancelled", cancelled)]}  # fmt: skip
    assert events == {name: [f"job.{name}"] for name in events}
    assert set(deliveries.due(database)) <= {d.id for i in (done, failed, cancelled)
                                             for d in deliveries.of_job(database, i)}  # fmt: skip


def test_nothing_is_owed_to_nobody(database: Database) -> None:
    silent, running = job(database, url=None), job(database)
    assert jobs.cancel(database, silent)
    assert deliveries.of_job(database, silent) == deliveries.of_job(database, running) == []


def test_a_job_that_is_tried_again_ends_again(database: Database) -> None:
    job_id = job(database)
    for _ in range(2):
        assert jobs.fail(database, job_id, code="x", detail="y", stage=None)
        assert jobs.retry(database, job_id)
    assert jobs.cancel(database, job_id)
    assert [d.event for d in deliveries.of_job(database, job_id)] == ["job.cancelled", "job.failed", "job.failed"]


def test_a_deleted_job_takes_its_deliveries_along(database: Database) -> None:
    delivery_id = owed(database)
    delivery = deliveries.get(database, delivery_id)
    assert delivery is not None
    assert jobs.delete_record(database, delivery.job_id)
    assert deliveries.get(database, delivery_id) is None
    assert deliveries.due(database) == []


def test_of_many_claims_one_wins(database: Database) -> None:
    delivery_id = owed(database)
    won = [found for found in at_once(6, lambda: deliveries.claim(database, delivery_id)) if found is not None]
    assert [(d.id, d.attempts) for d in won] == [(delivery_id, 1)]
    assert deliveries.arrived(database, won[0], response_status=204)
    assert not deliveries.arrived(database, won[0], response_status=204)
    found = deliveries.get(database, delivery_id)
    assert found is not None
    assert (found.status, found.response_status, found.due_at, found.error) == ("delivered", 204, None, None)
    assert deliveries.claim(database, delivery_id) is None


def test_a_try_that_died_is_made_by_another_and_cannot_speak_any_more(database: Database) -> None:
    delivery_id = owed(database)
    dead = deliveries.claim(database, delivery_id)
    assert dead is not None and deliveries.due(database) == []
    change(database, delivery_id, lease_until=jobs.now() - timedelta(seconds=1))
    assert deliveries.due(database) == [delivery_id]
    second = deliveries.claim(database, delivery_id)
    assert second is not None and second.attempts == 2
    assert not deliveries.missed(database, dead, error="No.", response_status=None, due_at=None)
    assert deliveries.arrived(database, second, response_status=200)


def test_what_failed_waits_for_its_time(database: Database) -> None:
    delivery_id = owed(database)
    miss(database, delivery_id, status=500, again=60)
    assert deliveries.due(database) == [] and deliveries.claim(database, delivery_id) is None
    change(database, delivery_id, due_at=jobs.now())
    assert deliveries.due(database) == [delivery_id]
    claimed = deliveries.claim(database, delivery_id)
    assert claimed is not None
    assert deliveries.missed(database, claimed, error="Gone.", response_status=410, due_at=None)
    found = deliveries.get(database, delivery_id)
    assert found is not None and (found.status, found.attempts) == ("failed", 2)
    assert deliveries.due(database) == []


def test_one_server_is_sent_one_at_a_time(database: Database) -> None:
    first, second = owed(database), owed(database, url=URL + "?other=1")
    elsewhere, somebodys = owed(database, url="https://example.com/"), owed(database, owner="a" * 32)
    assert deliveries.due(database) == [first, elsewhere, somebodys]
    assert deliveries.claim(database, first) is not None
    assert deliveries.claim(database, second) is None
    assert deliveries.claim(database, elsewhere) is not None
    assert deliveries.claim(database, somebodys) is not None
    assert deliveries.due(database) == []


def test_a_server_that_is_silent_is_spared_for_a_while(database: Database) -> None:
    first, second, third = owed(database), owed(database), owed(database)
    miss(database, first)
    assert deliveries.due(database) == [first]  # the one that found out may try again
    assert deliveries.claim(database, second) is None
    change(database, first, tried_at=jobs.now() - timedelta(seconds=deliveries.SILENCE_SECONDS + 1))
    miss(database, second, status=503)
    assert deliveries.claim(database, third) is not None  # an answer, if not a good one


def test_an_answer_ends_the_silence(database: Database) -> None:
    first, second = owed(database), owed(database)
    miss(database, first)
    assert deliveries.due(database) == [first]
    miss(database, first, status=500, again=60)
    assert deliveries.due(database) == [second]


def test_what_waits_behind_a_silent_server_is_given_up_after_a_day(database: Database) -> None:
    first, second = owed(database), owed(database)
    long_ago = jobs.now() - timedelta(hours=25)
    for delivery_id in (first, second):
        change(database, delivery_id, since_at=long_ago, due_at=long_ago)
    # Nobody has tried: it was our installation that was away, not their server.
    assert not deliveries.give_up(database)
    miss(database, first, again=60)
    assert deliveries.give_up(database)
    found = [deliveries.get(database, i) for i in (first, second)]
    assert [d.status for d in found if d is not None] == ["pending", "failed"]


def tries(database: Database, delivery_id: str) -> list[tuple[int, int | None, str | None]]:
    found = deliveries.get(database, delivery_id)
    assert found is not None
    told = deliveries.tries_of(found)
    assert [one.at for one in told] == sorted(one.at for one in told)
    return [(one.attempt, one.response_status, one.error) for one in told]


def test_every_try_stays_on_record(database: Database) -> None:
    delivery_id = owed(database)
    assert tries(database, delivery_id) == []
    miss(database, delivery_id, status=500)
    first = deliveries.claim(database, delivery_id)
    assert first is not None and deliveries.arrived(database, first, response_status=204)
    known = [(1, 500, "No."), (2, 204, None)]
    assert tries(database, delivery_id) == known
    assert deliveries.requeue(database, delivery_id) and deliveries.requeue(database, delivery_id)
    assert tries(database, delivery_id) == known
    assert deliveries.claim(database, delivery_id) is not None
    change(database, delivery_id, lease_until=jobs.now() - timedelta(seconds=1))  # its worker died
    assert deliveries.claim(database, delivery_id) is not None
    [*before, died] = tries(database, delivery_id)
    assert before == known and died[:2] == (3, None) and "stopped" in str(died[2])
    change(database, delivery_id, lease_until=jobs.now() - timedelta(seconds=1))
    assert deliveries.requeue(database, delivery_id)
    assert [attempt for attempt, *_ in tries(database, delivery_id)] == [1, 2, 3, 4]


def test_what_was_settled_before_tries_were_recorded_is_not_lost(database: Database) -> None:
    delivery_id = owed(database)
    miss(database, delivery_id, status=410)
    change(database, delivery_id, tries=[])
    assert deliveries.requeue(database, delivery_id)
    assert tries(database, delivery_id) == [(1, 410, "No.")]


@pytest.mark.parametrize("status", ["delivered", "failed", "pending"])
def test_any_can_be_sent_again(database: Database, status: str) -> None:
    delivery_id = owed(database)
    claimed = deliveries.claim(database, delivery_id)
    assert claimed is not None
    assert not deliveries.requeue(database, delivery_id), "it is being sent"
    if status == "delivered":
        deliveries.arrived(database, claimed, response_status=200)
    else:
        due = jobs.now() + timedelta(hours=9) if status == "pending" else None
        deliveries.missed(database, claimed, error="No.", response_status=500, due_at=due)
    assert deliveries.requeue(database, delivery_id)
    again = deliveries.claim(database, delivery_id)
    assert again is not None and again.attempts == 2 and again.delivered_at is None
    assert again.since_at > again.created_at
    assert not deliveries.requeue(database, "0" * 32)
