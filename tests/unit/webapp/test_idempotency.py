"""Idempotency-Key: the same request twice makes one job, whatever happens in between."""

import io
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, false, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from store import acceptance, idempotency, jobs
from store.models import IdempotencyKey
from tasks.flow import QueueUnavailable
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.access.auth import OWNER
from webapp.intake import once, uploads
from webapp.services import Services

Post = Callable[..., TestResponse]


def post(client: FlaskClient, key: str | None, *sounds: tuple[str, bytes], **fields: Any) -> TestResponse:
    files = [(io.BytesIO(sound), name) for name, sound in sounds or [("talk.mp3", SOUND)]]
    headers = AUTH if key is None else {**AUTH, "Idempotency-Key": key}
    return client.post("/v1/jobs", headers=headers, data={"file": files, **fields}, content_type="multipart/form-data")


def count(client: FlaskClient) -> int:
    return len(client.get("/v1/jobs?limit=200", headers=AUTH).json["jobs"])


def age(services: Services, **by: float) -> None:
    with services.store.database.write() as session:
        session.execute(update(IdempotencyKey).values(created_at=jobs.now() - timedelta(**by)))


def claim(services: Services, job_id: str, fingerprint: str = "f") -> IdempotencyKey | None:
    return idempotency.claim(
        services.store.database, "k", owner=OWNER, fingerprint=fingerprint, job_id=job_id, batch=None, jobs=1
    )


def test_the_same_request_again_gives_the_same_job(client: FlaskClient, services: Services) -> None:
    first = post(client, "k", language="en", metadata='{"a": 1}')
    assert first.status_code == 202 and "Idempotency-Replayed" not in first.headers
    # Spelt otherwise, and with a default said aloud: still the same request.
    again = post(client, "k", language="EN", metadata='{ "a":1 }', beam_size="5")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    assert (again.json["id"], again.headers["Location"]) == (first.json["id"], first.headers["Location"])
    assert count(client) == 1
    assert files_of(services) == {first.json["id"], f"{first.json['id']}/source"}
    work_off(services, first.json["id"])
    assert post(client, "k", language="en", metadata='{"a": 1}').json["status"] == "done"


@pytest.mark.parametrize(
    ("sound", "fields"),
    [
        (("talk.mp3", SOUND + b"x"), {}),
        (("other.mp3", SOUND), {}),
        (("talk.mp3", SOUND), {"beam_size": "4"}),
        (("talk.mp3", SOUND), {"priority": "high"}),
        (("talk.mp3", SOUND), {"metadata": '{"a": 2}'}),
    ],
)
def test_another_request_with_the_key_is_refused(
    client: FlaskClient, services: Services, sound: tuple[str, bytes], fields: dict[str, str]
) -> None:
    job_id = post(client, "k").json["id"]
    assert is_problem(post(client, "k", sound, **fields), 422, "invalid_option")
    assert count(client) == 1
    assert files_of(services) == {job_id, f"{job_id}/source"}


def test_other_keys_and_no_key_make_other_jobs(client: FlaskClient) -> None:
    made = [post(client, key) for key in ("k", "K", "a-b c", None, None)]
    assert len({response.json["id"] for response in made}) == 5
    assert not any("Idempotency-Replayed" in response.headers for response in made)


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(client: FlaskClient, key: str) -> None:
    assert is_problem(post(client, key), 400, "invalid_option")
    assert count(client) == 0


def test_a_batch_is_found_again_in_its_order(client: FlaskClient) -> None:
    sounds = [(f"{n}.mp3", SOUND + bytes([n])) for n in range(5)]
    first, again = post(client, "k", *sounds), post(client, "k", *sounds)
    assert (again.json["batch"], again.headers["Idempotency-Replayed"]) == (first.json["batch"], "true")
    assert [job["source"]["name"] for job in again.json["jobs"]] == [name for name, _ in sounds]
    assert is_problem(post(client, "k", *sounds[::-1]), 422, "invalid_option")
    assert count(client) == 5


