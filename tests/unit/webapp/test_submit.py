"""POST /v1/jobs: what is accepted, what is refused and how, and that a refusal leaves nothing behind."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from store import jobs
from tests.unit.webapp.conftest import AUTH, SOUND, files_of
from tests.unit.webapp.test_access import is_problem
from webapp.models import allowed_model
from webapp.services import Services

Send = Callable[..., TestResponse]


def test_a_recording_becomes_a_queued_job(send: Send, services: Services, client: FlaskClient, redis_url: str) -> None:
    response = send(metadata='{"case": 7}', language="DE", priority="high")
    job = response.json
    assert response.status_code == 202
    assert response.headers["Location"] == f"http://localhost/v1/jobs/{job['id']}" == job["links"]["self"]
    assert list(job) == [
        "id",
        "batch",
        "status",
        "progress",
        "eta_seconds",
        "queue_position",
        "created_at",
        "started_at",
        "finished_at",
        "source",
        "options",
        "metadata",
        "warnings",
        "error",
        "steps",
        "links",
        "account",
    ]
    assert (job["batch"], job["account"]) == (None, "admin")
    assert (job["status"], job["progress"], job["queue_position"]) == ("queued", 0, 1)
    assert (job["eta_seconds"], job["started_at"], job["finished_at"], job["error"]) == (None, None, None, None)
    assert job["created_at"].endswith("Z")
    assert job["source"] == {
        "name": "talk.mp3",
        "bytes": len(SOUND),
        "duration": None,
        "format": None,
        "sha256": hashlib.sha256(SOUND).hexdigest(),
    }
    assert job["metadata"] == {"case": 7}
    assert [s["stage"] for s in job["steps"]] == ["normalise", "chunk", "transcribe", "merge", "export"]
    assert set(job["links"]) == {"self", "events", "transcript", "srt", "vtt", "txt", "audio"}
    with services.store.files.open(job["id"], "source") as stream:
        assert stream.read() == SOUND
    with redis.Redis.from_url(redis_url) as broker:
        assert broker.llen("cpu") + sum(broker.llen(k) for k in broker.keys("cpu\x06*")) == 1
    assert client.get(job["links"]["self"], headers=AUTH).json == job


def test_defaults_are_those_of_the_contract(send: Send) -> None:
    options = send().json["options"]
    expected = {
        "model": "demo",
        "language": None,
        "task": "transcribe",
        "beam_size": 5,
        "vad_filter": True,
        "word_timestamps": True,
        "diarise": False,
        "channels": "mix",
        "formats": ["srt", "vtt"],
        "max_line_width": 42,
        "max_lines": 2,
        "max_cps": 20,
        "min_cue_seconds": 0.83,
        "max_cue_seconds": 7,
        "subtitle_preset": "default",
        "chunk_seconds": 600,
        "priority": "normal",
    }
    assert {k: options[k] for k in expected} == expected


def test_the_operators_defaults_are_filled_in(make: Callable[..., Flask]) -> None:
    client = make(whisper_beam_size=2, whisper_vad_filter=False, whisper_language="fr").test_client()

    def options(**fields: str) -> Any:
        data = {"file": (io.BytesIO(SOUND), "a"), **fields}
        return client.post("/v1/jobs", headers=AUTH, data=data).json["options"]

    found = options()
    assert (found["beam_size"], found["vad_filter"], found["language"]) == (2, False, "fr")
    found = options(beam_size="7", vad_filter="true", language="auto")
    assert (found["beam_size"], found["vad_filter"], found["language"]) == (7, True, None)
    assert options(languages="de,en")["language"] is None


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("word_timestamps", "false", False),
        ("word_timestamps", "0", False),
        ("word_timestamps", "No", False),
        ("word_timestamps", " off ", False),
        ("word_timestamps", "YES", True),
        ("word_timestamps", "on", True),
        ("word_timestamps", "1", True),
        ("beam_size", " 3 ", 3),
        ("chunk_seconds", "1e2", 100),
        ("temperature", "0.4", 0.4),
        ("formats", "srt, txt ,json", ["srt", "txt", "json"]),
        ("formats", '["tsv"]', ["tsv"]),
        ("formats", ["vtt", "txt,srt"], ["vtt", "txt", "srt"]),
        ("formats", "[]", []),
        ("formats", "", ["srt", "vtt"]),
        ("languages", "de, english", ["de", "en"]),
        ("language", "German", "de"),
        ("language", "", None),
        ("prompt", "Ada, Grace", "Ada, Grace"),
        ("prompt", "[not json]", "[not json]"),
        ("hotwords", "true", "true"),
        ("hotwords", "Ada, Grace", "Ada, Grace"),
        ("hotwords", ["Ada", "Grace"], "Ada, Grace"),
        ("hotwords", '["Ada", " Grace "]', "Ada, Grace"),
        ("hotwords", "[not json]", "[not json]"),
        ("keywords", "Ada", "Ada"),
        ("channels", "mix", "mix"),
        ("channels", "split", "split"),
        ("diarise", "false", False),
        ("diarize", "0", False),
        ("priority", "LOW", "low"),
        ("subtitle_preset", "netflix", "netflix"),
        ("model", "demo", "demo"),
    ],
)
def test_a_field_is_read_generously(send: Send, field: str, text: Any, value: Any) -> None:
    response = send(**{field: text})
    assert response.status_code == 202, response.text
    assert response.json["options"][{"diarize": "diarise", "keywords": "hotwords"}.get(field, field)] == value


def test_a_preset_shows_in_its_figures_and_a_field_beside_it_wins(send: Send) -> None:
    options = send(subtitle_preset="bbc", max_lines="3").json["options"]
    assert (options["max_line_width"], options["max_cps"], options["max_lines"]) == (37, 15, 3)


def test_stages_that_nobody_asked_for_do_not_run(send: Send) -> None:
    assert [s["stage"] for s in send(formats="[]", language="en").json["steps"]][-1] == "merge"
    assert "detect_language" in [s["stage"] for s in send().json["steps"]]
    assert "detect_language" not in [s["stage"] for s in send(language="en").json["steps"]]


BAD: list[tuple[dict[str, Any], int, str, str]] = [
    ({"beamsize": "5"}, 400, "invalid_option", "'beam_size'"),
    ({"speaker": "5"}, 400, "invalid_option", "'speaker'"),
    ({"x" * 5000: "5"}, 400, "invalid_option", "xxx"),
    ({"": "5"}, 400, "invalid_option", "field"),
    ({"beam_size": "0"}, 400, "invalid_option", "from 1 to 20"),
    ({"beam_size": "21"}, 400, "invalid_option", "from 1 to 20"),
    ({"beam_size": "two"}, 400, "invalid_option", "beam_size must be a whole number"),
    ({"beam_size": "2.5"}, 400, "invalid_option", "beam_size must be a whole number"),
    ({"beam_size": "9" * 5000}, 400, "invalid_option", "beam_size"),
    ({"beam_size": ["1", "2"]}, 400, "invalid_option", "beam_size once"),
    ({"temperature": "1.1"}, 400, "invalid_option", "temperature"),
    ({"temperature": "-0.1"}, 400, "invalid_option", "temperature"),
    ({"temperature": "nan"}, 400, "invalid_option", "temperature"),
    ({"temperature": "inf"}, 400, "invalid_option", "temperature"),
    ({"chunk_seconds": "29.9"}, 400, "invalid_option", "from 30 to 1800"),
    ({"chunk_seconds": "1801"}, 400, "invalid_option", "from 30 to 1800"),
    ({"max_cps": "nan"}, 400, "invalid_option", "max_cps"),
    ({"max_line_width": "9"}, 400, "invalid_option", "max_line_width"),
    ({"max_lines": "0"}, 400, "invalid_option", "max_lines"),
    ({"subtitle_preset": "fancy"}, 400, "invalid_option", "subtitle_preset"),
    ({"word_timestamps": "maybe"}, 400, "invalid_option", "true or false"),
    ({"vad_filter": "2"}, 400, "invalid_option", "vad_filter"),
    ({"task": "summarise"}, 400, "invalid_option", "transcribe"),
    ({"formats": "srt,docx"}, 400, "invalid_option", "docx"),
    ({"formats": "[1"}, 400, "invalid_option", "formats"),
    ({"formats": '[{"a": 1}]'}, 400, "invalid_option", "formats"),
    ({"language": "klingon"}, 400, "invalid_option", "language"),
    ({"languages": "de,klingon"}, 400, "invalid_option", "languages"),
    ({"priority": "urgent"}, 400, "invalid_option", "priority"),
    ({"prompt": "x" * 2001}, 400, "invalid_option", "prompt"),
    ({"hotwords": ["x" * 1001, "x" * 1001]}, 400, "invalid_option", "hotwords"),
    ({"hotwords": "[1]"}, 400, "invalid_option", "array of texts"),
    ({"hotwords": "a", "keywords": "b"}, 400, "invalid_option", "hotwords once"),
    ({"metadata": "{"}, 400, "invalid_option", "metadata"),
    ({"metadata": "[1]"}, 400, "invalid_option", "object"),
    ({"metadata": '"text"'}, 400, "invalid_option", "object"),
    ({"metadata": '{"a": NaN}'}, 400, "invalid_option", "metadata"),
    ({"metadata": "[" * 10000}, 400, "invalid_option", "metadata"),
    ({"metadata": json.dumps({"a": "x" * 16400})}, 400, "invalid_option", "16 kB"),
    ({"metadata": '{"a": 1e400}'}, 400, "invalid_option", "metadata must be a JSON object"),
    ({"metadata": '{"a": ' + "9" * 5000 + "}"}, 400, "invalid_option", "metadata must be a JSON object"),
    ({"metadata": '{"a": ' * 101 + "1" + "}" * 101}, 400, "invalid_option", "100 levels"),
    ({"metadata": '{"a": ' + "[" * 500 + "]" * 500 + "}"}, 400, "invalid_option", "metadata must be a JSON object"),
    ({"formats": "none,srt"}, 400, "invalid_option", "formats"),
    ({"diarise": "true"}, 400, "invalid_option", "apart"),
    ({"diarize": "yes"}, 400, "invalid_option", "apart"),
    ({"diarise": "perhaps"}, 400, "invalid_option", "diarise"),
    ({"diarise": "false", "diarize": "false"}, 400, "invalid_option", "diarise once"),
    ({"num_speakers": "2"}, 422, "invalid_option", "send diarise=true too"),
    ({"min_speakers": "2", "diarise": "no"}, 422, "invalid_option", "send diarise=true too"),
    ({"max_speakers": "0", "diarise": "yes"}, 400, "invalid_option", "max_speakers"),
    ({"max_speakers": "51", "diarise": "yes"}, 400, "invalid_option", "max_speakers"),
    ({"num_speakers": "two", "diarise": "yes"}, 400, "invalid_option", "num_speakers"),
    ({"num_speakers": "2", "max_speakers": "2", "diarise": "yes"}, 422, "invalid_option", "leave out max_speakers"),
    ({"min_speakers": "3", "max_speakers": "2", "diarise": "yes"}, 422, "invalid_option", "more than max_speakers"),
    ({"diarise": "true", "channels": "split"}, 422, "invalid_option", "only one"),
    ({"channels": "both"}, 400, "invalid_option", "channels"),
    ({"webhook_url": "https://example.com/"}, 400, "invalid_option", "set WEBHOOK_SECRET"),
    ({"webhook_url": "ftp://example.com/"}, 400, "invalid_option", "http:// or https://"),
    ({"webhook_url": "http://127.0.0.1/"}, 400, "invalid_option", "webhook_url"),
    ({"min_cue_seconds": "5", "max_cue_seconds": "4"}, 422, "invalid_option", "max_cue_seconds"),
    ({"language": "en", "languages": "de,fr"}, 422, "invalid_option", "languages"),
    ({"model": "nosuch"}, 404, "unknown_model", "demo"),
    ({"model": "large-v3"}, 404, "model_not_allowed", "ALLOWED_MODELS"),
    ({"model": "someone/some-whisper"}, 404, "model_not_allowed", "demo"),
    ({"model": "/etc"}, 404, "unknown_model", "demo"),
    ({"model": "../../models"}, 404, "unknown_model", "demo"),
    ({"model": "x" * 300}, 400, "invalid_option", "model"),
]


@pytest.mark.parametrize(("fields", "status", "code", "says"), BAD, ids=[str(b[0])[:40] for b in BAD])
def test_a_field_that_cannot_be_used_is_named_and_nothing_stays(
    send: Send, services: Services, fields: dict[str, Any], status: int, code: str, says: str
) -> None:
    response = send(**fields)
    assert is_problem(response, status, code)
    assert says in response.json["detail"]
    assert len(response.json["detail"]) < 300
    nothing_is_left(services)


def nothing_is_left(services: Services) -> None:
    assert files_of(services) == set()
    assert jobs.page(services.store.database) == ([], None)


def multipart(*parts: tuple[str, bytes], boundary: str = "B0") -> dict[str, Any]:
    body = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    body += f"--{boundary}--\r\n".encode()
    return {"data": body, "content_type": f"multipart/form-data; boundary={boundary}"}


DISPOSITION = 'Content-Disposition: form-data; name="%s"'
A_FILE = DISPOSITION % "file" + '; filename="a.mp3"'


@pytest.mark.parametrize(
    ("request_", "status", "code", "says"),
    [
        ({}, 400, "invalid_option", "multipart/form-data"),
        ({"data": SOUND, "content_type": "text/plain"}, 400, "invalid_option", "multipart/form-data"),
        ({"data": SOUND, "content_type": "application/x-www-form-urlencoded"}, 400, "invalid_option", "Content-Type"),
        ({"data": b"", "content_type": "audio/mpeg"}, 415, "unsupported_media", "empty"),
        ({"data": b"x" * (1 << 20) + b"x", "content_type": "video/mp4"}, 413, "too_large", "at most 1 MB"),
        ({"data": "a=b", "content_type": "application/x-www-form-urlencoded"}, 400, "invalid_option", "'a'"),
        ({"data": "{", "content_type": "application/json"}, 400, "invalid_option", "no JSON"),
        ({"json": {}}, 400, "invalid_option", "url"),
        ({"data": SOUND, "content_type": "multipart/form-data"}, 400, "invalid_option", "'file'"),
        ({"data": SOUND, "content_type": "multipart/form-data; boundary=B0"}, 400, "invalid_option", "form"),
        (multipart(), 400, "invalid_option", "'file'"),
        (multipart((DISPOSITION % "language", b"en")), 400, "invalid_option", "'file'"),
        (multipart((DISPOSITION % "file", b"@talk.mp3")), 400, "invalid_option", "came as text"),
        (multipart((DISPOSITION % "file", b"")), 400, "invalid_option", "came as text"),
        (
            multipart((DISPOSITION % "file" + "\r\nContent-Type: text/plain", b"x" * 5000)),
            400,
            "invalid_option",
            "as text",
        ),
        (multipart((DISPOSITION % "file", "é".encode() * 5000)), 400, "invalid_option", "came as text"),
        (multipart((DISPOSITION % "file" + '; filename=""', b"")), 400, "invalid_option", "Send a recording"),
        (multipart((DISPOSITION % "audio" + '; filename="a"', SOUND)), 400, "invalid_option", "'audio'"),
        (multipart((A_FILE, SOUND), (DISPOSITION % "audio" + '; filename="a"', SOUND)), 400, "invalid_option", "audio"),
        (multipart((A_FILE, b"")), 415, "unsupported_media", "empty"),
        (multipart(("Content-Disposition: form-data", b"x")), 400, "invalid_option", "no name"),
        (multipart(("X-Nothing: y", b"x")), 400, "invalid_option", "form"),
        (multipart((A_FILE, SOUND), (DISPOSITION % "prompt", b"\xff\xfe")), 400, "invalid_option", "UTF-8"),
        (multipart((A_FILE, SOUND), (DISPOSITION % "prompt", b"x" * 300_000)), 413, "too_large", "fields"),
        (multipart((A_FILE + "\r\nX: " + "y" * 20_000, SOUND)), 400, "invalid_option", "headers"),
        (multipart(*[(A_FILE, b"x")] * 1001), 413, "too_large", "files"),
        (multipart((A_FILE, b"x" * (1 << 20) + b"x")), 413, "too_large", "at most 1 MB"),
        (multipart((A_FILE, b"x" * 600_000), (A_FILE, b"x" * 600_000)), 413, "too_large", "at most 1 MB"),
        (multipart((A_FILE, b"x" * 5_000_000)), 413, "too_large", "at most 1 MB"),
    ],
)
def test_a_body_that_is_no_upload_is_explained_and_nothing_stays(
    client: FlaskClient, services: Services, request_: dict[str, Any], status: int, code: str, says: str
) -> None:
    response = client.post("/v1/jobs", headers=AUTH, **request_)
    assert is_problem(response, status, code)
    assert says in response.json["detail"]
    nothing_is_left(services)


@pytest.mark.parametrize("keep", [1, 60, 70, 3000, len(SOUND), -3])
def test_an_upload_that_breaks_off_leaves_nothing(client: FlaskClient, services: Services, keep: int) -> None:
    whole = multipart((A_FILE, SOUND))
    response = client.post("/v1/jobs", headers=AUTH, data=whole["data"][:keep], content_type=whole["content_type"])
    assert is_problem(response, 400, "invalid_option")
    nothing_is_left(services)


def test_a_file_as_large_as_is_allowed_is_accepted(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", headers=AUTH, **multipart((A_FILE, b"x" * (1 << 20))))
    assert response.status_code == 202
    assert response.json["source"]["bytes"] == 1 << 20


def test_a_body_without_a_length_is_read_to_its_end_and_bounded(client: FlaskClient, services: Services) -> None:
    def post(data: bytes) -> TestResponse:
        form = multipart((A_FILE, data))
        environ = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(form["data"]), "CONTENT_LENGTH": ""}
        environ["CONTENT_TYPE"] = form["content_type"]
        return client.post("/v1/jobs", headers=AUTH, environ_overrides=environ)

    assert is_problem(post(b"x" * 3_000_000), 413, "too_large")
    nothing_is_left(services)
    assert post(b"x" * 1000).json["source"]["bytes"] == 1000


@pytest.mark.parametrize(
    ("head", "data"),
    [
        ("", SOUND),
        ("; filename=", SOUND),
        ('; filename=""', SOUND),
        ("\r\nContent-Type: text/plain", SOUND),
        ("", b"x" * 3000 + b"\0"),
        ("\r\nContent-Type: audio/wav", b"RIFF"),
        ('; filename=""', b"RIFF"),
    ],
)
def test_a_file_without_a_name_is_a_recording(client: FlaskClient, services: Services, head: str, data: bytes) -> None:
    response = client.post("/v1/jobs", headers=AUTH, **multipart((DISPOSITION % "file" + head, data)))
    assert response.status_code == 202, response.text
    source = response.json["source"]
    assert (source["name"], source["sha256"]) == ("recording", hashlib.sha256(data).hexdigest())
    assert files_of(services) == {response.json["id"], f"{response.json['id']}/source"}


class TestBare:
    """The body is the recording, as clients of Deepgram and AssemblyAI send it."""

    @pytest.mark.parametrize(
        "kind", ["audio/mpeg", "video/mp4", "application/octet-stream", "audio/*", "Audio/WAV; a=b"]
    )
    def test_it_becomes_a_job(self, client: FlaskClient, services: Services, kind: str) -> None:
        query = "?language=de&formats=srt&formats=txt&diarize=false&metadata=%7B%22a%22%3A%22%C3%A9%22%7D&keywords=Ada"
        response = client.post(f"/v1/jobs{query}", headers=AUTH, data=SOUND, content_type=kind)
        assert response.status_code == 202, response.text
        job = response.json
        expected = {"name": "recording", "bytes": len(SOUND), "sha256": hashlib.sha256(SOUND).hexdigest()}
        assert expected.items() <= job["source"].items()
        options = job["options"]
        assert (options["language"], options["formats"], options["hotwords"]) == ("de", ["srt", "txt"], "Ada")
        assert job["metadata"] == {"a": "é"}
        with services.store.files.open(job["id"], "source") as stream:
            assert stream.read() == SOUND

    @pytest.mark.parametrize(
        ("query", "disposition", "name"),
        [
            ("?name=a%20talk.mp3", None, "a talk.mp3"),
            ("?name=../../etc/passwd%0A", None, "passwd"),
            ("", 'attachment; filename="talk.mp3"', "talk.mp3"),
            ("", "attachment; filename*=UTF-8''%C3%BCber.mp3", "über.mp3"),
            ("?name=a.mp3", 'attachment; filename="b.mp3"', "a.mp3"),
            ("?name=", "nonsense", "recording"),
        ],
    )
    def test_its_name(self, client: FlaskClient, query: str, disposition: str | None, name: str) -> None:
        headers = AUTH if disposition is None else {**AUTH, "Content-Disposition": disposition}
        response = client.post(f"/v1/jobs{query}", headers=headers, data=SOUND, content_type="audio/mpeg")
        assert response.json["source"]["name"] == name

    @pytest.mark.parametrize(
        ("query", "status", "code", "says"),
        [
            ("beamsize=5", 400, "invalid_option", "'beam_size'"),
            ("beam_size=21", 400, "invalid_option", "from 1 to 20"),
            ("beam_size=1&beam_size=2", 400, "invalid_option", "beam_size once"),
            ("file=x", 400, "invalid_option", "'file'"),
            ("url=https://example.org/a", 400, "invalid_option", "url cannot be given as well"),
            ("upload=" + "0" * 32, 400, "invalid_option", "upload cannot be given as well"),
            ("name=a&name=b", 400, "invalid_option", "name once"),
            ("prompt=%ff", 400, "invalid_option", "UTF-8"),
            ("min_cue_seconds=5&max_cue_seconds=4", 422, "invalid_option", "max_cue_seconds"),
            ("model=nosuch", 404, "unknown_model", "demo"),
            ("&".join(["language=en"] * 1001), 400, "invalid_option", "address"),
        ],
    )
    def test_options_that_cannot_be_used_are_told_before_it_is_read(
        self, client: FlaskClient, services: Services, query: str, status: int, code: str, says: str
    ) -> None:
        body = io.BytesIO(SOUND)
        environ = {"wsgi.input": body, "CONTENT_LENGTH": str(len(SOUND)), "CONTENT_TYPE": "audio/mpeg"}
        response = client.post(f"/v1/jobs?{query}", headers=AUTH, environ_overrides=environ)
        assert is_problem(response, status, code) and says in response.json["detail"]
        assert body.tell() == 0
        nothing_is_left(services)

    @pytest.mark.parametrize("length", [str((1 << 20) + 1), str(5 << 30)])
    def test_one_that_says_that_it_is_too_large_is_not_read(
        self, client: FlaskClient, services: Services, length: str
    ) -> None:
        body = io.BytesIO(SOUND)
        environ = {"wsgi.input": body, "CONTENT_LENGTH": length, "CONTENT_TYPE": "audio/mpeg"}
        assert is_problem(client.post("/v1/jobs", headers=AUTH, environ_overrides=environ), 413, "too_large")
        assert body.tell() == 0
        nothing_is_left(services)

    def test_one_that_breaks_off_leaves_nothing(self, client: FlaskClient, services: Services) -> None:
        environ = {"wsgi.input": io.BytesIO(SOUND), "CONTENT_LENGTH": "99999", "CONTENT_TYPE": "audio/mpeg"}
        assert is_problem(client.post("/v1/jobs", headers=AUTH, environ_overrides=environ), 400, "invalid_option")
        nothing_is_left(services)

    @pytest.mark.parametrize(("size", "status"), [(1 << 20, 202), ((1 << 20) + 1, 413), (3 << 20, 413)])
    def test_one_without_a_length_is_bounded(
        self, client: FlaskClient, services: Services, size: int, status: int
    ) -> None:
        environ = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"x" * size), "CONTENT_LENGTH": ""}
        environ["CONTENT_TYPE"] = "application/octet-stream"
        response = client.post("/v1/jobs", headers=AUTH, environ_overrides=environ)
        assert response.status_code == status
        if status != 202:
            nothing_is_left(services)

    def test_it_is_the_same_request_as_the_form(self, client: FlaskClient, services: Services) -> None:
        headers = {**AUTH, "Idempotency-Key": "k"}
        first = client.post("/v1/jobs?name=a.mp3&language=de", headers=headers, data=SOUND, content_type="audio/mpeg")
        form = multipart((A_FILE, SOUND), (DISPOSITION % "language", b"de"))
        for again in (
            client.post("/v1/jobs?name=a.mp3&language=de", headers=headers, data=SOUND, content_type="audio/mpeg"),
            client.post("/v1/jobs", headers=headers, **form),
        ):
            assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (first.json["id"], "true")
        assert files_of(services) == {first.json["id"], f"{first.json['id']}/source"}


def test_fields_may_stand_before_and_after_the_file(client: FlaskClient) -> None:
    form = multipart((DISPOSITION % "language", b"de"), (A_FILE, SOUND), (DISPOSITION % "beam_size", b"3"))
    options = client.post("/v1/jobs", headers=AUTH, **form).json["options"]
    assert (options["language"], options["beam_size"]) == ("de", 3)


def test_options_in_the_address_are_not_ignored(client: FlaskClient, services: Services) -> None:
    form = multipart((A_FILE, SOUND))
    assert is_problem(client.post("/v1/jobs?language=de", headers=AUTH, **form), 400, "invalid_option")
    nothing_is_left(services)


def test_several_files_are_a_batch_and_an_empty_one_sinks_no_other(client: FlaskClient, services: Services) -> None:
    form = multipart(*[(A_FILE.replace("a.mp3", f"{n}.mp3"), data) for n, data in enumerate([SOUND, b"", b"more"])])
    response = client.post("/v1/jobs", headers=AUTH, **form)
    body = response.json
    assert response.status_code == 202
    assert [job["source"]["name"] for job in body["jobs"]] == ["0.mp3", "1.mp3", "2.mp3"]
    assert [job["status"] for job in body["jobs"]] == ["queued", "failed", "queued"]
    assert body["jobs"][1]["error"]["code"] == "unsupported_media"
    assert response.headers["Location"].endswith(f"/v1/batches/{body['batch']}")
    found = client.get(f"/v1/batches/{body['batch']}", headers=AUTH).json
    assert found["counts"] == {"queued": 2, "running": 0, "done": 0, "failed": 1, "cancelled": 0}
    assert [job["id"] for job in found["jobs"]] == [job["id"] for job in body["jobs"]]


def test_without_a_queue_nothing_is_accepted_and_nothing_stays(make: Callable[..., Flask], tmp_path: Path) -> None:
    app = make(redis_url=f"unix://{tmp_path}/nobody")
    response = app.test_client().post("/v1/jobs", headers=AUTH, **multipart((A_FILE, SOUND), (A_FILE, SOUND)))
    assert is_problem(response, 503, "internal")
    assert int(response.headers["Retry-After"]) > 0
    nothing_is_left(app.extensions["longhand"])


class TestModels:
    @pytest.fixture
    def model_of(self, make: Callable[..., Flask]) -> Callable[[str], Any]:
        client = make(
            whisper_models=["/srv/models/own", "small"],
            whisper_aliases={"own": "/srv/models/own", "fast": "tiny"},
            allowed_models=["*"],
        ).test_client()

        def model_of(name: str) -> Any:
            answer = client.post("/v1/jobs", headers=AUTH, data={"file": (io.BytesIO(SOUND), "a"), "model": name})
            return answer.json["options"]["model"] if answer.status_code == 202 else answer.json

        return model_of

    @pytest.mark.parametrize("name", ["small", "own", "tiny", "large-v3", "someone/some-whisper"])
    def test_a_star_allows_sizes_and_hub_ids_by_their_public_names(
        self, model_of: Callable[[str], Any], name: str
    ) -> None:
        assert model_of(name) == name

    @pytest.mark.parametrize("name", ["gibberish", "/srv/other", "./models", "~/m", "a/b/c", "a/../b", "C:\\m"])
    def test_it_allows_no_folder_and_nothing_that_is_no_model(self, model_of: Callable[[str], Any], name: str) -> None:
        answer = model_of(name)
        assert (answer["status"], answer["code"]) == (404, "unknown_model")
        assert "/srv" not in answer["detail"].replace(name, "") and "own" in answer["detail"]

    @pytest.mark.parametrize("name", ["", "own", "whisper-1", "gpt-99", "/srv/models/own"])
    def test_a_folder_is_noted_by_its_alias(self, model_of: Callable[[str], Any], name: str) -> None:
        assert model_of(name) == "own"

    def test_what_an_alias_means_is_noted(self, model_of: Callable[[str], Any]) -> None:
        assert model_of("fast") == "tiny"

    def test_what_a_worker_would_mistake_is_noted_as_asked(self, make: Callable[..., Flask]) -> None:
        some = make(whisper_aliases={"fast": "small", "small": "large-v3"}).extensions["longhand"].settings
        assert (allowed_model(some, "fast"), allowed_model(some, "small")) == ("fast", "large-v3")

    def test_an_alias_can_be_the_default(self, make: Callable[..., Flask]) -> None:
        aliases = {"own": "/srv/models/own", "fast": "small"}
        for default, noted in (("own", "own"), ("fast", "small")):
            some = make(whisper_models=[default], whisper_aliases=aliases).extensions["longhand"].settings
            assert {allowed_model(some, name) for name in (None, "", "whisper-1", default)} == {noted}


def test_metadata_may_be_as_deep_as_is_said(send: Send) -> None:
    text = '{"a": ' + "[" * 99 + "]" * 99 + "}"
    assert send(metadata=text).json["metadata"] == json.loads(text)


def test_a_form_can_ask_for_no_formats(send: Send) -> None:
    assert send(formats="none").json["options"]["formats"] == []
    assert send(formats="").json["options"]["formats"] == ["srt", "vtt"]
