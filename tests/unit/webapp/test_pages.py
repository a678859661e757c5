"""The page's files, and the ticket its player brings instead of a key."""

import re
from collections.abc import Callable

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.test import TestResponse

from store import keys
from tests.unit.webapp.conftest import AUTH, SOUND, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.access.auth import TICKET
from webapp.services import Services

Send = Callable[..., TestResponse]


@pytest.fixture
def job_id(services: Services, send: Send) -> str:
    found: str = send().json["id"]
    work_off(services, found)
    return found


@pytest.fixture
def bare(app: Flask) -> FlaskClient:
    """A client that sends the cookies it is told to and no others."""
    return app.test_client(use_cookies=False)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestFiles:
    def test_the_page_may_run_nothing_but_its_own_files(self, client: FlaskClient) -> None:
        policy = client.get("/").headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert "trusted-types 'none'" in policy

    def test_every_module_it_imports_is_there(self, client: FlaskClient) -> None:
        wanted, seen = set(re.findall(r'"page/([^"]+)"', client.get("/").text)), set()
        assert {"page.css", "page.js"} <= wanted
        while left := wanted - seen:
            name = left.pop()
            seen.add(name)
            answer = client.get(f"/page/{name}")
            assert answer.status_code == 200, name
            assert answer.headers["Cache-Control"] == "no-cache"
            if name.endswith(".js"):
                assert answer.mimetype == "text/javascript"
                wanted |= set(re.findall(r'from "\./([^"]+)"', answer.text))
        assert len(seen) > 5

    def test_a_copy_at_hand_is_not_sent_again(self, client: FlaskClient) -> None:
        first = client.get("/page/page.js")
        assert client.get("/page/page.js", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304

    @pytest.mark.parametrize("name", ["..%2fdocs.html", "no.js", "index.html", "%2e%2e", "page.js%00"])
    def test_nothing_else_is_served(self, client: FlaskClient, name: str) -> None:
        assert client.get(f"/page/{name}").status_code == 404


class TestTicket:
    def test_it_opens_the_recording_in_ranges(self, client: FlaskClient, job_id: str) -> None:
        answer = client.post(f"/v1/jobs/{job_id}/audio/ticket", headers=AUTH)
        assert answer.status_code == 204 and answer.data == b""
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        # Without a path, it is that of the recording.
        assert "Path=" not in cookie and "Domain=" not in cookie and "Secure" not in cookie
        part = client.get(f"/v1/jobs/{job_id}/audio", headers={"Range": "bytes=10-19"})
        assert part.status_code == 206 and part.data == SOUND[10:20]
        assert client.head(f"/v1/jobs/{job_id}/audio").status_code == 200

    def test_over_https_it_stays_there(self, bare: FlaskClient, job_id: str) -> None:
        answer = bare.post(f"/v1/jobs/{job_id}/audio/ticket", headers=AUTH, base_url="https://localhost")
        assert "Secure" in answer.headers["Set-Cookie"]

    def test_it_opens_nothing_else(self, bare: FlaskClient, send: Send, job_id: str) -> None:
        other = send(name="other.mp3").json["id"]
        ticket = ticket_of(bare, job_id)
        tried = {
            "/v1/jobs": "GET",
            f"/v1/jobs/{job_id}": "GET",
            f"/v1/jobs/{job_id}/transcript": "GET",
            f"/v1/jobs/{job_id}/audio/ticket": "POST",
            f"/v1/jobs/{job_id}/cancel": "POST",
            f"/v1/jobs/{other}/audio": "GET",
        }
        for path, method in tried.items():
            answer = bare.open(path, method=method, headers={"Cookie": f"{TICKET}={ticket}"})
            assert is_problem(answer, 401, "missing_key"), path
        answer = bare.get(f"/v1/jobs/{job_id}/audio", headers={"Cookie": f"{TICKET}={ticket}"})
        assert answer.data == SOUND

    @pytest.mark.parametrize("ticket", ["", "x", "é", "a" * 3000, "../admin"])
    def test_a_made_up_one_opens_nothing(self, bare: FlaskClient, job_id: str, ticket: str) -> None:
        answer = bare.get(f"/v1/jobs/{job_id}/audio", headers={"Cookie": f"{TICKET}={ticket}"})
        assert is_problem(answer, 401, "missing_key")

    def test_a_wrong_key_is_not_made_good_by_it(self, bare: FlaskClient, job_id: str) -> None:
        cookie = {"Cookie": f"{TICKET}={ticket_of(bare, job_id)}"}
        answer = bare.get(f"/v1/jobs/{job_id}/audio", headers={**cookie, **bearer("wrong-key")})
        assert is_problem(answer, 403, "invalid_key")

    def test_nobody_gets_one_for_another_s_job(self, bare: FlaskClient, services: Services, job_id: str) -> None:
        _, key = keys.create(services.store.database, "other", scopes=["read"])
        answer = bare.post(f"/v1/jobs/{job_id}/audio/ticket", headers=bearer(key))
        assert is_problem(answer, 404, "not_found") and "Set-Cookie" not in answer.headers
        assert is_problem(bare.post(f"/v1/jobs/{job_id}/audio/ticket"), 401, "missing_key")

    def test_it_ends_with_its_key(self, bare: FlaskClient, services: Services) -> None:
        record, key = keys.create(services.store.database, "one", scopes=["read", "transcribe"])
        mine = bare.post("/v1/jobs", headers=bearer(key), data={"file": (__file__, "talk.mp3")}).json["id"]
        ticket = ticket_of(bare, mine, key)
        cookie = {"Cookie": f"{TICKET}={ticket}"}
        assert bare.get(f"/v1/jobs/{mine}/audio", headers=cookie).status_code == 200
        assert keys.revoke(services.store.database, record.id)
        assert is_problem(bare.get(f"/v1/jobs/{mine}/audio", headers=cookie), 401, "missing_key")

    def test_it_ends_with_the_operator_s_key(self, bare: FlaskClient, make: Callable[..., Flask], job_id: str) -> None:
        cookie = {"Cookie": f"{TICKET}={ticket_of(bare, job_id)}"}
        assert bare.get(f"/v1/jobs/{job_id}/audio", headers=cookie).status_code == 200
        later = make(api_key="another-key-by-now").test_client(use_cookies=False)
        assert is_problem(later.get(f"/v1/jobs/{job_id}/audio", headers=cookie), 401, "missing_key")

    def test_without_redis_the_recording_can_still_be_fetched_with_the_key(
        self, bare: FlaskClient, services: Services, job_id: str
    ) -> None:
        cookie = {"Cookie": f"{TICKET}={ticket_of(bare, job_id)}"}
        services.tickets.close()
        services.tickets._client = redis.Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))
        assert is_problem(bare.post(f"/v1/jobs/{job_id}/audio/ticket", headers=AUTH), 503, "internal")
        assert is_problem(bare.get(f"/v1/jobs/{job_id}/audio", headers=cookie), 503, "internal")
        assert bare.get(f"/v1/jobs/{job_id}/audio", headers=AUTH).data == SOUND


def ticket_of(bare: FlaskClient, job_id: str, key: str | None = None) -> str:
    headers = bearer(key) if key else AUTH
    found = bare.post(f"/v1/jobs/{job_id}/audio/ticket", headers=headers).headers["Set-Cookie"]
    return re.match(rf"{TICKET}=([^;]+)", found)[1]  # type: ignore[index]
