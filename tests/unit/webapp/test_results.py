"""Transcripts in every format, the recording in ranges, the short result."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipelines.formats import FORMATS, render
from pipelines.formats.style import PRESETS, Style
from store import jobs
from tests.unit.webapp.conftest import AUTH, SOUND, some_transcript, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

Send = Callable[..., TestResponse]


@pytest.fixture
def job_id(services: Services, send: Send) -> str:
    found: str = send(name="Größe 1.mp3").json["id"]
    work_off(services, found)
    return found


@pytest.fixture
def get(client: FlaskClient, job_id: str) -> Callable[..., TestResponse]:
    def get(path: str, **headers: str) -> TestResponse:
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        return client.get(f"/v1/jobs/{job_id}/{path}", headers={**AUTH, **sent})

    return get


Get = Callable[..., TestResponse]


def test_the_transcript_is_json_with_every_word(get: Get) -> None:
    response = get("transcript")
    assert response.mimetype == "application/json"
    expected = {"text", "language", "language_probability", "duration", "speech_seconds", "transcribed_seconds"}
    assert expected | {"model", "segments", "speakers"} <= set(response.json)
    assert response.json == json.loads(some_transcript().model_dump_json())
    word = {"start", "end", "word", "probability", "speaker"}
    assert set(response.json["segments"][0]["words"][0]) == word


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_by_both_addresses(get: Get, name: str) -> None:
    expected = render(some_transcript(), name, Style())
    by_query, by_name = get(f"transcript?format={name.upper()}"), get(f"transcript.{name}")
    assert by_query.text == by_name.text == expected
    assert by_name.mimetype == FORMATS[name].media_type
    assert name == "json" or by_name.content_type.endswith("; charset=utf-8")
    assert by_name.headers["ETag"] == by_query.headers["ETag"]
    assert by_name.headers["Cache-Control"] == "private, no-cache"


def test_an_export_is_used_as_it_is(get: Get, services: Services, job_id: str) -> None:
    with services.store.files.create(job_id, "exports/transcript.srt") as upload:
        upload.write(b"made ahead")
        upload.keep()
    assert get("transcript.srt").text == "made ahead"
    assert get("transcript.srt?max_lines=2").text == "made ahead"
    assert get("transcript.srt?max_lines=1").text.startswith("1\n00:")
    assert get("transcript.vtt").text.startswith("WEBVTT")


def test_the_jobs_look_is_the_default_and_can_be_changed(client: FlaskClient, services: Services, send: Send) -> None:
    found = send(subtitle_preset="bbc", max_lines="1").json["id"]
    transcript = work_off(services, found)

    def vtt(query: str = "") -> str:
        return client.get(f"/v1/jobs/{found}/transcript.vtt{query}", headers=AUTH).text

    own = PRESETS["bbc"].model_copy(update={"max_lines": 1})
    expected = {
        "": own,
        "?max_line_width=20": own.model_copy(update={"max_line_width": 20}),
        "?subtitle_preset=vertical": PRESETS["vertical"],
        "?subtitle_preset=vertical&max_lines=3": PRESETS["vertical"].model_copy(update={"max_lines": 3}),
    }
    assert {query: vtt(query) for query in expected} == {
        query: render(transcript, "vtt", look) for query, look in expected.items()
    }
    assert len({vtt(query) for query in expected}) >= 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("transcript?format=docx", 400),
        ("transcript.docx", 400),
        ("transcript.", 404),
        ("transcript?max_lines=9", 400),
        ("transcript?max_lines=two", 400),
        ("transcript?max_cps=nan", 400),
        ("transcript?max_line_widht=20", 400),
        ("transcript?max_lines=1&max_lines=2", 400),
        ("transcript?subtitle_preset=fancy", 400),
        ("transcript?download=perhaps", 400),
        ("transcript.srt?format=vtt", 400),
        ("transcript?min_cue_seconds=6&max_cue_seconds=5", 422),
        ("transcript?min_cue_seconds=8", 422),
    ],
)
def test_what_cannot_be_made_is_refused(get: Get, path: str, status: int) -> None:
    assert is_problem(get(path), status, "not_found" if status == 404 else "invalid_option")


def test_a_copy_at_hand_is_not_sent_again(get: Get) -> None:
    etag = get("transcript.srt").headers["ETag"]
    again = get("transcript.srt", If_None_Match=etag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    assert get("transcript.srt?max_lines=1", If_None_Match=etag).status_code == 200


def test_a_download_is_named_after_the_recording(get: Get) -> None:
    assert (
        get("transcript.srt?download=1").headers["Content-Disposition"]
        == "attachment; filename=\"Groe 1.srt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.srt"
    )
    assert get("transcript.srt").headers["Content-Disposition"].startswith("inline")


@pytest.mark.parametrize("name", ['a"; x="b.mp3', "日本語.mp3", "a\\b%0d.mp3", ";.mp3", ".mp3"])
def test_no_name_breaks_the_header(client: FlaskClient, services: Services, send: Send, name: str) -> None:
    found = send(name=name).json["id"]
    header = client.get(f"/v1/jobs/{found}/audio?download=1", headers=AUTH).headers["Content-Disposition"]
    assert header.count('"') == 2 and header.isascii()
    assert header.startswith('attachment; filename="')


def test_head_tells_what_get_would(client: FlaskClient, job_id: str) -> None:
    for path in ("transcript.srt", "audio"):
        got = client.get(f"/v1/jobs/{job_id}/{path}", headers=AUTH)
        head = client.head(f"/v1/jobs/{job_id}/{path}", headers=AUTH)
        assert head.data == b""
        for name in ("Content-Length", "Content-Type", "ETag"):
            assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled"])
def test_before_the_end_there_is_no_transcript(
    client: FlaskClient, services: Services, send: Send, status: str
) -> None:
    found = send().json["id"]
    database = services.store.database
    if status == "running":
        from tests.unit.webapp.conftest import begin

        begin(services, found, "normalise")
    elif status == "failed":
        jobs.fail(database, found, code="no_audio", detail="There is no sound in it.", stage="normalise")
    elif status == "cancelled":
        jobs.cancel(database, found)
    for path in ("transcript", "transcript.srt", "transcript?format=vtt"):
        response = client.get(f"/v1/jobs/{found}/{path}", headers=AUTH)
        assert is_problem(response, 409, "conflict")
        says = "There is no sound in it." if status == "failed" else status
        assert says in response.json["detail"]
    result = client.get(f"/results/{found}", headers=AUTH)
    assert result.status_code == (202 if status in {"queued", "running"} else 200)
    assert (result.json["status"], result.json["text"], result.json["segments"]) == (status, "", [])
    assert (result.json["error"] is not None) == (status == "failed")


def test_the_result_in_short(client: FlaskClient, job_id: str) -> None:
    response = client.get(f"/results/{job_id}", headers=AUTH)
    body: Any = response.json
    whole = some_transcript()
    assert response.status_code == 200
    assert (body["status"], body["text"], body["language"]) == ("done", whole.text, "en")
    assert body["segments"] == [s.model_dump(mode="json") for s in whole.segments]


def test_silence_is_an_empty_transcript(client: FlaskClient, services: Services, send: Send) -> None:
    found = send().json["id"]
    work_off(services, found, some_transcript().model_copy(update={"text": "", "segments": [], "language": None}))
    assert client.get(f"/v1/jobs/{found}/transcript", headers=AUTH).json["text"] == ""
    assert client.get(f"/v1/jobs/{found}/transcript.srt", headers=AUTH).text == ""
    assert client.get(f"/results/{found}", headers=AUTH).status_code == 200


SIZE = len(SOUND)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=5-9", 5, 10),
        (f"bytes=5-{SIZE * 9}", 5, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 9}", 0, SIZE),
    ],
)
def test_a_range_of_the_recording(get: Get, wanted: str, start: int, end: int) -> None:
    response = get("audio", Range=wanted)
    assert response.status_code == 206
    assert response.data == SOUND[start:end]
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert response.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}"])
def test_a_range_outside_is_refused(get: Get, wanted: str) -> None:
    response = get("audio", Range=wanted)
    assert is_problem(response, 416, "invalid_option")
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("wanted", ["", "bytes=", "bytes=a-b", "bytes=9-5", "lines=1-2", "bytes=0-1,5-6", "bytes"])
def test_another_range_is_ignored(get: Get, wanted: str) -> None:
    response = get("audio", Range=wanted)
    assert (response.status_code, response.data) == (200, SOUND)
    assert response.headers["Accept-Ranges"] == "bytes"


def test_a_range_of_another_recording_is_the_whole_of_this_one(get: Get) -> None:
    etag = get("audio").headers["ETag"]
    assert get("audio", Range="bytes=0-4", If_Range=etag).status_code == 206
    assert get("audio", Range="bytes=0-4", If_Range='"other"').data == SOUND
    assert get("audio", Range="bytes=0-4", If_Range="Wed, 21 Oct 2026 07:28:00 GMT").data == SOUND
    assert get("audio", Range="bytes=0-4", If_None_Match=etag).status_code == 304


def test_a_recording_is_nothing_a_browser_would_run(get: Get) -> None:
    headers = get("audio").headers
    assert headers["Content-Type"] == "audio/mpeg"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]


def test_files_that_are_gone_are_not_found(get: Get, services: Services, job_id: str) -> None:
    services.store.files.delete(job_id)
    for path in ("audio", "transcript", "transcript.srt"):
        assert is_problem(get(path), 404, "not_found")
