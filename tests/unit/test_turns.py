"""Who may be under way: turns of accounts, over real records, from several threads and processes at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, text, update

from store import jobs, positions, standing, totals, turns
from store.database import Database
from store.models import Job
from store.turns import NET, PREPARE, WORK

LIMITS = {WORK: 3, PREPARE: 1, NET: 2}


def new_job(database: Database, owner: str = "one", priority: str = "normal") -> str:
    new = jobs.NewJob(
        id=jobs.new_id(), owner=owner, priority=priority, options={}, stages=["normalise"], source_name="x",
        source_bytes=1, source_sha256="",
    )  # fmt: skip
    return jobs.create(database, new).id


def many(database: Database, count: int, *, owner: str = "one", lane: str | None = WORK) -> None:
    """Jobs that wait, older than all others."""
    at = jobs.now()
    common = {
        "owner": owner, "priority": "normal", "status": "queued", "lane": lane, "options": {}, "details": {},
        "stages": [], "warnings": [], "speaker_names": {}, "source_name": "x", "source_bytes": 1, "source_sha256": "",
        "created_at": at, "submitted_at": at,
    }  # fmt: skip
    with database.write() as session:
        session.execute(insert(Job), [{"id": f"{owner[:8]}{n:024d}", **common} for n in range(count)])


def ask(database: Database, job_id: str, lane: str = WORK) -> list[str]:
    return turns.ask(database, job_id, lane, limits=LIMITS)


def test_an_account_has_so_many_turns_and_the_oldest_job_is_next(database: Database) -> None:
    made = [new_job(database) for _ in range(6)]
    assert [ask(database, job_id) for job_id in made] == [[made[0]], [made[1]], [made[2]], [], [], []]
    jobs.cancel(database, made[1])
    assert turns.give(database, "one", limits=LIMITS) == [made[3]]
    assert turns.give(database, "one", limits=LIMITS) == []
    assert ask(database, made[0]) == [], "it has its turn"
    assert ask(database, made[5]) == [], "it waits, however often it asks"


def waits(database: Database) -> dict[tuple[str, str], int]:
    return {(one.label, one.detail): one.count for one in totals.read(database)[totals.TURNS]}


def earlier(database: Database, job_id: str, seconds: float, *, made: float = 0) -> None:
    at = jobs.now()
    values = {"submitted_at": at - timedelta(seconds=seconds), "created_at": at - timedelta(seconds=made or seconds)}
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(values))


def lines(database: Database) -> dict[str, tuple[int, float]]:
    with database.read() as session:
        return {line.priority: (line.jobs, line.oldest) for line in turns.lines(session)}


def test_how_long_jobs_wait_for_their_turns(database: Database) -> None:
    assert lines(database) == {} and waits(database) == {}
    had = [new_job(database) for _ in range(3)]
    assert [ask(database, job_id) for job_id in had] == [[job_id] for job_id in had]
    assert waits(database) == {("normal", "1"): 3}, "at once"
    many(database, 5)
    old = new_job(database)
    ask(database, old)
    earlier(database, old, 7000)
    for owner, priority in (("two", "low"), ("three", "high")):
        for _ in range(4):
            ask(database, last := new_job(database, owner, priority))
        earlier(database, last, 300)
    told = lines(database)
    assert {priority: jobs for priority, (jobs, _) in told.items()} == {"normal": 6, "low": 1, "high": 1}
    assert told["normal"][1] == pytest.approx(7000, abs=60) and told["low"][1] == pytest.approx(300, abs=60)
    jobs.cancel(database, had[0])
    assert turns.give(database, "one", limits=LIMITS) == [old]
    assert waits(database)["normal", "10800"] == 1
    assert lines(database)["normal"][1] < 60, "those that are left have not waited for long"


def test_what_is_tried_again_or_was_fetched_waits_from_then_on(database: Database) -> None:
    made = [new_job(database) for _ in range(4)]
    for job_id in made:
        ask(database, job_id)
    jobs.cancel(database, made[1])
    turns.give(database, "one", limits=LIMITS)
    assert jobs.retry(database, made[1])
    earlier(database, made[1], 30, made=90_000)
    assert ask(database, made[1]) == [] and lines(database)["normal"] == (1, pytest.approx(30, abs=25))
    jobs.cancel(database, made[0])
    turns.give(database, "one", limits=LIMITS)
    fetched = new_job(database)
    assert ask(database, fetched, NET) == [fetched]
    earlier(database, fetched, 5000)
    assert ask(database, fetched) == [], "no turn is left"
    assert lines(database)["normal"] == (1, pytest.approx(0, abs=60))
    standing.stands(database, fetched)
    assert lines(database)["normal"] == (1, 0), "nobody knows since when"
    before = sum(waits(database).values())
    jobs.cancel(database, made[2])
    assert turns.give(database, "one", limits=LIMITS) == [fetched]
    assert sum(waits(database).values()) == before


def test_other_accounts_and_priorities_have_turns_of_their_own(database: Database) -> None:
    for _ in range(5):
        ask(database, new_job(database))
    for owner, priority in (("two", "normal"), ("one", "high"), ("one", "low")):
        job_id = new_job(database, owner, priority)
        assert ask(database, job_id) == [job_id]


@pytest.mark.parametrize("end", ["cancel", "fail", "finish", "delete"])
def test_every_end_of_a_job_brings_the_next_its_turn(database: Database, end: str) -> None:
    first, *others = [new_job(database) for _ in range(4)]
    for job_id in (first, *others):
        ask(database, job_id)
    if end == "cancel":
        jobs.cancel(database, first)
    elif end == "fail":
        jobs.fail(database, first, code="c", detail="d", stage=None)
    elif end == "delete":
        jobs.delete_record(database, first)
    else:
        with database.write() as session:
            session.execute(text("UPDATE steps SET status = 'done'"))
            session.execute(update(Job).where(Job.id == first).values(status="running"))
        assert jobs.finish(database, first)
    assert turns.give(database, "one", limits=LIMITS) == [others[-1]]


def test_a_job_tried_again_waits_again(database: Database) -> None:
    made = [new_job(database) for _ in range(4)]
    for job_id in made:
        ask(database, job_id)
    jobs.cancel(database, made[0])
    turns.give(database, "one", limits=LIMITS)
    assert jobs.retry(database, made[0])
    assert ask(database, made[0]) == []
    jobs.cancel(database, made[1])
    assert turns.give(database, "one", limits=LIMITS) == [made[0]], "it is the oldest"


def test_what_waits_for_servers_takes_no_turn_of_the_work(database: Database) -> None:
    fetched = [new_job(database, priority=priority) for priority in ("low", "normal", "high", "normal")]
    given = [ask(database, job_id, NET) for job_id in fetched]
    assert given == [[fetched[0]], [fetched[1]], [], []], "an account's, whatever the priority"
    uploaded = [new_job(database) for _ in range(3)]
    assert [ask(database, job_id) for job_id in uploaded] == [[job_id] for job_id in uploaded]
    # The first is fetched: it has its turn at the work, and the next, of the highest priority, at the network.
    assert ask(database, fetched[0]) == [fetched[0], fetched[2]]
    assert ask(database, fetched[1]) == [fetched[3]], "it waits for the work, but no longer for servers"
    assert ask(database, fetched[0], NET) == [], "there is no way back"
    job = jobs.get(database, fetched[0])
    assert job is not None and job.lane == WORK and job.admitted_at is not None


def test_large_ones_are_prepared_a_few_at_a_time(database: Database) -> None:
    large = [new_job(database, priority=priority) for priority in ("normal", "normal", "low", "normal")]
    given = [ask(database, job_id, PREPARE) for job_id in large]
    assert given == [[large[0]], [], [], []], "an account's, whatever the priority"
    small = [new_job(database) for _ in range(4)]
    assert [ask(database, job_id) for job_id in small] == [[small[0]], [small[1]], [], []], "its turn counts for both"
    # The first is prepared: it keeps its turn, and another may be prepared, of a priority that has turns left.
    assert ask(database, large[0], WORK) == [large[0], large[2]]
    jobs.cancel(database, small[0])
    assert turns.give(database, "one", limits=LIMITS) == [small[2]], "what is older may not be prepared yet"
    assert ask(database, large[2], WORK) == [large[2]], "no turn is left of the other priority"
    jobs.cancel(database, large[0])
    assert turns.give(database, "one", limits=LIMITS) == [large[1]], "the oldest"
    assert ask(database, large[1], PREPARE) == ask(database, large[0], PREPARE) == []


def test_a_large_one_that_waits_and_is_prepared_all_the_same_waits_for_the_work(database: Database) -> None:
    """As when messages of an earlier turn come late."""
    large = [new_job(database) for _ in range(2)]
    assert [ask(database, job_id, PREPARE) for job_id in large] == [[large[0]], []]
    assert ask(database, large[1], WORK) == [large[1]]
    job = jobs.get(database, large[1])
    assert job is not None and job.lane == WORK


def test_what_could_not_be_queued_waits_again(database: Database) -> None:
    made = [new_job(database) for _ in range(2)]
    assert ask(database, made[0]) == [made[0]]
    turns.give_back(database, [made[0]])
    assert turns.waiting_accounts(database) == ["one"]
    assert ask(database, made[1]) == made


def test_a_job_that_is_over_or_gone_gets_no_turn(database: Database) -> None:
    over, gone = new_job(database), new_job(database)
    jobs.cancel(database, over)
    jobs.delete_record(database, gone)
    assert ask(database, over) == ask(database, gone) == []
    assert turns.waiting_accounts(database) == []


def test_what_waits_does_not_stand_still(database: Database) -> None:
    made = [new_job(database) for _ in range(5)]
    for job_id in made:
        ask(database, job_id)
    assert standing.standing(database, seconds=-1) == made[:3]
    assert standing.unfinished(database) == made[:3]


def test_threads_and_processes_at_once_give_no_more_turns_than_there_are(database: Database) -> None:
    made = [new_job(database) for _ in range(40)]
    code = (
        "import sys; from store import turns; from store.database import Database\n"
        f"limits = {LIMITS!r}; database = Database(sys.argv[1])\n"
        "print(*(one for job_id in sys.argv[2:] for one in turns.ask(database, job_id, 'work', limits=limits)))"
    )
    command = [sys.executable, "-c", code, database.url]
    processes = [subprocess.Popen([*command, *made[n::4]], stdout=subprocess.PIPE, text=True) for n in range(2)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job_id: ask(database, job_id), made[2::4] + made[3::4]))
    given = [one for few in found for one in few]
    given += [one for process in processes for one in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(given) == len(set(given)) == LIMITS[WORK]


@pytest.mark.sqlite
def test_ten_thousand_that_wait_cost_no_more_than_ten(database: Database) -> None:
    steps_of: list[int] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def explain(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT") and "FROM jobs" in statement:
            plan = database_plan(database, statement, parameters)
            steps_of.append(sum("SCAN" in line or "TEMP B-TREE" in line for line in plan))

    many(database, 10_000)
    last = new_job(database)
    steps_of.clear()
    assert len(ask(database, last)) == LIMITS[WORK]
    jobs.cancel(database, "one".ljust(8, "0")[:3] + f"{0:024d}")
    turns.give(database, "one", limits=LIMITS)
    assert steps_of and not any(steps_of), "nothing is looked through or sorted"


def database_plan(database: Database, statement: str, parameters: object) -> list[str]:
    connection = database.engine.raw_connection()
    try:
        rows = connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[func-returns-value, arg-type]
        return [str(row[3]) for row in rows]  # type: ignore[attr-defined]
    finally:
        connection.close()


def test_positions_go_round_the_accounts(database: Database) -> None:
    batch = [new_job(database, "many") for _ in range(5)]
    single, later = new_job(database, "one"), [new_job(database, "two") for _ in range(2)]
    high, low = new_job(database, "many", "high"), new_job(database, "one", "low")
    found = [job for job in (jobs.get(database, i) for i in (high, *batch, single, *later, low)) if job is not None]
    places = positions.queue_positions(database, found)
    order = [high, batch[0], single, later[0], batch[1], later[1], batch[2], batch[3], batch[4], low]
    assert sorted(places, key=lambda job_id: places[job_id]) == order
    assert sorted(places.values()) == list(range(1, 11)), "every place once"
    assert {job.id: positions.queue_position(database, job) for job in found} == places


def test_the_backlog_is_counted_no_further_than_asked(database: Database) -> None:
    many(database, 20)
    assert positions.queued_up_to(database, 7) == 7
    assert positions.queued_up_to(database, 100) == 20
