"""What holds for every address there is: headers that keep answers to their reader, and no way into the file system."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from store import keys
from tests.unit.webapp.conftest import AUTH, SOUND, files_of, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.access.auth import TICKET
from webapp.services import Services

Make = Callable[..., Flask]
APP = "https://app.example.org"
NOT_THERE = {
    **{name: "0" * 32 for name in ("job_id", "batch_id", "delivery_id", "key_id", "upload_id")},
    **{"name": "nothing.js", "model": "nothing", "extension": "srt"},
}
PUBLIC = re.compile(r"/(docs(/.*)?|page/.*)?")
"""Files of the pages, the same for everybody: only these may be kept by a cache that many share."""


def requests(app: Flask, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every method of every address, with these values in it; what changes something last."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"]
    found = [(method, address(app, rule, values)) for rule in rules for method in rule.methods or ()]
    yield from sorted(found, key=lambda one: ("GET", "HEAD", "OPTIONS", "PATCH", "POST", "DELETE").index(one[0]))


def address(app: Flask, rule: Rule, values: dict[str, str]) -> str:
    missing = rule.arguments - set(values)
    assert not missing, f"{rule.rule} takes {missing}: say in this test what they may be"
    built: str = app.url_map.bind("localhost").build(rule.endpoint, {name: values[name] for name in rule.arguments})
    # Two addresses may have one endpoint; what counts is the rule.
    return built


def check(answer: TestResponse, path: str) -> None:
    """The headers of an answer, whatever became of the request."""
    headers, said = answer.headers, f"{answer.request.method} {path} {answer.status}"
    assert headers["X-Content-Type-Options"] == "nosniff", said
    assert headers["Referrer-Policy"] == "no-referrer", said
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin", said
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", said
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, said
    assert "unsafe" not in policy, said
    assert "script-src" not in policy or re.search(r"script-src 'self'(;|$)", policy), said
    kept = {part.strip() for part in headers["Cache-Control"].split(",")}
    if answer.status_code >= 400 or not PUBLIC.fullmatch(path.partition("?")[0]):
        assert "private" in kept and kept & {"no-store", "no-cache"}, f"{said} {kept}"
    assert "Access-Control-Allow-Credentials" not in headers, said
    assert "\n" not in str(headers.get("Content-Disposition")), said
    if answer.status_code >= 400 and answer.data:
        assert answer.mimetype in {"application/problem+json", "application/json"}, said
    if answer.data and answer.mimetype in {"text/html", "image/svg+xml"}:
        assert PUBLIC.fullmatch(path), said  # nothing that a client sent is ever shown as a document


@pytest.mark.parametrize("origins", ["", APP])
def test_every_answer_of_every_address_keeps_to_its_reader(make: Make, origins: str) -> None:
    app = make(cors_origins=origins, sync_timeout_seconds=1)
    client, s = app.test_client(), app.extensions["longhand"]
    files = [(io.BytesIO(SOUND), f"talk{n}.mp3") for n in "ab"]
    batch = client.post("/v1/jobs", headers=AUTH, data={"file": files}).json
    work_off(s, batch["jobs"][0]["id"])
    record, _ = keys.create(s.store.database, "Ada", scopes=["read"])
    there = {**NOT_THERE, "job_id": batch["jobs"][0]["id"], "batch_id": batch["batch"], "key_id": record.id}
    there |= {"name": "page.js", "model": "demo"}
    seen: set[int] = set()
    for values in (NOT_THERE, there):
        for who in ({}, {"Authorization": "Bearer wrong"}, AUTH, {**AUTH, "X-API-Key": "two"}):
            for method, path in requests(app, values):
                origin = {"Origin": APP} if origins else {}
                answer = client.open(path, method=method, headers={**who, **origin})
                check(answer, path)
                assert answer.headers.get("Access-Control-Allow-Origin") == (origins or None)
                seen.add(answer.status_code)
    wrong = {"headers": {"Authorization": "Bearer wrong"}}
    refused = next(
        answer for answer in (client.get("/v1/jobs", **wrong) for _ in range(200)) if answer.status_code == 429
    )
    check(refused, "/v1/jobs")
    assert {200, 204, 308, 400, 401, 403, 404, 409, 415} <= seen


def test_so_do_parts_refusals_and_copies_at_hand(client: FlaskClient, services: Services, send: Any) -> None:
    job_id = send().json["id"]
    work_off(services, job_id)
    audio, text = f"/v1/jobs/{job_id}/audio", f"/v1/jobs/{job_id}/transcript"
    at_hand = {path: client.get(path, headers=AUTH).headers["ETag"] for path in (audio, f"{text}.vtt", "/page/page.js")}
    tried: list[tuple[str, dict[str, Any], int]] = [
        (audio, {"headers": {"Range": "bytes=1-2"}}, 206),
        (audio, {"headers": {"Range": "bytes=999999-"}}, 416),
        *((path, {"headers": {"If-None-Match": tag}}, 304) for path, tag in at_hand.items()),
        *((f"{text}.{kind}?download=1", {}, 200) for kind in ("json", "srt", "vtt", "txt", "tsv")),
        (f"{text}?format=html", {}, 400),
        ("/docs/", {}, 308),
        ("/v1/jobs", {"method": "PUT"}, 405),
        ("/v1/jobs", {"method": "TRACE"}, 405),
        ("/<script>", {}, 404),
    ]
    for path, request, status in tried:
        answer = client.open(path, **{**request, "headers": {**AUTH, **request.get("headers", {})}})
        assert answer.status_code == status, path
        check(answer, path)
    with services.store.files.create(job_id, "transcript.json") as upload:
        upload.write(b"{broken")
        upload.keep()
    answer = client.get(f"{text}?max_cps=11&format=vtt", headers=AUTH)
    assert answer.status_code == 500
    check(answer, text)


@pytest.mark.parametrize(
    "name",
    ['a"; filename="evil.html', "a\r\nSet-Cookie: b=c.mp3", "<img src=x onerror=alert(1)>.mp3", "\u202egpj.mp3",
     "ä" * 2000, "../../etc/passwd", "x.html", ";.mp3", "%0d%0aX: y.mp3"],
)  # fmt: skip
def test_a_file_name_stays_a_file_name(client: FlaskClient, services: Services, send: Any, name: str) -> None:
    job_id = send(name=name).json["id"]
    work_off(services, job_id)
    for path in (f"/v1/jobs/{job_id}/audio?download=1", f"/v1/jobs/{job_id}/transcript.srt?download=1"):
        answer = client.get(path, headers=AUTH)
        disposition = answer.headers["Content-Disposition"]
        assert re.fullmatch(
            r"attachment; filename=\"[^\"\\/%;\r\n]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", disposition
        ), disposition
        assert "Set-Cookie" not in answer.headers and "X" not in answer.headers
        assert answer.mimetype != "text/html"
        check(answer, path)


MARK = "lh-canary-"
_watched: list[list[str]] = []
"""What was opened, listed, moved or removed while somebody watched."""
_EVENTS = re.compile(
    r"open|os\.(?!putenv|unsetenv|fork).*|shutil\..*|glob\..*|pathlib\..*|subprocess\.Popen|tempfile\..*"
)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and _EVENTS.fullmatch(event):
        _watched[-1].append(f"{event} {arguments!r}")


sys.addaudithook(_hear)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Everything that this process does with files by name."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


def ways(canary: Path) -> list[str]:
    """Names that would lead to a file outside, if anything followed them."""
    up = "../" * 12
    return [
        f"{up}{canary}", f"{up.replace('../', '..%2f')}{MARK}", f"%2e%2e/%2e%2e/{MARK}", f"%252e%252e%252f{MARK}",
        str(canary), f"/{canary}", f"//{canary}", f"..\\..\\{MARK}", f"{MARK}%00.srt", f"..%c0%af{MARK}", f"~/{MARK}",
        f"file://{canary}", f"....//....//{MARK}", f"{MARK}\n", f"{'0' * 32}/../{MARK}", f"..;/{MARK}",
    ]  # fmt: skip


def misled(app: Flask, values: dict[str, str], ways: list[str]) -> Iterator[tuple[str, str]]:
    """Every method of every address with something in it, with each of its parts in turn replaced."""
    for rule in app.url_map.iter_rules():
        for name in rule.arguments:
            for way in ways:
                parts = re.split(r"<(?:\w+:)?(\w+)>", rule.rule)
                named = {**values, name: way}
                path = "".join(named[part] if n % 2 else part for n, part in enumerate(parts))
                yield from ((method, path) for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / f"{MARK}outside.srt"
    path.write_text("nobody may read this")
    return path


@pytest.fixture(params=["", "*"], ids=["named models", "any model"])
def open_app(make: Make, request: pytest.FixtureRequest) -> Flask:
    return make(allowed_models=request.param, max_upload_mb=1, sync_timeout_seconds=1)


def test_no_part_of_an_address_is_a_path(open_app: Flask, canary: Path) -> None:
    client, s = open_app.test_client(), open_app.extensions["longhand"]
    job_id = client.post("/v1/jobs", headers=AUTH, data={"file": (io.BytesIO(SOUND), "a.mp3")}).json["id"]
    work_off(s, job_id)
    before, there = files_of(s), {**NOT_THERE, "job_id": job_id}
    asked = 0
    with watched() as seen:
        for method, path in misled(open_app, there, ways(canary)):
            answer = client.open(path, method=method, headers=AUTH)
            assert answer.status_code in {308, 400, 404, 405, 415}, (method, path, answer.status)
            assert b"nobody may read" not in answer.data
            asked += 1
    assert asked > 300 and seen == [entry for entry in seen if MARK not in entry]
    assert files_of(s) == before


def test_no_field_name_or_header_is_a_path(open_app: Flask, canary: Path, tmp_path: Path) -> None:
    client, s = open_app.test_client(), open_app.extensions["longhand"]
    fields = ("model", "language", "formats", "prompt", "hotwords", "url", "webhook_url", "upload", "metadata", "task")
    outside = {path for path in tmp_path.iterdir() if path.name != "data"}
    accepted: list[str] = []
    with watched() as seen:
        for way in ways(canary):
            for data in ({}, *({name: way} for name in fields)):
                answer = client.post("/v1/jobs", headers=AUTH, data={"file": (io.BytesIO(SOUND), way), **data})
                if answer.status_code == 202:  # a batch, if there is an address as well
                    accepted += [job["id"] for job in answer.json.get("jobs", [answer.json])]
                assert answer.status_code < 500 and b"nobody may read" not in answer.data
            for query in ("cursor", "status", "wait", "format"):
                assert client.get("/v1/jobs", headers=AUTH, query_string={query: way}).status_code < 500
            line = re.sub(r"[\r\n]", "", way)
            sent = {"Idempotency-Key": line, "X-Request-ID": line, "Last-Event-ID": line, "Cookie": f"{TICKET}={line}"}
            for path in (f"/v1/jobs/{accepted[0]}/audio", f"/v1/jobs/{accepted[0]}/events/", "/v1/usage"):
                assert client.get(path, headers={**AUTH, **sent}).status_code < 500
            assert is_problem(client.get("/v1/jobs", headers={"Authorization": f"Bearer x{line}"}), 403, "invalid_key")
    assert accepted and [entry for entry in seen if MARK in entry] == []
    assert {path for path in tmp_path.iterdir() if path.name != "data"} == outside
    assert canary.read_text() == "nobody may read this"
    folders = {name.partition("/")[0] for name in files_of(s)}
    assert folders and folders <= set(accepted)  # a job that fetches its recording has no folder yet
    assert {name.partition("/")[2] for name in files_of(s)} == {"", "source"}


def test_ids_cannot_be_guessed(client: FlaskClient, send: Any) -> None:
    made = [int(send().json["id"], 16) for _ in range(40)]
    assert len(set(made)) == 40
    # 128 bits but for the six by which a random UUID is known: each of the others is sometimes set and sometimes not.
    fixed = [bit for bit in range(128) if len({number >> bit & 1 for number in made}) == 1]
    assert len(fixed) <= 6
