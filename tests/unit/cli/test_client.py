from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.client import ApiError, Client, Exit
from tests.unit.cli.conftest import ScriptedServer


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with closing(Client(server.url, "the-key")) as found:
        yield found


def test_the_sentence_of_the_server_is_kept(server: ScriptedServer, client: Client) -> None:
    server.says(404, {"detail": "There is no job x; see GET /v1/jobs.", "code": "not_found"})
    with pytest.raises(ApiError) as caught:
        client.job("x")
    assert (caught.value.detail, caught.value.code) == ("There is no job x; see GET /v1/jobs.", "not_found")
    assert caught.value.exit_code == Exit.FAILED
    assert server.asked[0][2]["authorization"] == "Bearer the-key"


def test_a_refused_key_has_its_own_exit_code_and_says_how_to_give_one(server: ScriptedServer, client: Client) -> None:
    server.says(403, {"detail": "This API key is not known.", "code": "invalid_key"})
    with pytest.raises(ApiError, match="LONGHAND_KEY") as caught:
        client.jobs()
    assert caught.value.exit_code == Exit.REFUSED


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[1]", b"\xff"])
def test_an_error_that_is_no_problem_document(server: ScriptedServer, client: Client, body: bytes) -> None:
    server.says(502, body)
    with pytest.raises(ApiError, match="502 Bad Gateway"):
        client.job("x")


@pytest.mark.parametrize("body", [b"<html>It works!</html>", b"[]"])
def test_another_server_is_not_taken_for_ours(server: ScriptedServer, client: Client, body: bytes) -> None:
    server.says(200, body)
    with pytest.raises(ApiError, match="is not Longhand"):
        client.job("x")


def test_nobody_there() -> None:
    with closing(Client("http://127.0.0.1:1", None)) as client, pytest.raises(ApiError, match="longhand up") as caught:
        client.health()
    assert caught.value.exit_code == Exit.UNREACHABLE


def test_an_upload_is_told_as_it_goes_and_tried_again_when_the_server_is_full(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"x" * 1_000_000)
    server.says(503, {"detail": "Full.", "code": "queue_full"}, Retry_After="0")
    server.says(202, {"id": "1"})
    told: list[tuple[int, int]] = []
    assert client.submit(tmp_path / "talk.mp3", {"model": "m"}, sent=lambda *how: told.append(how))["id"] == "1"
    assert [path for _, path, _, _ in server.asked] == ["/v1/jobs", "/v1/jobs"]
    assert all(1_000_000 < length < 1_001_000 for *_, length in server.asked)
    assert told.count((1_000_000, 1_000_000)) >= 2
    assert len({done for done, _ in told}) > 5


def test_a_refusal_is_not_tried_again(server: ScriptedServer, client: Client, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    server.says(413, {"detail": "Too large.", "code": "too_large"}, Retry_After="0")
    with pytest.raises(ApiError, match="Too large"):
        client.submit(tmp_path / "a", {})
    assert len(server.asked) == 1


def test_a_job_is_followed_over_an_outage_to_its_end(server: ScriptedServer, client: Client) -> None:
    server.says(200, {"status": "running"})
    server.says(503, {"detail": "Away."}, Retry_After="0.01")
    server.says(200, {"status": "running"})
    server.says(200, {"status": "failed"})
    assert [job["status"] for job in client.follow("x")] == ["running", "running", "failed"]


def test_jobs_over_several_pages(server: ScriptedServer, client: Client) -> None:
    server.says(200, {"jobs": [{"id": 1}, {"id": 2}], "next_cursor": "c"})
    server.says(200, {"jobs": [{"id": 3}, {"id": 4}], "next_cursor": None})
    assert [job["id"] for job in client.jobs(limit=3)] == [1, 2, 3]
    assert "cursor=c" in server.asked[1][1]


def test_an_id_cannot_lead_elsewhere(server: ScriptedServer, client: Client) -> None:
    server.says(200, {})
    client.job("../keys?x=#")
    assert server.asked[0][1] == "/v1/jobs/..%2Fkeys%3Fx%3D%23"


def test_a_proxy_for_the_web_is_not_asked_for_this_machine(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.says(200, {"gateway": "ok"})
    with closing(Client(server.url, None)) as client:
        assert client.health() == (200, {"gateway": "ok"})
