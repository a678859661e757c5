import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.announcement import Announcement, announced
from cli.client import Exit
from cli.main import main
from cli.results import name_targets
from cli.transcribe import INTERRUPTED, Outcome, interruption, worst
from config.settings import Settings
from tests.unit.cli.conftest import ScriptedServer

JOB: dict[str, Any] = {
    "id": "j1",
    "status": "done",
    "progress": 1.0,
    "eta_seconds": None,
    "queue_position": None,
    "created_at": "2026-01-02T03:04:05.000Z",
    "started_at": "2026-01-02T03:04:05.500Z",
    "finished_at": "2026-01-02T03:04:07.000Z",
    "source": {"name": "[red]talk[/].mp3", "bytes": 3, "duration": 65.0, "format": "mp3", "sha256": ""},
    "options": {},
    "metadata": {},
    "warnings": [],
    "error": None,
    "steps": [
        {"stage": "transcribe", "status": "done", "done": 2, "total": 2, "attempts": 1, "seconds": 1.5, "progress": 1}
    ],
    "links": {"txt": "http://h/t.txt", "srt": "http://h/t.srt", "vtt": "http://h/t.vtt"},
}
FAILED = JOB | {"status": "failed", "error": {"code": "no_audio", "detail": "It has no sound.", "stage": "normalise"}}


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*(field.upper() for field in Settings.model_fields), "LONGHAND_URL", "LONGHAND_KEY"]:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "talk.mp3").write_bytes(b"abc")
    return tmp_path / "talk.mp3"


def run(*arguments: object, url: str = "http://127.0.0.1:1") -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"LONGHAND_URL": url})


def script(server: ScriptedServer, *results: bytes, job: dict[str, Any] = JOB) -> None:
    server.says(202, job)
    server.says(200, job)
    for result in results:
        server.says(200, result)


def test_an_address_is_fetched_by_the_server(server: ScriptedServer, recording: Path) -> None:
    script(server, b"Hello.\n")
    result = run("transcribe", "HTTPS://example.org/a/talk%20one.mp3?token=t", "--json", "-q", url=server.url)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["file"] == "HTTPS://example.org/a/talk%20one.mp3?token=t"
    method, path, headers, length = server.asked[0]
    assert (method, path, headers["content-type"]) == ("POST", "/v1/jobs", "application/x-www-form-urlencoded")
    assert length < 200


def test_results_of_addresses_and_files_get_names_of_their_own(server: ScriptedServer, recording: Path) -> None:
    server.says(200, JOB)
    addresses = ["https://example.org/talk.mp3", "https://example.com/talk.mp3?a=/b", "https://example.org/"]
    result = run("transcribe", recording, *addresses, "-o", "out", "-f", "txt", url=server.url)
    assert result.exit_code == 0, result.output
    assert {p.name for p in Path("out").iterdir()} == {
        "talk.mp3.txt", "talk.mp3-2.txt", "talk.mp3-3.txt", "recording.txt"
    }  # fmt: skip


def test_what_is_wrong_with_an_address_is_said_without_its_token(server: ScriptedServer) -> None:
    server.says(400, {"detail": "url: no.", "code": "invalid_option"})
    result = run("transcribe", "https://example.org/x?token=secret", url=server.url)
    assert result.exit_code == 1 and "https://example.org/x: url: no." in result.stderr
    assert "secret" not in result.stderr


def test_the_text_of_one_recording_is_the_output(server: ScriptedServer, recording: Path) -> None:
    script(server, "Grüß Gott.\n".encode())
    result = run("transcribe", recording, "--model", "large", "--no-vad", "--option", "diarise=true", url=server.url)
    assert (result.exit_code, result.stdout) == (0, "Grüß Gott.\n")
    assert [path.split("?")[0] for _, path, _, _ in server.asked] == [
        "/v1/jobs",
        "/v1/jobs/j1",
        "/v1/jobs/j1/transcript.txt",
    ]


