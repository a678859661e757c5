"""Behind a proxy: whose address counts, what links and cookies say, which pages may send."""

import io
from collections.abc import Callable

import pytest
from flask import Flask, request
from werkzeug.test import TestResponse

from tests.unit.webapp.conftest import AUTH, SOUND

Make = Callable[..., Flask]
PUBLIC = "https://longhand.example.org:8443"


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "203.0.113.9")])
def test_as_many_proxies_are_believed_as_there_are(make: Make, proxies: int, seen: str) -> None:
    app = make(trusted_proxies=proxies)
    found: list[tuple[str | None, bool, str]] = []
    app.before_request_funcs[None].insert(
        0, lambda: found.append((request.remote_addr, request.is_secure, request.host))
    )
    forwarded = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9, 192.0.2.7", "X-Forwarded-Proto": "https, https"}
    app.test_client().get("/health/live", headers={**forwarded, "X-Forwarded-Host": "evil.example.org"})
    assert found == [(seen, proxies > 0, "localhost")]


def ticket(app: Flask, **headers: str) -> str:
    client = app.test_client()
    sent = client.post("/v1/jobs", headers=AUTH, data={"file": (io.BytesIO(SOUND), "a.mp3")})
    job = sent.get_json()
    issued: TestResponse = client.post(f"/v1/jobs/{job['id']}/audio/ticket", headers={**AUTH, **headers})
    return str(issued.headers["Set-Cookie"])


def test_the_ticket_goes_over_https_only_where_there_is_https(make: Make) -> None:
    assert "Secure" not in ticket(make())
    assert "Secure" in ticket(make(public_url=PUBLIC))
    assert "Secure" in ticket(make(trusted_proxies=1), **{"X-Forwarded-Proto": "https"})


def test_our_own_page_may_send_from_an_address_with_a_port(make: Make) -> None:
    client = make(api_key=None, public_url=PUBLIC).test_client()
    for origin, status in ((PUBLIC, 400), ("https://longhand.example.org:1", 403), ("https://evil.example.org", 403)):
        answer = client.post("/v1/jobs", headers={"Origin": origin, "Host": "longhand.example.org"})
        assert answer.status_code == status
