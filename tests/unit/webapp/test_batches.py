"""Batches: listed, waited for, cancelled; another account's are not there. And what outlives its key is ended."""

import io
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from store import jobs, keys
from store.models import ApiKey
from tests.stack import WEBHOOK_SECRET, until
from tests.unit.webapp.conftest import AUTH, SOUND, work_off
from tests.unit.webapp.test_access import is_problem
from tests.unit.webapp.test_events import Reader
from webapp import events
from webapp.services import Services
from webapp.waiting import ends

Send = Callable[..., TestResponse]


@pytest.fixture
def batch(client: FlaskClient) -> Callable[..., tuple[str, list[str]]]:
    """Send so many recordings at once; the batch and its jobs."""

    def send(count: int = 3, headers: dict[str, str] = AUTH) -> tuple[str, list[str]]:
        files = [(io.BytesIO(SOUND + bytes([n])), f"{n}.mp3") for n in range(count)]
        made = client.post("/v1/jobs", headers=headers, data={"file": files}).json
        return made["batch"], [job["id"] for job in made["jobs"]]

    return send


def account(services: Services, *scopes: str) -> tuple[ApiKey, dict[str, str]]:
    record, key = keys.create(services.store.database, "other", scopes=scopes or ("read", "transcribe"))
    return record, {"Authorization": f"Bearer {key}"}


def revoke(services: Services, record: ApiKey) -> None:
    assert keys.revoke(services.store.database, record.id)


def expire(services: Services, record: ApiKey) -> None:
    with services.store.database.write() as session:
        session.execute(update(ApiKey).values(expires_at=jobs.now() - timedelta(seconds=1)))


class TestList:
    def test_newest_first_page_by_page(
        self, client: FlaskClient, services: Services, send: Send, batch: Callable[..., tuple[str, list[str]]]
    ) -> None:
        assert client.get("/v1/batches", headers=AUTH).json == {"batches": [], "next_cursor": None}
        made = [batch(count) for count in (2, 3, 2)][::-1]
        assert send().status_code == 202, "a single job is no batch"
        assert jobs.cancel(services.store.database, made[1][1][0])
        first = client.get("/v1/batches?limit=2", headers=AUTH).json
        assert [one["batch"] for one in first["batches"]] == [made[0][0], made[1][0]]
        nothing = dict.fromkeys(("queued", "running", "done", "failed", "cancelled"), 0)
        assert [one["counts"] for one in first["batches"]] == [
            {**nothing, "queued": 2},
            {**nothing, "queued": 2, "cancelled": 1},
        ]
        oldest = client.get(f"/v1/jobs/{made[0][1][0]}", headers=AUTH).json
        assert first["batches"][0]["created_at"] == oldest["created_at"]
        last = client.get(f"/v1/batches?limit=2&cursor={first['next_cursor']}", headers=AUTH).json
        assert ([one["batch"] for one in last["batches"]], last["next_cursor"]) == ([made[2][0]], None)

    def test_what_is_deleted_is_not_listed(
        self, client: FlaskClient, batch: Callable[..., tuple[str, list[str]]]
    ) -> None:
        (_, gone), (kept, left) = batch(2), batch(2)
        for job_id in (*gone, left[0]):
            assert client.delete(f"/v1/jobs/{job_id}", headers=AUTH).status_code == 204
        listed = client.get("/v1/batches", headers=AUTH).json["batches"]
        assert [(one["batch"], one["counts"]["queued"]) for one in listed] == [(kept, 1)]

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=", "status=done"])
    def test_nonsense(self, client: FlaskClient, query: str) -> None:
        assert is_problem(client.get(f"/v1/batches?{query}", headers=AUTH), 400, "invalid_option")


class TestWait:
    def test_it_ends_with_the_last_job(
        self, client: FlaskClient, services: Services, batch: Callable[..., tuple[str, list[str]]]
    ) -> None:
        name, ids = batch(3)
        answers: list[TestResponse] = []
        path = f"/v1/batches/{name}?wait=60"
        waiting = threading.Thread(target=lambda: answers.append(client.get(path, headers=AUTH)))
        waiting.start()
        for job_id in ids[::-1]:
            assert not answers
            work_off(services, job_id)
            services.store.events.changed(job_id)
        waiting.join(30)
        assert answers[0].json["counts"]["done"] == 3
        began = time.monotonic()
        assert client.get(path, headers=AUTH).json["counts"]["done"] == 3
        assert time.monotonic() - began < 30

    def test_time_is_up(self, client: FlaskClient, batch: Callable[..., tuple[str, list[str]]]) -> None:
        name, _ = batch(2)
        assert client.get(f"/v1/batches/{name}?wait=0.2", headers=AUTH).json["counts"]["queued"] == 2
        assert is_problem(client.get(f"/v1/batches/{name}?wait=-1", headers=AUTH), 400, "invalid_option")