def test_speakers_are_asked_for_with_the_fields_of_the_api(server: ScriptedServer, recording: Path) -> None:
    script(server, b"Ada: Good morning.\n")
    result = run("transcribe", recording, "--diarise", "--num-speakers", "2", url=server.url)
    assert (result.exit_code, result.stdout) == (0, "Ada: Good morning.\n")
    sent = dict(re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n', server.bodies[0]))
    assert (sent[b"diarise"], sent[b"num_speakers"]) == (b"true", b"2")
    assert not sent.keys() & {b"min_speakers", b"max_speakers", b"channels"}


def test_what_the_server_cannot_do_is_told_in_its_own_words(server: ScriptedServer, recording: Path) -> None:
    server.says(
        400, {"detail": "Speakers cannot be told apart; install it with `make diarise`.", "code": "invalid_option"}
    )
    result = run("transcribe", recording, "--diarise", url=server.url)
    assert result.exit_code == 1 and "install it with `make diarise`." in result.stderr


def test_results_go_to_a_folder_under_the_name_of_the_recording(server: ScriptedServer, recording: Path) -> None:
    script(server, b"1", b"2")
    result = run("transcribe", recording, "-o", "out/deep", "-f", "SRT, vtt", url=server.url)
    assert result.exit_code == 0, result.output
    assert {path.name: path.read_bytes() for path in Path("out/deep").iterdir()} == {"talk.srt": b"1", "talk.vtt": b"2"}
    assert result.stdout == ""


def test_nothing_is_overwritten_unasked_and_nothing_is_sent_before_that_is_known(
    server: ScriptedServer, recording: Path
) -> None:
    Path("talk.srt").write_text("precious")
    result = run("transcribe", recording, "-o", ".", url=server.url)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert not server.asked
    script(server, b"new")
    assert run("transcribe", recording, "-o", ".", "-f", "srt", "--overwrite", url=server.url).exit_code == 0
    assert Path("talk.srt").read_text() == "new"


def test_a_recording_is_never_overwritten(server: ScriptedServer) -> None:
    Path("talk.txt").write_text("a recording with a misleading name")
    assert run("transcribe", "talk.txt", "-o", ".", "--overwrite", url=server.url).exit_code == 2


def test_a_failed_job_is_told_and_is_exit_code_1(server: ScriptedServer, recording: Path) -> None:
    script(server, job=FAILED)
    result = run("transcribe", recording, url=server.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("It has no sound.") == 1


def test_each_of_several_failures_is_told_once(server: ScriptedServer) -> None:
    names = [f"{number}.mp3" for number in range(6)]
    for name in names:
        Path(name).write_bytes(b"abc")
    server.says(200, FAILED)
    result = run("transcribe", *names, "-o", "out", url=server.url)
    assert result.exit_code == 1
    assert sorted(result.stderr.splitlines()) == [f"{name}: It has no sound." for name in names]


@pytest.mark.parametrize("more", [[], ["-o", "out"], ["-f", "vtt"]])
def test_silence_is_told_beside_the_empty_result(server: ScriptedServer, recording: Path, more: list[str]) -> None:
    script(server, b"WEBVTT\n" if "vtt" in more else b"\n")
    result = run("transcribe", recording, *more, url=server.url)
    assert result.exit_code == 0
    assert result.stderr.count("talk.mp3: no speech was found") == 1
    assert "no speech" not in result.stdout


def test_json_has_the_whole_job(server: ScriptedServer, recording: Path) -> None:
    script(server, job=FAILED)
    result = run("transcribe", recording, "--json", "-q", url=server.url)
    assert json.loads(result.stdout) == {
        "file": str(recording), "job": FAILED, "written": [], "error": "It has no sound."
    }  # fmt: skip


def test_no_server_and_no_key_have_their_exit_codes(server: ScriptedServer, recording: Path) -> None:
    assert run("transcribe", recording).exit_code == 3
    assert run("jobs", "list").exit_code == 3
    server.says(401, {"detail": "Send the key.", "code": "missing_key"})
    assert run("transcribe", recording, url=server.url).exit_code == 4
    assert run("jobs", "list", url=server.url).exit_code == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["transcribe"],
        ["transcribe", "not-there.mp3"],
        ["transcribe", "talk.mp3", "talk2.mp3"],
        ["transcribe", "talk.mp3", "-f", "srt,vtt"],
        ["transcribe", "talk.mp3", "-f", "docx"],
        ["transcribe", "talk.mp3", "--option", "no-sign"],
        ["transcribe", "talk.mp3", "--temperature", "7"],
        ["up", "--once"],
        ["up", "--port", "0"],
        ["jobs", "cancel"],
    ],
)
def test_wrong_usage_is_exit_code_2(recording: Path, arguments: list[str]) -> None:
    Path("talk2.mp3").write_bytes(b"")
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


def test_what_ctrl_c_came_to() -> None:
    cancelled = Outcome(Path("a"), Exit.INTERRUPTED, INTERRUPTED, JOB)
    waiting = Outcome(Path("b"), Exit.INTERRUPTED, INTERRUPTED)
    done = Outcome(Path("c"), Exit.FINE, "done", JOB, [Path("c.srt")])
    assert interruption([waiting]) == "Interrupted; 0 jobs were cancelled."
    assert interruption([cancelled, waiting, done]) == "Interrupted; 1 job was cancelled, 1 was done and saved."
    shown = Outcome(Path("d"), Exit.FINE, "done", JOB)
    assert interruption([cancelled, cancelled, done, shown]) == "Interrupted; 2 jobs were cancelled, 2 were done."


def test_names_of_results() -> None:
    recordings = [Path(name) for name in ("a/talk.mp3", "a/Talk.wav", "b/talk.mp3", "x.y.mp3")]
    found = name_targets(recordings, Path("o"), ["srt"])
    assert [str(targets["srt"]) for targets in found.values()] == [
        "o/talk.mp3.srt",
        "o/Talk.wav.srt",
        "o/talk.mp3-2.srt",
        "o/x.y.srt",
    ]


