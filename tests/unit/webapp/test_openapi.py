"""The API document: valid, complete, true for a stage that was added, and browsable without another host."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from config.serving import refusal
from tests.stack import WEBHOOK_SECRET
from tests.unit.webapp.conftest import AUTH, work_off
from webapp.document import at_most
from webapp.openapi import methods_of, operation_of, path_of, routes
from webapp.services import Services


def test_what_this_installation_cannot_take_is_not_in_it(make: Callable[..., Flask]) -> None:
    found = make(max_upload_mb=1).test_client().get("/openapi.json").json
    assert "webhook_url" not in found["components"]["schemas"]["JobForm"]["properties"]
    length = found["paths"]["/v1/uploads"]["post"]["parameters"][1]
    assert length["name"] == "Upload-Length"
    assert [n for n in (0, 1, 1 << 20, (1 << 20) + 1, 10**9) if re.search(length["schema"]["pattern"], str(n))] == [
        *(0, 1),
        1 << 20,
    ]


@pytest.mark.parametrize("most", [0, 1, 9, 10, 99, 100, 1048, 2001])
def test_a_pattern_of_numbers_knows_the_largest(most: int) -> None:
    pattern = re.compile(at_most(most))
    assert [n for n in range(3000) if pattern.search(str(n))] == list(range(most + 1))
    assert not any(pattern.search(text) for text in ("", "-1", "00", "01", "1.0", " 1"))


@pytest.fixture
def document(make: Callable[..., Flask]) -> dict[str, Any]:
    found: dict[str, Any] = make(webhook_secret=WEBHOOK_SECRET).test_client().get("/openapi.json").json
    return found


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_is_in_it_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    there = {(path_of(rule), method.lower()) for rule, _ in routes(app) for method in methods_of(rule)}
    assert {method for _, method in there} == {"get", "post", "patch", "delete", "options"}
    there.add(("/v1/uploads/{upload_id}", "head"))  # the protocol's way to ask how far an upload is
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == there
    assert all(operation_of(view) for _, view in routes(app))


@pytest.mark.parametrize(
    ("path", "method", "names"),
    [
        ("/v1/jobs", "post", {"Idempotency-Key"}),
        ("/transcribe/{model}", "post", {"Idempotency-Key"}),
        ("/transcribe-{model}", "post", {"Idempotency-Key"}),
        ("/v1/audio/transcriptions", "post", {"Idempotency-Key"}),
        ("/v1/audio/translations", "post", {"Idempotency-Key"}),
        ("/v1/jobs/{job_id}/audio", "get", {"Range", "If-Range", "If-None-Match"}),
        ("/v1/jobs/{job_id}/transcript", "get", {"If-None-Match"}),
        ("/v1/jobs/{job_id}/transcript.{extension}", "get", {"If-None-Match"}),
        ("/v1/jobs/{job_id}/events", "get", {"Last-Event-ID"}),
        ("/v1/uploads", "post", {"Tus-Resumable", "Upload-Length", "Upload-Metadata"}),
        ("/v1/uploads/{upload_id}", "head", {"Tus-Resumable"}),
        ("/v1/uploads/{upload_id}", "patch", {"Tus-Resumable", "Upload-Offset"}),
        ("/v1/uploads/{upload_id}", "delete", {"Tus-Resumable"}),
    ],
)
def test_headers_that_are_understood_are_parameters(
    document: dict[str, Any], path: str, method: str, names: set[str]
) -> None:
    parameters = document["paths"][path][method]["parameters"]
    assert {one["name"] for one in parameters if one["in"] == "header"} == names


def test_every_answer_says_what_it_carries(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = {status: _resolved(document, answer) for status, answer in operation["responses"].items()}
            headers = {status: answer.get("headers", {}) for status, answer in answers.items()}
            ours = set(headers) - {"414", "431"}
            where = f"{method} {path}"
            assert {status for status in headers if "X-Request-ID" in headers[status]} == ours, where
            limited = ours if operation.get("security") != [] else set()
            assert {status for status in headers if "RateLimit-Remaining" in headers[status]} == limited, where
            assert all(headers[status]["Retry-After"]["required"] for status in ours & {"429", "503"}), where
    for path, status in (("/v1/jobs", "202"), ("/v1/uploads", "201")):
        assert document["paths"][path]["post"]["responses"][status]["headers"]["Location"]["required"]


@pytest.mark.parametrize("status", [414, 431])
def test_what_the_server_refuses_by_itself_is_in_it_as_it_is(document: dict[str, Any], status: int) -> None:
    head, _, body = refusal(status, "Too Long", "Send less.").partition(b"\r\n\r\n")
    [(media, described)] = document["components"]["responses"][str(status)]["content"].items()
    assert f"Content-Type: {media}\r\n".encode() in head + b"\r\n"
    schema = _resolved(document, described["schema"])
    sent = json.loads(body)
    assert set(schema["required"]) <= set(sent) <= set(schema["properties"])
    assert {"status": status, "code": "too_large"}.items() <= sent.items()


def test_what_is_sent_is_in_it(document: dict[str, Any]) -> None:
    sent = document["webhooks"]["job"]["post"]
    event = _resolved(document, sent["requestBody"]["content"]["application/json"]["schema"])
    assert event["properties"]["type"]["enum"] == ["job.done", "job.failed", "job.cancelled"]
    assert event["properties"]["data"] == {"$ref": "#/components/schemas/JobView"}
    assert {one["name"] for one in sent["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}


@pytest.mark.parametrize(
    ("form", "body", "good"),
    [
        ("JobForm", {"file": ["x"]}, True),
        ("JobForm", {"file": [""]}, False),
        ("JobForm", {"file": ["", ""]}, True),
        ("JobForm", {"file": []}, False),
        ("JobForm", {"file": [], "url": "https://example.com/a.mp3"}, True),
        ("JobForm", {"file": [""], "url": "mailto:a"}, True),
        ("JobForm", {"url": "mailto:a"}, False),
        ("JobForm", {"beam_size": 5}, False),
        ("JobPlainForm", {"url": "https://example.com:9000/a.mp3?b=c"}, True),
        ("JobPlainForm", {"url": "0"}, False),
        ("JobPlainForm", {"upload": "0"}, True),
        ("JobObject", {"url": ["0"]}, False),
        ("JobObject", {"url": ["0", "1"]}, True),
        ("JobObject", {"url": ["https://example.com/a.mp3"]}, True),
        ("JobObject", {"url": "0", "upload": ["1"]}, True),
    ],
)
def test_what_alone_would_be_refused_may_be_among_others(
    document: dict[str, Any], form: str, body: dict[str, Any], good: bool
) -> None:
    schema = {**document["components"]["schemas"][form], "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(body) is good


@pytest.mark.parametrize(
    ("text", "good"),
    [
        *(("", True), ("filename dGFsay5tcDM=", True), ("a,b", True), ("a YQ==,b", True), ("a ,aa YQ==", True)),
        *(("a,a", False), ("a YQ==,b,a", False), ("b,a YQ==,a Yg==", False), ("a,", False), ("a YQ", False)),
        *((" a", False), ("a b c", False)),
    ],
)
def test_metadata_of_an_upload_have_each_key_once(document: dict[str, Any], text: str, good: bool) -> None:
    parameters = {one["name"]: one for one in document["paths"]["/v1/uploads"]["post"]["parameters"]}
    assert bool(re.search(parameters["Upload-Metadata"]["schema"]["pattern"], text)) is good


def _resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in found:
        for part in found["$ref"].removeprefix("#/").split("/"):
            document = document[part]
        return document
    return found


def test_operations_have_ids_of_their_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_fields_of_a_job_are_the_contracts(document: dict[str, Any]) -> None:
    fields = set(document["components"]["schemas"]["JobForm"]["properties"])
    expected = "file model language languages task prompt hotwords temperature beam_size vad_filter word_timestamps "
    expected += "diarise num_speakers min_speakers max_speakers "
    expected += "channels formats max_line_width max_lines max_cps min_cue_seconds max_cue_seconds "
    expected += "subtitle_preset chunk_seconds priority metadata webhook_url url upload"
    assert fields == set(expected.split())
    for name, schema in document["components"]["schemas"]["JobForm"]["properties"].items():
        assert schema.get("description"), name


STAGE = '''
from pydantic import Field
from pipelines.stage import Files, Options, Progress, stage

class CountOptions(Options):
    count_from: int = Field(3, ge=0, le=9, description="Number to begin with.")
    count_tags: list[str] = Field([], description="Tags.")

@stage(queue="counting", reads=["transcript.json"], writes=["webapp-count.json"], when=lambda o: o.count_from > 0)
def webapp_count(files: Files, options: CountOptions, progress: Progress) -> None:
    """Count."""
'''

PLUGIN_RUN = """
import io, json, sys
from config.settings import Settings
from webapp import create_app
app = create_app(Settings(_env_file=None))
client = app.test_client()
fields = client.get("/openapi.json").json["components"]["schemas"]["JobForm"]["properties"]
def send(**fields):
    return client.post("/v1/jobs", data={"file": (io.BytesIO(b"x"), "a"), **fields})