class TestCancel:
    def test_what_is_not_over_stops(
        self, client: FlaskClient, services: Services, batch: Callable[..., tuple[str, list[str]]]
    ) -> None:
        name, ids = batch(3)
        work_off(services, ids[1])
        answer = client.post(f"/v1/batches/{name}/cancel", headers=AUTH)
        assert (answer.status_code, [job["id"] for job in answer.json["jobs"]]) == (200, ids)
        assert [job["status"] for job in answer.json["jobs"]] == ["cancelled", "done", "cancelled"]
        again = client.post(f"/v1/batches/{name}/cancel", headers=AUTH)
        assert is_problem(again, 409, "conflict")

    def test_each_end_is_owed_to_the_webhook(self, make: Callable[..., Flask]) -> None:
        files = [(io.BytesIO(SOUND + bytes([n])), f"{n}.mp3") for n in range(2)]
        made = make(webhook_secret=WEBHOOK_SECRET).test_client()
        data = {"file": files, "webhook_url": "https://example.org/hook"}
        batch = made.post("/v1/jobs", headers=AUTH, data=data).json
        assert made.post(f"/v1/batches/{batch['batch']}/cancel", headers=AUTH).status_code == 200
        for job in batch["jobs"]:
            sent = made.get(f"/v1/jobs/{job['id']}/deliveries", headers=AUTH).json["deliveries"]
            assert [one["event"] for one in sent] == ["job.cancelled"]


def test_another_accounts_batch_is_not_there(
    client: FlaskClient, services: Services, batch: Callable[..., tuple[str, list[str]]]
) -> None:
    name, ids = batch(2)
    _, other = account(services)
    for method, path in (("GET", name), ("GET", f"{name}?wait=5"), ("POST", f"{name}/cancel")):
        for tried in (path, path.replace(name, "0" * 32), path.replace(name, "nonsense")):
            answer = client.open(f"/v1/batches/{tried}", method=method, headers=other)
            assert is_problem(answer, 404, "not_found")
    assert client.get("/v1/batches", headers=other).json["batches"] == []
    assert jobs.status(services.store.database, ids[0]) == "queued"
    theirs, _ = batch(2, headers=other)
    assert [one["batch"] for one in client.get("/v1/batches", headers=AUTH).json["batches"]] == [theirs, name]
    assert [one["batch"] for one in client.get("/v1/batches", headers=other).json["batches"]] == [theirs]
    assert client.post(f"/v1/batches/{theirs}/cancel", headers=AUTH).status_code == 200
    _, reader = account(services, "read")
    assert is_problem(client.post(f"/v1/batches/{theirs}/cancel", headers=reader), 403, "invalid_key")


class TestKeysThatEnd:
    """A key that is revoked or expires opens nothing from then on, what it opened before included."""

    @pytest.mark.parametrize("end", [revoke, expire])
    def test_a_stream_ends(
        self,
        client: FlaskClient,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
        end: Callable[[Services, ApiKey], None],
    ) -> None:
        monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.2)
        record, other = account(services)
        data = {"file": (io.BytesIO(SOUND), "a.mp3")}
        job_id = client.post("/v1/jobs", headers=other, data=data).json["id"]
        theirs, ours = Reader(client, job_id, **other), Reader(client, job_id)
        end(services, record)
        theirs.thread.join(10)
        assert not theirs.thread.is_alive() and "event: job" in theirs.text
        seen = ours.text.count(": still here")
        until(lambda: ours.text.count(": still here") > seen + 1, 30, "the other stream to go on")
        assert jobs.cancel(services.store.database, job_id)
        services.store.events.changed(job_id)
        ours.thread.join(10)
        assert "event: cancelled" in ours.text

    @pytest.mark.parametrize("end", [revoke, expire])
    def test_a_wait_ends(
        self,
        client: FlaskClient,
        services: Services,
        monkeypatch: pytest.MonkeyPatch,
        batch: Callable[..., tuple[str, list[str]]],
        end: Callable[[Services, ApiKey], None],
    ) -> None:
        monkeypatch.setattr(ends, "LOOK_SECONDS", 0.2)
        record, other = account(services)
        name, ids = batch(2, headers=other)
        answers: list[TestResponse] = []
        threads = [
            threading.Thread(target=lambda path=path: answers.append(client.get(path, headers=other)))
            for path in (f"/v1/jobs/{ids[0]}?wait=15", f"/v1/batches/{name}?wait=15")
        ]
        for thread in threads:
            thread.start()
        end(services, record)
        for thread in threads:
            thread.join(10)
        assert [answer.status_code for answer in answers] == [403, 403]
        assert all(is_problem(answer, 403, "invalid_key") for answer in answers)