@pytest.mark.parametrize(("codes", "expected"), [([0, 0], 0), ([0, 1], 1), ([3, 3], 3), ([3, 0], 1), ([4], 4)])
def test_one_exit_code_for_all(codes: list[Any], expected: int) -> None:
    assert worst([Outcome(Path("x"), code, "") for code in codes]) == expected


def test_the_key_this_machine_made_is_shown_to_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.connection import find_key
    from cli.credentials import keep

    made = keep(Path("data").resolve() if Path("data").mkdir() is None else Path())
    assert find_key("http://127.0.0.1:8081", Settings()) == made.api_key
    assert find_key("http://[::1]:8081", Settings()) == made.api_key
    assert find_key("http://elsewhere:8081", Settings()) is None
    monkeypatch.setenv("API_KEY", "chosen-by-hand")
    assert find_key("http://elsewhere:8081", Settings()) == "chosen-by-hand"


def test_jobs_are_listed_and_shown_as_they_are(server: ScriptedServer) -> None:
    long = "long name " * 12
    job = JOB | {"source": JOB["source"] | {"name": f"{long}[red]talk[/].mp3"}}
    server.says(200, {"jobs": [job], "next_cursor": None})
    result = run("jobs", "list", url=server.url)
    assert f"{long}[red]talk[/].mp3" in result.stdout
    assert "1 min 5 s" in result.stdout
    server.answers.clear()
    server.says(200, FAILED)
    result = run("jobs", "show", "j1", url=server.url)
    assert result.exit_code == 0
    assert "It has no sound." in result.stdout


def test_deleting_asks_first_and_goes_on_after_one_that_fails(server: ScriptedServer) -> None:
    server.says(404, {"detail": "There is no job a.", "code": "not_found"})
    server.says(204, b"")
    assert CliRunner().invoke(main, ["jobs", "delete", "a", "--url", server.url], input="n\n").exit_code == 1
    assert not server.asked
    result = run("jobs", "delete", "a", "b", "--yes", url=server.url)
    assert result.exit_code == 1
    assert "b: deleted" in result.stdout


def test_models_are_listed_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "demo")
    monkeypatch.setenv("WHISPER_ALIASES", "fast=tiny")
    result = run("models", "list")
    assert result.exit_code == 0
    assert "No server answers" in result.stdout
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "default" in lines["demo"]
    assert "yes" in lines["demo"]
    assert "another name of tiny" in lines["fast"]
    assert "not allowed" in lines["large-v3"]


def test_models_of_a_running_server_are_listed_by_what_it_says(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "demo")
    server.says(200, {"model": {"loaded_models": ["large-v3"]}})
    said = run("models", "list", url=server.url).stdout
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert lines["large-v3"].rstrip().endswith("yes")
    assert not {"default", "not allowed"} & set(said.split("  "))  # this shell's settings say nothing of that server
    assert "demo model knows" not in said
    own = Announcement(
        url=server.url, key=None, data_dir=tmp_path, process=os.getpid(), models=["large-v3"], aliases={}, allowed=[]
    )
    with announced(own, os.environ):
        said = run("models", "list", url=server.url).stdout
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "default" in lines["large-v3"]
    assert "not allowed" in lines["demo"]


def test_a_model_is_not_pulled_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("models", "pull", "nope/xx")
    assert result.exit_code == 1
    assert "hub cannot be reached" in result.stderr
    assert "demo" not in result.stderr


def test_a_model_there_is_not_cannot_be_pulled() -> None:
    result = run("models", "pull", "no such model")
    assert result.exit_code == 1
    assert "There is no model" in result.stderr


def test_settings_that_are_not_valid_are_explained_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "short")
    monkeypatch.setenv("WHISPER_BEAM_SIZE", "99")
    result = run("up")
    assert result.exit_code == 1
    assert "WHISPER_BEAM_SIZE" in result.stderr
    assert "API_KEY" in result.stderr
    assert "short," not in result.stderr
    assert "'short'" not in result.stderr
    assert "Traceback" not in result.output


def test_doctor_finds_what_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WHISPER_MODELS", "demo")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", "foo")
    Path(".env").write_text("WHISPER_MODEL=small\n")
    result = run("doctor")
    assert result.exit_code == 1
    assert "WHISPER_MODEL in .env is not a setting; did you mean WHISPER_MODELS?" in result.stdout
    bad = [line for line in result.stdout.splitlines() if line.startswith("BAD")]
    assert {line.split()[1] for line in bad} >= {"Redis", "database"}
    assert not Path("data").exists()
    assert any("ffmpeg" in line and line.startswith("ok") for line in result.stdout.splitlines())
    assert str(os.getpid()) not in result.stderr
