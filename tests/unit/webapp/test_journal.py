"""Whatever is refused, and whatever makes jobs, can be found in the log by the X-Request-ID of its answer."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.stack import KEY
from tests.unit.webapp.conftest import AUTH, SOUND

Lines = list[dict[str, Any]]


@pytest.fixture
def lines(client: FlaskClient) -> Iterator[Lines]:
    with structlog.testing.capture_logs() as found:
        yield found


def of(lines: Lines, answer: TestResponse) -> dict[str, Any]:
    """The one line of an answer, by the id that its client sees; what is said of its jobs is another matter."""
    ours = [one for one in lines if one.get("request_id") == answer.headers["X-Request-ID"]]
    ours = [one for one in ours if one["event"] != "job ended"]
    assert len(ours) == 1, lines
    assert ours[0]["log_level"] == "info" and ours[0]["seconds"] >= 0
    return {name: value for name, value in ours[0].items() if name not in ("log_level", "seconds", "request_id")}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/jobs?status=nonsense&sig=hidden", 400, "invalid_option"),
        ("GET", "/v1/jobs/" + "0" * 32, 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/v1/jobs", 405, "invalid_option"),
        ("POST", "/v1/audio/transcriptions", 400, "invalid_option"),
    ],
)
def test_each_refusal_is_one_line(
    client: FlaskClient, lines: Lines, method: str, path: str, status: int, code: str
) -> None:
    answer = client.open(path, method=method, headers={**AUTH, "X-Request-ID": "ticket-7"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (status, "ticket-7")
    line = of(lines, answer)
    assert (line["event"], line["method"], line["path"]) == ("request refused", method, path.partition("?")[0])
    assert (line["status"], line["code"]) == (status, code)
    if path.startswith("/v1"):
        assert line["account"] == line["key"] or method == "PUT"
    assert "hidden" not in repr(lines)


def test_who_has_no_right_key_is_nobody(client: FlaskClient, lines: Lines) -> None:
    line = of(lines, client.get("/v1/jobs", headers={"X-API-Key": "lh-wrong-key-of-somebody"}))
    assert (line["status"], line["code"], line["account"], line["key"]) == (403, "invalid_key", None, None)
    line = of(lines, client.get("/v1/jobs"))
    assert (line["status"], line["code"]) == (401, "missing_key")
    assert "wrong-key" not in repr(lines) and KEY not in repr(lines)


def test_a_path_stays_in_its_line(client: FlaskClient, lines: Lines) -> None:
    assert of(lines, client.get("/a%0Ab%1B[31m"))["path"] == "/a%0Ab%1B%5B31m"
    long = of(lines, client.get("/" + "a" * 150 + "/" + "b" * 150))["path"]
    assert long == "/" + "a" * 150 + "/…"


def test_accepted_jobs_are_named(client: FlaskClient, lines: Lines) -> None:
    def send(*sounds: bytes, **headers: str) -> TestResponse:
        data = {"file": [(io.BytesIO(sound), "secret name.mp3") for sound in sounds]}
        return client.post("/v1/jobs", headers={**AUTH, **headers}, data=data, content_type="multipart/form-data")

    one = send(SOUND, **{"Idempotency-Key": "k"})
    line = of(lines, one)
    assert (line["event"], line["method"], line["path"]) == ("jobs accepted", "POST", "/v1/jobs")
    assert (line["jobs"], line["count"], line["account"]) == (one.json["id"], 1, "admin")
    again = of(lines, send(SOUND, **{"Idempotency-Key": "k"}))
    assert (again["jobs"], again["replayed"]) == (one.json["id"], True)
    several = send(SOUND, b"")
    line = of(lines, several)
    assert line["jobs"] == ",".join(job["id"] for job in several.json["jobs"])
    assert (line["batch"], line["count"], line["failed"]) == (several.json["batch"], 2, 1)
    many = of(lines, send(*[SOUND] * 25))
    assert (many["jobs"].count(","), many["count"]) == (19, 25)
    assert "secret name" not in repr(lines)


def test_a_retry_is_as_good_as_a_new_job(client: FlaskClient, lines: Lines) -> None:
    data = {"file": (io.BytesIO(SOUND), "talk.mp3")}
    job = client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data").json["id"]
    assert client.post(f"/v1/jobs/{job}/cancel", headers=AUTH).status_code == 200
    line = of(lines, client.post(f"/v1/jobs/{job}/retry", headers=AUTH))
    assert (line["path"], line["jobs"], line["failed"]) == (f"/v1/jobs/{job}/retry", job, 0)


def test_what_goes_well_otherwise_is_no_line(client: FlaskClient, lines: Lines) -> None:
    assert client.get("/v1/jobs", headers=AUTH).status_code == 200
    assert lines == []


def test_an_outage_says_the_code_that_the_client_sees(make: Callable[..., Flask], tmp_path: Any) -> None:
    client = make(redis_url=f"unix://{tmp_path}/nobody").test_client()
    data = {"file": (io.BytesIO(SOUND), "talk.mp3")}
    with structlog.testing.capture_logs() as lines:
        answer = client.post("/v1/jobs", headers=AUTH, data=data, content_type="multipart/form-data")
    line = of([one for one in lines if one["event"] == "request refused"], answer)
    assert (line["status"], line["code"]) == (503, answer.json["code"])