def test_many_at_once_make_one_job(app: Flask, client: FlaskClient, services: Services) -> None:
    answers: list[TestResponse] = []
    gate = threading.Barrier(20)

    def send() -> None:
        gate.wait()
        answers.append(post(app.test_client(), "k"))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [202] * 20
    assert len({a.json["id"] for a in answers}) == 1 == count(client)
    assert sorted(a.headers.get("Idempotency-Replayed", "") for a in answers) == ["", *["true"] * 19]
    assert files_of(services) == {answers[0].json["id"], f"{answers[0].json['id']}/source"}


def test_when_the_first_fails_one_that_waits_takes_its_place(
    app: Flask, client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, going = threading.Event(), threading.Event()
    check, listen, calls = type(services.flow).check, type(services.listening).to, iter(range(100))

    def first_fails(flow: Any) -> None:
        if next(calls) == 0:
            going.set()
            assert waiting.wait(20)
            raise QueueUnavailable
        check(flow)

    def to(listening: Any, job_id: str) -> Any:
        waiting.set()
        return listen(listening, job_id)

    monkeypatch.setattr(type(services.flow), "check", first_fails)
    monkeypatch.setattr(type(services.listening), "to", to)
    answers: list[TestResponse] = []
    first = threading.Thread(target=lambda: answers.append(post(app.test_client(), "k")))
    first.start()
    assert going.wait(20)
    second = post(app.test_client(), "k")
    first.join()
    assert is_problem(answers[0], 503, "internal")
    assert second.status_code == 202 and "Idempotency-Replayed" not in second.headers
    assert count(client) == 1
    assert files_of(services) == {second.json["id"], f"{second.json['id']}/source"}


def test_patience_has_an_end(client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    assert post(client, "other").status_code == 202
    fingerprint = fingerprint_in(services, "other")
    assert claim(services, "1" * 32, fingerprint) is None
    monkeypatch.setattr(once, "_WAIT_SECONDS", 0.3)
    began = time.monotonic()
    refused = post(client, "k")
    assert is_problem(refused, 409, "conflict") and refused.headers["Retry-After"]
    assert time.monotonic() - began >= 0.3
    # Another request is told at once.
    assert is_problem(post(client, "k", language="de"), 422, "invalid_option")
    assert count(client) == 1


def fingerprint_in(services: Services, key: str) -> str:
    with services.store.database.read() as session:
        found = session.get(IdempotencyKey, (OWNER, key))
        assert found is not None
        return found.fingerprint


def test_what_was_refused_does_not_use_the_key_up(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(client, "k", beam_size="no").status_code == 400
    assert post(client, "k", ("empty.mp3", b"")).status_code == 415

    def down(_: Any) -> None:
        raise QueueUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(type(services.flow), "check", down)
        assert post(client, "k").status_code == 503
    assert (count(client), files_of(services)) == (0, set())
    assert post(client, "k").status_code == 202


def test_a_deleted_job_is_not_made_again(client: FlaskClient) -> None:
    job_id = post(client, "k").json["id"]
    client.delete(f"/v1/jobs/{job_id}", headers=AUTH)
    assert is_problem(post(client, "k"), 409, "conflict")


def test_after_a_day_the_key_is_free(client: FlaskClient, services: Services) -> None:
    first = post(client, "k").json["id"]
    age(services, hours=23.9)
    idempotency.expire(services.store.database)
    assert post(client, "k").json["id"] == first
    age(services, hours=24.1)
    assert post(client, "k", language="de").json["id"] != first
    age(services, hours=24.1)
    idempotency.expire(services.store.database)
    with services.store.database.read() as session:
        assert session.get(IdempotencyKey, (OWNER, "k")) is None


def test_a_request_that_died_leaves_its_key_to_the_next(services: Services) -> None:
    assert claim(services, "1" * 32) is None
    held = claim(services, "2" * 32)
    assert held is not None and (held.job_id, held.settled) == ("1" * 32, False)
    age(services, seconds=idempotency.STUCK_SECONDS + 1)
    assert claim(services, "2" * 32) is None
    # The one that was given up has nothing to say any more.
    idempotency.release(services.store.database, "k", owner=OWNER, job_id="1" * 32)
    held = claim(services, "3" * 32)
    assert held is not None and held.job_id == "2" * 32


def test_a_request_that_died_after_its_job_was_made_has_made_it(client: FlaskClient, services: Services) -> None:
    job_id = post(client, None).json["id"]
    assert claim(services, job_id) is None
    age(services, seconds=idempotency.STUCK_SECONDS + 1)
    held = claim(services, "2" * 32)
    assert held is not None and (held.job_id, held.settled) == (job_id, True)
    assert [job.id for job in idempotency.made(services.store.database, held)] == [job_id]


class TestTheMomentOfSettling:
    """A request settles its key when it had the time to be thought dead."""

    def test_what_was_settled_meanwhile_is_not_taken(
        self, client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = post(client, None).json["id"]
        assert claim(services, job_id) is None
        age(services, seconds=idempotency.STUCK_SECONDS + 1)
        is_void = idempotency._is_void

        def settled_after_the_look(session: Session, key: IdempotencyKey) -> bool:
            # As where many write at once: this one has read the key unsettled, that one's COMMIT comes then.
            found = is_void(session, key)
            if not key.settled:
                assert idempotency.settle_within(session, "k", owner=OWNER, job_id=key.job_id)
            return found

        monkeypatch.setattr(idempotency, "_is_void", settled_after_the_look)
        monkeypatch.setattr(idempotency, "_jobs_of", lambda _: false())  # nor were its jobs to be seen
        held = claim(services, "2" * 32)
        assert held is not None and (held.job_id, held.settled) == (job_id, True)

    def test_what_is_settled_is_not_given_back(self, services: Services) -> None:
        assert claim(services, "1" * 32) is None
        with services.store.database.write() as session:
            assert idempotency.settle_within(session, "k", owner=OWNER, job_id="1" * 32)
        idempotency.release(services.store.database, "k", owner=OWNER, job_id="1" * 32)
        held = claim(services, "2" * 32)
        assert held is not None and (held.job_id, held.settled) == ("1" * 32, True)


class TestACommitWithoutAnAnswer:
    """The connection to the record breaks when it was told to write new jobs: perhaps it did."""

    @pytest.fixture
    def lose(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Break so many of the COMMITs that follow new jobs, after or before they took place."""

        def lose(times: int, *, done: bool) -> None:
            dialect, left = services.store.database.engine.dialect, [times]
            commit = dialect.do_commit
            new = [False]

            def note(_: Any, __: Any, statement: str, *___: Any) -> None:
                new[0] = new[0] or statement.startswith("INSERT INTO jobs ")

            def do_commit(connection: Any) -> None:
                broken = new[0] and left[0] > 0
                new[0] = False
                if not broken or done:
                    commit(connection)
                if broken:
                    left[0] -= 1
                    raise dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

            event.listen(services.store.database.engine, "before_cursor_execute", note)
            monkeypatch.setattr(dialect, "do_commit", do_commit)

        return lose

    @pytest.mark.parametrize("key", ["k", None])
    @pytest.mark.parametrize("done", [True, False])
    def test_makes_the_jobs_once(
        self, client: FlaskClient, services: Services, lose: Callable[..., None], key: str | None, done: bool
    ) -> None:
        lose(1, done=done)
        made = post(client, key)
        assert made.status_code == 202, made.json
        job_id = made.json["id"]
        assert (count(client), files_of(services)) == (1, {job_id, f"{job_id}/source"})
        if key is not None:
            assert post(client, key).json["id"] == job_id

    @pytest.mark.parametrize("key", ["k", None])
    def test_that_stays_unknown_takes_no_recording_away(
        self,
        client: FlaskClient,
        services: Services,
        lose: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        key: str | None,
    ) -> None:
        lose(1, done=True)

        def down(*_: Any) -> None:
            raise OperationalError(None, None, sqlite3.OperationalError("no route to host"))

        monkeypatch.setattr(acceptance, "_write_again", down)
        monkeypatch.setattr(uploads.jobs, "status", down)
        assert post(client, key).status_code == 503
        [job] = client.get("/v1/jobs", headers=AUTH).json["jobs"]
        assert files_of(services) == {job["id"], f"{job['id']}/source"}
        if key is not None:
            assert post(client, key).json["id"] == job["id"]