good = send(count_from="2", count_tags="a,b").json
bad = send(count_from="10").json
without = send(count_from="0").json
checks = client.get("/health/ready").json["checks"]
heavy = [m for m in ("torch", "ctranslate2", "faster_whisper", "onnxruntime", "av", "numpy") if m in sys.modules]
print(json.dumps([fields["count_from"], good, bad, without, sorted(checks), heavy]))
"""


def test_a_new_stage_is_there_without_a_change_and_nothing_heavy_is_loaded(tmp_path: Path, redis_url: str) -> None:
    from tests.test_layers import fresh

    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "counting.py").write_text(STAGE)
    import json

    env = {"PLUGINS": str(tmp_path / "plugins"), "DATA_DIR": str(tmp_path / "data"), "REDIS_URL": redis_url}
    printed = fresh(PLUGIN_RUN, tmp_path, **env, WHISPER_MODELS="demo")
    field, good, bad, without, checks, heavy = json.loads(printed.splitlines()[-1])
    assert (field["minimum"], field["maximum"], field["description"]) == (0, 9, "Number to begin with.")
    assert (good["options"]["count_from"], good["options"]["count_tags"]) == (2, ["a", "b"])
    assert "webapp_count" in [s["stage"] for s in good["steps"]]
    assert (bad["status"], bad["detail"]) == (400, "count_from must be from 0 to 9.")
    assert "webapp_count" not in [s["stage"] for s in without["steps"]]
    assert "queue counting" in checks
    assert heavy == []


@pytest.mark.parametrize(
    ("path", "template", "status"),
    [
        ("/v1/jobs/{id}", "/v1/jobs/{job_id}", "200"),
        ("/v1/jobs", "/v1/jobs", "200"),
        ("/v1/jobs/{id}/transcript", "/v1/jobs/{job_id}/transcript", "200"),
        ("/results/{id}", "/results/{job_id}", "200"),
        ("/v1/jobs/nonsense", "/v1/jobs/{job_id}", "404"),
        ("/v1/jobs?limit=0", "/v1/jobs", "400"),
        ("/health", "/health", "503"),
        ("/health/ready", "/health/ready", "503"),
        ("/health/live", "/health/live", "200"),
    ],
)
def test_answers_are_what_it_says(
    client: FlaskClient,
    services: Services,
    send: Callable[..., TestResponse],
    document: dict[str, Any],
    path: str,
    template: str,
    status: str,
) -> None:
    job_id = send(metadata='{"a": 1}').json["id"]
    work_off(services, job_id)
    response = client.get(path.format(id=job_id), headers=AUTH)
    assert str(response.status_code) == status
    content = _resolved(document, document["paths"][template]["get"]["responses"][status])["content"]
    schema = {**content[response.mimetype]["schema"], "components": document["components"]}
    assert [e.message for e in Draft202012Validator(schema).iter_errors(response.get_json(force=True))] == []


def test_the_accepted_job_is_what_it_says(send: Callable[..., TestResponse], document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/jobs"]["post"]["responses"]["202"]
    schema = {**answer["content"]["application/json"]["schema"], "components": document["components"]}
    assert [e.message for e in Draft202012Validator(schema).iter_errors(send().json)] == []


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_a_page_needs_nothing_from_elsewhere(client: FlaskClient, page: str) -> None:
    html = client.get(page).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=", html)
    found = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert found and not [address for address in found if "//" in address]
    for address in found:
        if address != "health":
            assert client.get(f"/{address}").status_code == 200, address


def test_swagger_ui_is_served_whole_and_cached(client: FlaskClient) -> None:
    bundle = client.get("/docs/swagger-ui-bundle.js")
    assert bundle.mimetype == "text/javascript" and len(bundle.data) > 1_000_000
    again = client.get("/docs/swagger-ui-bundle.js", headers={"If-None-Match": bundle.headers["ETag"]})
    assert again.status_code == 304


def test_the_page_is_found_with_a_slash_too(client: FlaskClient) -> None:
    response = client.get("/docs/")
    # Relative, so that it is right behind a proxy that adds a prefix.
    assert response.status_code == 308 and response.headers["Location"] == "../docs"
    assert client.get(urljoin("/docs/", response.headers["Location"])).status_code == 200


def test_groups_are_shown_in_their_order(document: dict[str, Any]) -> None:
    shown = [tag["name"] for tag in document["tags"]]
    assert shown == ["jobs", "uploads", "at once", "results", "operating", "pages"]
    used = {tag for path in document["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert used == set(shown)
