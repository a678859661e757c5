"""`longhand keys`, against a server that says what a test wrote down."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from cli.client import Exit
from cli.keys import Expiry, listing, state
from cli.main import main
from config.settings import Settings
from tests.unit.cli.conftest import ScriptedServer

KEY: dict[str, Any] = {
    "id": "3f0c1a2b" * 4,
    "name": "[red]Ada[/]",
    "account": "3f0c1a2b" * 4,
    "hint": "lh-abcdef",
    "scopes": ["read", "transcribe"],
    "requests_per_minute": 60,
    "audio_seconds_per_day": 9000.0,
    "created_at": "2026-01-02T03:04:05.000Z",
    "expires_at": "2040-01-02T03:04:05.000Z",
    "revoked_at": None,
    "used_at": None,
}
MADE = KEY | {"key": "lh-abcdefghijk", "webhook_secret": "whsec_abc"}


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*(field.upper() for field in Settings.model_fields), "LONGHAND_URL", "LONGHAND_KEY"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def run(server: ScriptedServer, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments, "--url", server.url, "--key", "k"])


def test_the_key_is_alone_on_standard_output(server: ScriptedServer) -> None:
    server.says(201, MADE)
    result = run(server, "create", "Ada", "--scope", "read", "--rate", "60", "--audio-hours-per-day", "2.5")
    assert (result.exit_code, result.stdout) == (0, "lh-abcdefghijk\n")
    assert "whsec_abc" in result.stderr and KEY["id"] in result.stderr
    method, path, headers, _ = server.asked[0]
    assert (method, path, headers["authorization"]) == ("POST", "/v1/keys", "Bearer k")
    assert headers["content-type"] == "application/json"


def test_a_key_for_the_account_of_another(server: ScriptedServer) -> None:
    server.says(200, {"keys": [KEY]})
    server.says(201, MADE | {"id": "b" * 32, "webhook_secret": None})
    result = run(server, "create", "reader", "--scope", "read", "--account", KEY["id"][:8])
    assert result.exit_code == 0 and "webhooks" not in result.stderr
    body = {"name": "reader", "scopes": ["read"], "account": KEY["id"]}
    assert [asked[:2] for asked in server.asked] == [("GET", "/v1/keys"), ("POST", "/v1/keys")]
    assert server.asked[1][3] == len(httpx.Request("POST", server.url, json=body).content)


def test_all_of_it_as_json(server: ScriptedServer) -> None:
    server.says(201, MADE)
    assert json.loads(run(server, "create", "Ada", "--json").stdout) == MADE


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("90d", {"expires_in_days": 90}),
        ("12h", {"expires_in_days": 0.5}),
        ("2W", {"expires_in_days": 14}),
        ("1y", {"expires_in_days": 365}),
        ("1.5 d", {"expires_in_days": 1.5}),
        ("2040-01-31", {"expires_at": "2040-01-31T00:00:00+00:00"}),
        ("2040-01-31T12:00:00+02:00", {"expires_at": "2040-01-31T12:00:00+02:00"}),
    ],
)
def test_ways_to_say_when_a_key_ends(text: str, field: dict[str, Any]) -> None:
    assert Expiry().convert(text, None, None) == field


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "a", "--expires", "soon"),
        ("create", "a", "--expires", "90"),
        ("create", "a", "--scope", "write"),
        ("create", "a", "--rate", "0"),
        ("create", "a", "--audio-hours-per-day", "0"),
        ("create",),
        ("revoke",),
    ],
)
def test_what_makes_no_sense_is_not_sent(server: ScriptedServer, arguments: tuple[str, ...]) -> None:
    result = run(server, *arguments)
    assert result.exit_code == Exit.USAGE and server.asked == [] and "Traceback" not in result.output


def test_keys_are_listed(server: ScriptedServer) -> None:
    server.says(200, {"keys": [KEY, KEY | {"revoked_at": KEY["created_at"]}]})
    lines = run(server, "list").stdout.splitlines()
    for part in (KEY["id"], "[red]Ada[/]", "lh-abcdef…", "active", "read,transcribe", "60", "2.5 h", "2040-01-02"):
        assert part in lines[1], part
    assert "revoked" in lines[2]
    assert [json.loads(line)["id"] for line in run(server, "list", "--json").stdout.splitlines()] == [KEY["id"]] * 2


def test_a_list_fits_a_narrow_terminal() -> None:
    console = Console(width=80, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        console.print(listing([KEY], 80))
    assert all(len(line) <= 80 for line in capture.get().splitlines()) and "3f0c1a2b " in capture.get()


def test_no_keys(server: ScriptedServer) -> None:
    server.says(200, {"keys": []})
    assert "longhand keys create" in run(server, "list").stdout


def test_states() -> None:
    at = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert state(KEY, at) == "expired" and state(KEY, at.replace(year=2039)) == "active"
    assert state(KEY | {"expires_at": None}, at) == "active"


def test_the_beginning_of_an_id_is_enough(server: ScriptedServer) -> None:
    server.says(200, {"keys": [KEY]})
    server.says(204, b"")
    result = run(server, "revoke", "3f0c1a2b")
    assert result.exit_code == 0 and "3f0c1a2b: revoked" in result.stdout
    assert server.asked[1][:2] == ("DELETE", f"/v1/keys/{KEY['id']}")


def test_an_id_that_could_be_two_is_not_revoked(server: ScriptedServer) -> None:
    server.says(200, {"keys": [KEY, KEY | {"id": "3f0c1a2b" + "0" * 24}]})
    result = run(server, "revoke", "3f0c1a2b")
    assert result.exit_code == Exit.USAGE and [asked[0] for asked in server.asked] == ["GET"]


@pytest.mark.parametrize(("status", "code", "exit_code"), [(403, "invalid_key", Exit.REFUSED), (404, "not_found", 1)])
def test_a_refusal_is_said_in_a_sentence(server: ScriptedServer, status: int, code: str, exit_code: int) -> None:
    server.says(status, {"detail": "It is so.", "code": code})
    for arguments in (("revoke", KEY["id"]), ("list",), ("create", "a")):
        result = run(server, *arguments)
        assert result.exit_code == exit_code and "It is so." in result.stderr and not result.stdout
