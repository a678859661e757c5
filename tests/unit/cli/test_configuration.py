from pathlib import Path

import pytest

from cli.configuration import misspelt
from cli.preflight import database_trouble


def test_settings_that_are_none_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text(
        "WHISPER_MODEL=small\nexport api_keys=x\nWHISPER_MODELS=demo\nhf_token=x\nHTTP_PROXY=x\nlog_level=INFO\n"
    )
    found = misspelt({"WHISPER_DEVISE": "cpu", "WHISPER_CPP_HOME": "/x", "LOG_LEVL": "x", "WHISPER_DEVICE": "cpu"})
    assert found[:3] == [
        "WHISPER_MODEL in .env is not a setting; did you mean WHISPER_MODELS?",
        "api_keys in .env is not a setting; did you mean API_KEY?",
        "WHISPER_DEVISE in the environment is not a setting; did you mean WHISPER_DEVICE?",
    ]
    assert found[3].startswith("WHISPER_CPP_HOME in the environment is not a setting:")
    assert len(found) == 4


def test_a_database_that_can_be_opened_is_left_as_it_is(tmp_path: Path) -> None:
    import sqlite3

    assert database_trouble(f"sqlite:///{tmp_path}/not/yet.db") is None
    assert not list(tmp_path.iterdir())
    connection = sqlite3.connect(tmp_path / "there.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert database_trouble(f"sqlite:///{tmp_path}/there.db") is None
    assert database_trouble("sqlite://") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("foo", "no database address"),
        ("nosuch://host/name", "no driver"),
        ("sqlite:////proc/none/x.db", "cannot be made"),
        ("sqlite:///{folder}/text.db", "cannot be read"),
        ("sqlite:///{folder}", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_database(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "text.db").write_text("no database at all, but some text that is long enough" * 20)
    assert said in (database_trouble(url.format(folder=tmp_path)) or "")
