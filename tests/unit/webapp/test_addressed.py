"""Recordings that are only named: by address, in forms and in JSON."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs
from tests.unit.webapp.conftest import AUTH, SOUND, files_of
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

URL = "https://example.org/talks/a%20talk.mp3?token=t"
PLAIN = "application/x-www-form-urlencoded"


def post(client: FlaskClient, body: Any = None, *, key: str | None = None, **request: Any) -> TestResponse:
    headers = AUTH if key is None else {**AUTH, "Idempotency-Key": key}
    return client.post("/v1/jobs", headers=headers, **({"json": body} if body is not None else {}), **request)


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"url": URL, "language": "en", "beam_size": 3}},
        {"json": {"url": [URL], "language": "en", "beam_size": 3.0}},
        {"data": {"url": URL, "language": "en", "beam_size": "3"}, "content_type": PLAIN},
        {"data": {"url": URL, "language": "en", "beam_size": "3"}, "content_type": "multipart/form-data"},
    ],
)
def test_an_address_makes_a_job_that_fetches_it(
    client: FlaskClient, services: Services, request_: dict[str, Any]
) -> None:
    answer = post(client, **request_)
    assert answer.status_code == 202, answer.json
    job = answer.json
    assert job["source"] == {"name": "a talk.mp3", "bytes": 0, "sha256": "", "duration": None, "format": None}
    assert (job["options"]["url"], job["options"]["language"], job["options"]["beam_size"]) == (URL, "en", 3)
    assert [step["stage"] for step in job["steps"]][:3] == ["fetch", "normalise", "chunk"]
    assert (job["status"], job["progress"]) == ("queued", 0)
    assert files_of(services) == set()
    audio = client.get(f"/v1/jobs/{job['id']}/audio", headers=AUTH)
    assert is_problem(audio, 404, "not_found") and "not fetched" in audio.json["detail"]
    jobs.cancel(services.store.database, job["id"])
    assert "never fetched" in client.get(f"/v1/jobs/{job['id']}/audio", headers=AUTH).json["detail"]


def test_typed_values_are_taken_as_they_are(client: FlaskClient) -> None:
    body = {
        "url": "HTTPS://Example.org:443/x#there",
        "vad_filter": False,
        "temperature": 0,
        "max_cps": 20,
        "formats": ["srt", "txt"],
        "languages": ["de", "en"],
        "metadata": {"case": 7.0, "list": [1.5, None, {"deep": "é\u0000"}]},
        "priority": "high",
        "language": None,
        "diarise": False,
        "keywords": ["Ada", " Grace ", ""],
    }
    job = post(client, body).json
    options = job["options"]
    assert options["url"] == "https://example.org/x"
    assert (options["vad_filter"], options["temperature"], options["formats"]) == (False, 0, ["srt", "txt"])
    assert (options["languages"], options["language"], options["priority"]) == (["de", "en"], None, "high")
    assert options["hotwords"] == "Ada, Grace"
    assert job["metadata"] == body["metadata"]


BAD: list[tuple[Any, str]] = [
    ({}, "url"),
    ({"language": "en"}, "url"),
    ([], "JSON object"),
    ("text", "JSON object"),
    ({"url": None}, "url must be a text"),
    ({"url": 5}, "url must be a text"),
    ({"url": []}, "url must be a text"),
    ({"url": [URL, 5]}, "url must be a text"),
    ({"url": [[URL]]}, "url must be a text"),
    ({"url": " "}, "url must be a text"),
    ({"url": {"a": 1}}, "url must be a text"),
    ({"url": URL, "beam": 5}, "'beam_size'"),
    ({"url": URL, "file": "x"}, "'file'"),
    ({"url": URL, "beam_size": "5"}, "beam_size"),
    ({"url": URL, "beam_size": True}, "beam_size"),
    ({"url": URL, "beam_size": 5.5}, "beam_size"),
    ({"url": URL, "beam_size": 50}, "from 1 to 20"),
    ({"url": URL, "beam_size": [5]}, "beam_size"),
    ({"url": URL, "vad_filter": "true"}, "vad_filter"),
    ({"url": URL, "vad_filter": 1}, "vad_filter"),
    ({"url": URL, "temperature": "0"}, "temperature"),
    ({"url": URL, "formats": {"a": 1}}, "formats"),
    ({"url": URL, "formats": "srt"}, "formats must be an array"),
    ({"url": URL, "languages": [{}]}, "languages"),
    ({"url": URL, "languages": {"en": 1}}, "languages"),
    ({"url": URL, "prompt": 5}, "prompt"),
    ({"url": URL, "prompt": ["a"]}, "prompt"),
    ({"url": URL, "hotwords": 5}, "hotwords"),
    ({"url": URL, "hotwords": ["a", 5]}, "hotwords must be a text, or an array of texts"),
    ({"url": URL, "hotwords": ["x" * 1500] * 2}, "hotwords"),
    ({"url": URL, "hotwords": ["b"], "keywords": ["a"]}, "hotwords once"),
    ({"url": URL, "priority": None}, "priority"),
    ({"url": URL, "metadata": "{}"}, "metadata"),
    ({"url": URL, "metadata": [1]}, "metadata"),
    ({"url": URL, "metadata": {"a": "x" * 17000}}, "16 kB"),
    ({"url": URL, "diarise": True}, "apart"),
    ({"url": URL, "diarise": 1}, "diarise"),
    ({"url": URL, "num_speakers": "2"}, "num_speakers"),
    ({"url": URL, "channels": "both"}, "channels"),
    ({"url": URL, "diarise": False, "diarize": False}, "diarise once"),
    ({"url": URL, "webhook_url": "http://10.0.0.1/"}, "webhook_url"),
]


@pytest.mark.parametrize(("body", "says"), BAD)
def test_json_that_cannot_be_used_is_explained(client: FlaskClient, services: Services, body: Any, says: str) -> None:
    answer = post(client, body)
    assert is_problem(answer, 400, "invalid_option") and says in answer.json["detail"]
    assert jobs.page(services.store.database) == ([], None)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        *(
            (data, 400)
            for data in (
                b"\xff",
                b'{"metadata": {"a": "\\ud800"}}',
                b"{",
                b"[" * 100_000,
                b'{"url": NaN}',
                b'{"a": 1e999}',
            )
        ),
        (b'{"url": "' + b"x" * 300_000 + b'"}', 413),
        (json.dumps({"url": [URL] * 1001}).encode(), 413),
    ],
)
def test_what_is_no_json_or_too_much(client: FlaskClient, data: bytes, status: int) -> None:
    answer = post(client, data=data, content_type="application/json")
    assert is_problem(answer, status, {400: "invalid_option", 413: "too_large"}[status])


@pytest.mark.parametrize("data", ["url=%ff", "&".join(["url=x"] * 1001), "url=", "", "file=x", "&&&"])
def test_a_plain_form_that_cannot_be_used(client: FlaskClient, data: str) -> None:
    assert is_problem(post(client, data=data, content_type=PLAIN), 400, "invalid_option")


REFUSED = [
    "http://127.0.0.1/a.mp3",
    "ftp://example.org/a",
    "https://me:secret@example.org/a",
    "http://2130706433/",
    "a",
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_refused_address_is_refused_at_once(client: FlaskClient, services: Services, url: str) -> None:
    answer = post(client, {"url": url})
    assert is_problem(answer, 400, "invalid_option") and answer.json["detail"].startswith("url: The address")
    assert jobs.page(services.store.database) == ([], None)


def test_in_a_batch_it_sinks_no_other_and_the_order_is_the_forms(client: FlaskClient) -> None:
    fields: list[tuple[str, Any]] = [
        ("url", "https://example.org/1.mp3"),
        ("file", (io.BytesIO(SOUND), "2.mp3")),
        ("url", "https://me:secret@example.org/3.mp3"),
        ("language", "en"),
        ("file", (io.BytesIO(b""), "4.mp3")),
        ("url", "https://example.org/5.mp3"),
    ]
    body = b"".join(_part(name, value) for name, value in fields) + b"--B--\r\n"
    answer = post(client, data=body, content_type="multipart/form-data; boundary=B")
    assert answer.status_code == 202, answer.json
    made = answer.json["jobs"]
    assert [job["source"]["name"] for job in made] == ["1.mp3", "2.mp3", "3.mp3", "4.mp3", "5.mp3"]
    assert [job["status"] for job in made] == ["queued", "queued", "failed", "failed", "queued"]
    assert [(job["error"] or {}).get("code") for job in made[2:4]] == ["invalid_option", "unsupported_media"]
    assert "secret" not in answer.text
    assert [job["options"]["url"] for job in made][1::2] == [None, None]
    assert {job["options"]["language"] for job in made} == {"en"}
    batch = client.get(f"/v1/batches/{answer.json['batch']}", headers=AUTH).json
    assert [job["id"] for job in batch["jobs"]] == [job["id"] for job in made]


def _part(name: str, value: Any) -> bytes:
    head, data = f'--B\r\nContent-Disposition: form-data; name="{name}"', value
    if isinstance(value, tuple):
        head, data = f'{head}; filename="{value[1]}"', value[0].getvalue()
    return f"{head}\r\n\r\n".encode() + (data if isinstance(data, bytes) else data.encode()) + b"\r\n"


def test_a_closed_network_may_name_its_own(make: Callable[..., Flask]) -> None:
    client = make(allow_private_urls=True).test_client()
    assert post(client, {"url": "http://storage:9000/a.mp3"}).status_code == 202
    assert is_problem(post(client, {"url": "http://169.254.169.254/"}), 400, "invalid_option")


def test_the_same_request_again_makes_nothing(client: FlaskClient) -> None:
    first = post(client, {"url": URL, "beam_size": 5}, key="k")
    again = post(client, key="k", data={"url": URL}, content_type=PLAIN)
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert is_problem(post(client, {"url": URL + "x"}, key="k"), 422, "invalid_option")
    several = {"url": ["https://example.org/1", "https://example.org/2"]}
    batch = post(client, several, key="b").json
    assert post(client, several, key="b").json["batch"] == batch["batch"]
    assert is_problem(post(client, {"url": several["url"][::-1]}, key="b"), 422, "invalid_option")


def test_the_document_has_all_bodies(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    bare = {"audio/*", "video/*", "application/octet-stream"}
    assert set(content) == {"multipart/form-data", PLAIN, "application/json", *bare}
    beside = {p["name"]: p for key, p in document["components"]["parameters"].items() if key.startswith("option.")}
    assert {"name", "language", "formats", "hotwords"} < set(beside) and not {"file", "url", "upload"} & set(beside)
    assert all(p["in"] == "query" and "body only" in p["description"] for p in beside.values())
    schemas = {
        kind: document["components"]["schemas"][c["schema"]["$ref"].split("/")[-1]]
        for kind, c in content.items()
        if kind not in bare
    }
    assert "file" in schemas["multipart/form-data"]["properties"]
    for kind in (PLAIN, "application/json"):
        assert "file" not in schemas[kind]["properties"] and schemas[kind]["additionalProperties"] is False


@pytest.mark.parametrize(
    "wrong", [{"diarise": 0}, {"languages": [None]}, {"languages": ["de", None]}, {"languages": [7]}]
)
def test_json_takes_no_value_of_another_type_for_what_python_takes_it(
    client: FlaskClient, services: Services, wrong: dict[str, Any]
) -> None:
    answer = post(client, {"url": "https://example.org/a.mp3", **wrong})
    assert is_problem(answer, 400, "invalid_option") and answer.json["detail"].startswith(next(iter(wrong)))
    assert jobs.page(services.store.database) == ([], None)
