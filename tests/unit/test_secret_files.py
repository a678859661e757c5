"""Secrets from files: what is read, and what is refused with a sentence instead of being guessed."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from cli.configuration import misspelt
from cli.stack import environment
from config.loading import explain
from config.secret_files import SECRETS
from config.settings import Settings
from tasks.lease import touch

KEY = "a-key-that-is-long-enough"


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [*Settings.model_fields, *(f"{secret}_file" for secret in SECRETS)]:
        monkeypatch.delenv(name.upper(), raising=False)


def sentence(**given: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
    return explain(refused.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_is_what_its_file_holds(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(f"{KEY}{ending}".encode())
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "key"))
    found = Settings().api_key
    assert found is not None and found.get_secret_value() == KEY


def test_every_secret_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = dict.fromkeys(SECRETS, KEY) | {
        "webhook_secret": "whsec_" + "QUJD" * 10, "redis_url": "rediss://:p@h/0", "broker_url": "amqps://u:p@h/v",
        "database_url": "postgresql+psycopg://u:p@h/d",
    }  # fmt: skip
    for name, value in values.items():
        (tmp_path / name).write_text(value)
        monkeypatch.setenv(f"{name.upper()}_FILE", str(tmp_path / name))
    found = Settings()
    told = {name: getattr(found, name) for name in SECRETS}
    assert {n: v if isinstance(v, str) else v.get_secret_value() for n, v in told.items()} == values


def test_all_that_is_secret_is_among_them() -> None:
    marked = {name for name, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)}
    assert marked <= set(SECRETS) <= set(Settings.model_fields)


def test_a_file_may_be_named_in_the_folders_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / ".env").write_text("API_KEY_FILE=key\nWHISPER_MODELS=demo\n")
    assert Settings().api_key is not None
    monkeypatch.setenv("API_KEY", "another-that-is-long-enough")
    found = Settings().api_key
    assert found is not None and found.get_secret_value().startswith("another"), "the environment goes before .env"
    assert Settings(api_key=KEY).api_key != found, "what is given goes before all"


def test_an_empty_file_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("\n")
    monkeypatch.setenv("HF_TOKEN_FILE", str(tmp_path / "token"))
    assert Settings().hf_token is None


def test_of_a_secret_and_its_file_neither_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("API_KEY", KEY)
    said = sentence()
    assert "API_KEY_FILE: API_KEY is set as well" in said and KEY not in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("folder", "Is a directory"),
        (b"\xff\xfe\x00", "is no text"),
        (b"one\ntwo\n", "more than one line"),
        (b"x" * 70_000, "more than one line"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    content: bytes | str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    monkeypatch.setenv("FLOWER_PASSWORD_FILE", str(path))
    said = sentence()
    assert said.startswith("The settings are not valid. FLOWER_PASSWORD_FILE: ") and reason in said
    assert str(tmp_path) not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "change-me"),
        ("api_key", "CHANGEME-please"),
        ("flower_password", "change_me"),
        ("database_url", "postgresql+psycopg://longhand:change-me@host/longhand"),
        ("redis_url", "redis://:change-me@redis:6379/0"),
    ],
)
def test_a_placeholder_is_no_secret(name: str, value: str) -> None:
    said = sentence(**{name: value})
    assert f"{name.upper()} is still a placeholder" in said and value not in said


def test_processes_get_the_secret_and_not_its_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("API_KEY_FILE", "key")
    found = environment(Settings(), os.environ)
    assert found["API_KEY"] == KEY and "API_KEY_FILE" not in found


def test_a_secrets_file_is_no_slip_of_the_pen(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL_FILE=x\nDATABASE_URL_FIL=x\n")
    assert misspelt({}) == ["DATABASE_URL_FIL in .env is not a setting; did you mean DATABASE_URL_FILE?"]


def test_a_worker_that_lives_touches_its_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(None)
    touch(str(tmp_path / "alive"))
    assert (tmp_path / "alive").exists()
    touch(str(tmp_path / "missing" / "alive"))
    assert "ALIVE_FILE cannot be written" in caplog.text
