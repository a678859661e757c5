"""One call, one answer: who shares a job, who ends it, and what is said when there is no result."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs, standing
from store.models import ACTIVE
from tests.stack import until
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services
from webapp.serving import PROBE

Ask = Callable[..., TestResponse]


def asker(app: Flask, *, connection: socket.socket | None = None) -> Ask:
    def ask(path: str = "/transcribe/demo", *, headers: Any = (), name: str = "a.mp3", **fields: Any) -> TestResponse:
        data = {"file": (io.BytesIO(fields.pop("sound", SOUND)), name), **fields}
        environ = {"gunicorn.socket": connection} if connection else {}
        client = app.test_client()
        return client.post(path, headers={**AUTH, **dict(headers)}, data=data, environ_overrides=environ)

    return ask


@pytest.fixture
def ask(app: Flask) -> Ask:
    return asker(app)


@contextlib.contextmanager
def asking(ask: Ask, *args: Any, **fields: Any) -> Iterator[list[TestResponse]]:
    """A request that is answered meanwhile; its answer is there after the block."""
    answers: list[TestResponse] = []
    thread = threading.Thread(target=lambda: answers.append(ask(*args, **fields)))
    thread.start()
    yield answers
    thread.join(30)
    assert answers


@contextlib.contextmanager
def worker(services: Services) -> Iterator[None]:
    """Somebody who works off every job."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.02):
            for job_id in standing.unfinished(services.store.database):
                job = jobs.get(services.store.database, job_id)
                if job is not None and job.submitted_at > job.created_at:  # else nothing of it is queued so far
                    work_off(services, job_id)
                    services.store.events.changed(job_id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def the_job(services: Services, count: int = 1) -> str:
    """The job that is there, or the last of so many, once it is waited for."""

    def there() -> str | None:
        found, _ = jobs.page(services.store.database)
        return found[0].id if len(found) == count and waiting(services, found[0].id) else None

    found: str = until(there, 30, "a job that is waited for")
    return found


def waiting(services: Services, job_id: str) -> int:
    found: Any = services.store.events._client.zcard(f"longhand:waiters:{job_id}")
    return int(found)


def folders(services: Services) -> set[str]:
    return {name.split("/")[0] for name in files_of(services)}


def status(services: Services, job_id: str) -> str | None:
    return jobs.status(services.store.database, job_id)


def decided(services: Services) -> None:
    """The time of grace of everybody who left is over."""
    until(lambda: services.departures._thread is None, 30, "the departures to be decided")


def leave(app: Flask, services: Services, **fields: Any) -> str:
    """A client that sends a recording and hangs up; its job."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert asker(app, connection=ours)(**fields).status_code == 499
    return jobs.page(services.store.database)[0][0].id


def test_an_ordinary_job_of_high_priority_is_made(ask: Ask, services: Services) -> None:
    with worker(services):
        answer = ask()
    assert answer.status_code == 200
    assert set(answer.json) == {"text", "language"} and answer.json["language"] == "en"
    job = jobs.get(services.store.database, answer.headers["X-Job-ID"])
    assert job is not None
    assert (job.status, job.priority, job.source_name) == ("done", "high", "a.mp3")
    assert waiting(services, job.id) == 0


def test_identical_requests_share_a_job_whatever_the_file_is_called(ask: Ask, services: Services) -> None:
    with asking(ask) as first:
        job = the_job(services)
        with asking(ask, "/v1/audio/transcriptions", name="b.wav") as second:
            until(lambda: waiting(services, job) == 2, 30, "two who wait")
            until(lambda: folders(services) == {job}, 30, "the second upload to be deleted")
            with worker(services):
                until(lambda: status(services, job) == "done", 30, "the end")
    assert first[0].headers["X-Job-ID"] == second[0].headers["X-Job-ID"] == job
    assert ask("/transcribe-demo").headers["X-Job-ID"] == job, "a result that was missed by a moment is taken"


@pytest.mark.parametrize("other", [{"prompt": "x"}, {"sound": SOUND + b"x"}, {"metadata": '{"a": 1}'}])
def test_requests_for_something_else_do_not(ask: Ask, services: Services, other: dict[str, Any]) -> None:
    with worker(services):
        assert ask().headers["X-Job-ID"] != ask(**other).headers["X-Job-ID"]


def test_a_wait_has_an_end_and_the_job_goes_on(make: Callable[..., Flask]) -> None:
    app = make(sync_timeout_seconds=1)
    services: Services = app.extensions["longhand"]
    services.departures.grace = 0.1
    answer = asker(app)()
    job = answer.headers["X-Job-ID"]
    is_problem(answer, 504, "timeout")
    assert job in answer.json["detail"]
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert asker(app, connection=ours)().status_code == 499
    decided(services)
    assert status(services, job) in ACTIVE, "somebody was told that it goes on"


class Slow(io.BytesIO):
    """A recording that takes longer to arrive than anybody waits for its job."""

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.tell():
            time.sleep(1.1)
        return super().read(size)


def test_the_time_that_the_recording_takes_is_not_part_of_the_wait(make: Callable[..., Flask]) -> None:
    app = make(sync_timeout_seconds=1)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    body, kind = head + SOUND * 60 + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"
    slow = {"input_stream": Slow(body), "content_type": kind, "content_length": len(body)}
    services: Services = app.extensions["longhand"]
    with worker(services):
        answer = app.test_client().post("/transcribe/demo", headers=AUTH, **slow)
    assert answer.status_code == 200


def test_a_client_that_leaves_ends_its_job_after_a_time_of_grace(app: Flask, services: Services) -> None:
    services.departures.grace = 0.5
    ours, theirs = socket.socketpair()
    with ours, asking(asker(app, connection=ours)) as answers:
        job = the_job(services)
        theirs.send(b"G")  # a byte of the next request is no farewell
        time.sleep(1.2)
        assert not answers
        theirs.close()
        until(lambda: answers, 30, "the thread to be free")
        assert status(services, job) in ACTIVE
    until(lambda: status(services, job) == "cancelled", 30, "the job to be cancelled")


def test_it_goes_on_while_another_waits(app: Flask, ask: Ask, services: Services) -> None:
    services.departures.grace = 0.1
    ours, theirs = socket.socketpair()
    with ours, asking(ask) as other:
        job = the_job(services)
        theirs.close()
        assert asker(app, connection=ours)().status_code == 499
        decided(services)
        with worker(services):
            until(lambda: other, 30, "the answer")
    assert (other[0].status_code, other[0].headers["X-Job-ID"]) == (200, job)


def test_a_request_that_is_sent_again_takes_it_over(app: Flask, ask: Ask, services: Services) -> None:
    services.departures.grace = 1
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        left = asker(app, connection=ours)()
    assert left.status_code == 499
    with asking(ask) as again:
        decided(services)
        with worker(services):
            until(lambda: again, 30, "the answer")
    assert again[0].status_code == 200
    assert len(jobs.page(services.store.database)[0]) == 1


def test_while_the_same_request_arrives_again_nothing_is_cancelled(app: Flask, services: Services) -> None:
    services.departures.grace = 0.1
    ours, theirs = socket.socketpair()
    theirs.close()
    token = services.waiters.arriving("admin", 1234)
    services.departures.add("0" * 32, owner="admin", size=1234, left="1")
    time.sleep(0.5)
    assert services.departures._due
    services.waiters.arrived("admin", 1234, token)
    decided(services)
    ours.close()


def test_a_job_that_somebody_took_up_by_hand_is_no_client_s_any_more(
    app: Flask, client: FlaskClient, services: Services
) -> None:
    services.departures.grace = 0.5
    job = leave(app, services)
    assert client.post(f"/v1/jobs/{job}/cancel", headers=AUTH).status_code == 200
    assert client.post(f"/v1/jobs/{job}/retry", headers=AUTH).status_code == 200
    decided(services)
    assert status(services, job) == "queued"


def test_a_job_that_somebody_asked_for_since_goes_on(app: Flask, client: FlaskClient, services: Services) -> None:
    services.departures.grace = 0.5
    job = leave(app, services)
    assert client.get(f"/v1/jobs/{job}?wait=0.01", headers=AUTH).status_code == 200
    decided(services)
    assert status(services, job) == "queued"


@pytest.mark.parametrize("path", ["?wait=20", "/events"])
def test_it_goes_on_while_somebody_follows_it(
    app: Flask, client: FlaskClient, services: Services, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.waiters.SIGN_SECONDS", 0.05)
    services.departures.grace = 0.1
    ours, theirs = socket.socketpair()
    followed: list[TestResponse] = []

    def follow(job: str) -> None:
        answer = app.test_client().get(f"/v1/jobs/{job}{path}", headers=AUTH)
        assert answer.data
        answer.close()
        followed.append(answer)

    with ours, asking(asker(app, connection=ours)):
        job = the_job(services)
        thread = threading.Thread(target=follow, args=(job,))
        thread.start()
        until(lambda: waiting(services, job) == 2, 30, "the follower to be counted")
        services.store.events._client.delete(f"longhand:waiters:{job}")
        until(lambda: waiting(services, job) == 2, 30, "both to be counted again, whatever they are busy with")
        theirs.close()
    decided(services)
    assert (status(services, job), waiting(services, job)) == ("queued", 1)
    assert client.post(f"/v1/jobs/{job}/cancel", headers=AUTH).status_code == 200
    thread.join(10)
    assert followed and waiting(services, job) == 0
    assert not services.waiters._here


def test_the_last_who_left_has_its_time_of_grace(app: Flask, services: Services) -> None:
    job = leave(app, services)
    earlier = services.waiters.leave(job, "nobody")
    assert services.waiters.leave(job, "nobody") != earlier
    assert not services.waiters.close(job, earlier)


def test_the_end_of_a_job_whose_client_left_is_told(make: Callable[..., Flask]) -> None:
    app = make(webhook_secret="whsec_" + "c2VjcmV0" * 6)
    services: Services = app.extensions["longhand"]
    services.departures.grace = 0.1
    waiting = services.flow.waiting()
    job = leave(app, services, webhook_url="https://example.org/hook")
    decided(services)
    assert status(services, job) == "cancelled"
    assert services.flow.waiting() == waiting + 2, "the job and what is told of it"


def test_a_job_that_is_being_given_up_cannot_be_joined(ask: Ask, services: Services) -> None:
    with asking(ask) as first:
        job = the_job(services)
        (token,) = until(lambda: list(services.waiters._here), 30, "the token")
        assert services.waiters.close(job, services.waiters.leave(job, token))
        with asking(ask) as second:
            jobs.cancel(services.store.database, job)
            services.store.events.changed(job)
            with worker(services):
                until(lambda: second, 30, "the second's own job")
    is_problem(first[0], 409, "conflict")
    assert first[0].headers["X-Should-Retry"] == "false"
    assert second[0].status_code == 200
    assert second[0].headers["X-Job-ID"] != job


def test_whoever_shares_a_job_that_is_not_there_any_more_may_ask_again(ask: Ask, services: Services) -> None:
    with asking(ask) as first:
        job = the_job(services)
        with asking(ask) as second:
            until(lambda: waiting(services, job) == 2, 30, "two who wait")
            jobs.delete_record(services.store.database, job)
            services.store.events.changed(job)
    is_problem(first[0], 409, "conflict")
    is_problem(second[0], 503, "queue_full")
    assert second[0].headers["Retry-After"] == "1"
    assert "X-Should-Retry" not in second[0].headers
    assert folders(services) == {job}, "what the second sent is not kept"


@pytest.mark.parametrize(
    ("code", "code_of_http"),
    [("no_audio", 415), ("unsupported_media", 415), ("too_long", 413), ("model_unavailable", 503), ("internal", 500)],
)
@pytest.mark.parametrize("path", ["/transcribe/demo", "/v1/audio/transcriptions"])
def test_a_failed_job_is_answered_by_its_error(
    ask: Ask, services: Services, path: str, code: str, code_of_http: int
) -> None:
    with asking(ask, path) as answers:
        job = the_job(services)
        jobs.fail(services.store.database, job, code=code, detail="Do something.", stage="normalise")
        services.store.events.changed(job)
    answer = answers[0]
    assert (answer.headers["X-Job-ID"], answer.headers["X-Should-Retry"]) == (job, "false")
    if path.startswith("/transcribe"):
        is_problem(answer, code_of_http, code)
        assert answer.json["detail"] == "Do something."
    else:
        assert answer.status_code == {415: 400}.get(code_of_http, code_of_http)
        assert answer.json["error"]["message"] == "Do something."
        assert answer.json["error"]["code"] == code


def test_only_so_many_wait(app: Flask, ask: Ask, services: Services) -> None:
    while services.waiting.acquire(blocking=False):
        pass
    for path in ("/transcribe/demo", "/v1/audio/transcriptions"):
        answer = ask(path)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert files_of(services) == set()
    services.waiting.release()
    with worker(services):
        assert ask(chunk_seconds="60").status_code == 200
        stream = ask("/v1/audio/transcriptions", stream="true")
        assert b"[DONE]" in stream.data
        stream.close()
        assert ask(prompt="another").status_code == 200, "every place is given back"


def serve(services: Services, *queues: str, seconds: float) -> None:
    """Some queues have a worker, and the process has been looking for so long."""
    services.store.events.here("some@a", queues)
    services.store.events.gone("some@a")  # it is being restarted
    services.serving._began -= seconds


@pytest.mark.parametrize("path", ["/transcribe/demo", "/v1/audio/transcriptions"])
def test_nobody_waits_for_what_nobody_works_on(ask: Ask, services: Services, path: str) -> None:
    serve(services, "cpu", seconds=31)
    answers = [ask(path), ask(path, headers={"Idempotency-Key": "k"}), ask(path, headers={"Idempotency-Key": "k"})]
    for answer in answers:
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        error = answer.json.get("error", answer.json)
        assert error["code"] == "queue_full"
        assert "queue gpu" in error.get("detail", error.get("message"))
    assert files_of(services) == set()
    assert jobs.page(services.store.database)[0] == []


@pytest.mark.parametrize(("queues", "seconds"), [(["cpu"], 20), (["cpu", "gpu"], 31)])
def test_workers_have_time_to_start(ask: Ask, services: Services, queues: list[str], seconds: float) -> None:
    serve(services, *queues, seconds=seconds)
    with worker(services):
        assert ask().status_code == 200


def test_a_worker_that_was_there_just_now_may_come_back(ask: Ask, services: Services) -> None:
    serve(services, "cpu", "gpu", seconds=31)
    assert services.serving.missing(["cpu", "gpu", "net"]) == ["net"]
    services.store.events._client.delete("longhand:served:gpu")
    services.probes._answered.clear()
    assert services.serving.missing(["cpu", "gpu"]) == []


def test_nothing_is_guessed_while_redis_is_away(make: Callable[..., Flask]) -> None:
    services: Services = make(redis_url="redis://127.0.0.1:1/0").extensions["longhand"]
    services.serving._began -= 31
    assert isinstance(services.probes.ask(PROBE, seconds=10)[PROBE].exception(0), redis.ConnectionError)
    assert services.serving.missing(["cpu", "gpu", "net"]) == []
    services.serving.check_any()
    services.serving.check(services.flow.stages)


def test_a_job_that_nobody_waits_for_is_taken_all_the_same(client: FlaskClient, services: Services) -> None:
    serve(services, seconds=31)
    data = {"file": (io.BytesIO(SOUND), "a.mp3")}
    assert client.post("/v1/jobs", headers=AUTH, data=data).status_code == 202


def test_a_key_gives_the_same_result_again(ask: Ask, services: Services) -> None:
    key = {"Idempotency-Key": "once"}
    with worker(services):
        first, second = ask(headers=key), ask(headers=key)
        assert first.json == second.json
        assert first.headers["X-Job-ID"] == second.headers["X-Job-ID"]
        assert ("Idempotency-Replayed" in first.headers, second.headers["Idempotency-Replayed"]) == (False, "true")
        is_problem(ask(headers=key, prompt="another"), 422, "invalid_option")
        assert ask().headers["X-Job-ID"] != first.headers["X-Job-ID"], "without the key nothing is known of it"
    assert len(jobs.page(services.store.database)[0]) == 2


def test_a_key_whose_job_was_cancelled_makes_another(ask: Ask, services: Services) -> None:
    key = {"Idempotency-Key": "again"}
    with asking(ask, headers=key) as first:
        job = the_job(services)
        jobs.cancel(services.store.database, job)
        services.store.events.changed(job)
    is_problem(first[0], 409, "conflict")
    with worker(services):
        assert ask(headers=key).status_code == 200
    assert len(jobs.page(services.store.database)[0]) == 2


def test_refusals_leave_nothing_behind(app: Flask, ask: Ask, services: Services) -> None:
    is_problem(ask(model="demo"), 400, "invalid_option")
    is_problem(ask(volume="3"), 400, "invalid_option")
    is_problem(ask(sound=b""), 415, "unsupported_media")
    is_problem(ask("/transcribe/demo?language=en"), 400, "invalid_option")
    is_problem(ask(language="en", languages="de"), 422, "invalid_option")
    is_problem(app.test_client().post("/transcribe/demo", headers=AUTH, data={"prompt": "x"}), 400, "invalid_option")
    two = {"file": [(io.BytesIO(SOUND), "a"), (io.BytesIO(SOUND), "b")]}
    is_problem(app.test_client().post("/transcribe/demo", headers=AUTH, data=two), 400, "invalid_option")
    assert files_of(services) == set()
    assert jobs.page(services.store.database)[0] == []
