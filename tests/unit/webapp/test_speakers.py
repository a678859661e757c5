"""Names that people give to speakers."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipelines.documents import Speaker, Transcript
from tests.unit.webapp.conftest import AUTH, some_transcript, work_off
from tests.unit.webapp.test_access import is_problem
from webapp.services import Services

Send = Callable[..., TestResponse]


def spoken() -> Transcript:
    """Two speakers, one segment each."""
    plain = some_transcript()
    segments = [s.model_copy(update={"speaker": f"SPEAKER_0{n}"}) for n, s in enumerate(plain.segments)]
    speakers = [Speaker(id=f"SPEAKER_0{n}", name=f"SPEAKER_0{n}", seconds=4.5) for n in range(2)]
    return plain.model_copy(update={"segments": segments, "speakers": speakers})


@pytest.fixture
def job_id(services: Services, send: Send) -> str:
    made = str(send(formats="srt,vtt").json["id"])
    work_off(services, made, spoken())
    return made


def patch(client: FlaskClient, job_id: str, body: object) -> TestResponse:
    return client.patch(f"/v1/jobs/{job_id}/speakers", headers=AUTH, json=body)


def text(client: FlaskClient, job_id: str, extension: str) -> str:
    response = client.get(f"/v1/jobs/{job_id}/transcript.{extension}", headers=AUTH)
    assert response.status_code == 200
    return response.text


def test_a_name_stands_in_every_format_and_can_be_taken_back(client: FlaskClient, job_id: str) -> None:
    before = client.get(f"/v1/jobs/{job_id}/transcript.vtt", headers=AUTH).headers["ETag"]
    response = patch(client, job_id, {"SPEAKER_00": "  Ada   <L>"})
    assert response.status_code == 200
    assert [one["name"] for one in response.json["speakers"]] == ["Ada <L>", "SPEAKER_01"]
    assert "<v Ada &lt;L&gt;>" in text(client, job_id, "vtt")
    assert "Ada <L>: The quick" in text(client, job_id, "srt") and "Ada <L>: The quick" in text(client, job_id, "txt")
    answer = client.get(f"/v1/jobs/{job_id}/transcript", headers=AUTH).json
    assert [one["name"] for one in answer["speakers"]] == ["Ada <L>", "SPEAKER_01"]
    assert answer["segments"][0]["speaker"] == "SPEAKER_00", "the id stays: it is what the names belong to"
    assert client.get(f"/v1/jobs/{job_id}/transcript.vtt", headers=AUTH).headers["ETag"] != before
    assert patch(client, job_id, {"SPEAKER_01": "Bo"}).json["speakers"][0]["name"] == "Ada <L>", "others keep theirs"
    assert patch(client, job_id, {"SPEAKER_00": None}).json["speakers"][0]["name"] == "SPEAKER_00"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "Ada",
        {"SPEAKER_00": 7},
        {"SPEAKER_00": " "},
        {"SPEAKER_00": "a\x00b"},
        {"SPEAKER_00": "a\n"},
        {"SPEAKER_00": "\ud800"},
        {"SPEAKER_00": "a" * 101},
    ],
)
def test_what_is_no_name_is_refused(client: FlaskClient, job_id: str, body: object) -> None:
    assert is_problem(patch(client, job_id, body), 400, "invalid_option")


def test_a_speaker_there_is_not_is_named(client: FlaskClient, job_id: str) -> None:
    response = patch(client, job_id, {"SPEAKER_00": "Ada", "SPEAKER_07": "Bo"})
    assert is_problem(response, 400, "invalid_option")
    assert "SPEAKER_07" in response.json["detail"] and "SPEAKER_01" in response.json["detail"]
    assert "Ada" not in text(client, job_id, "txt"), "all or nothing"


def test_only_a_transcript_has_speakers(client: FlaskClient, send: Send) -> None:
    assert is_problem(patch(client, send().json["id"], {"SPEAKER_00": "Ada"}), 409, "conflict")
    assert is_problem(patch(client, "0" * 32, {"SPEAKER_00": "Ada"}), 404, "not_found")
    response = client.patch(f"/v1/jobs/{send().json['id']}/speakers", headers=AUTH, data="SPEAKER_00=Ada")
    assert is_problem(response, 415, "unsupported_media")
