import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cli.announcement import Announcement, announced, find, place
from cli.connection import default_url, find_key
from cli.credentials import keep
from config.settings import Settings

URL = "http://127.0.0.1:18481"


def server(data: Path, *, key: str | None = "lh-made-up", process: int | None = None) -> Announcement:
    return Announcement(
        url=URL, key=key, data_dir=data, process=process or os.getpid(), models=["demo"], aliases={}, allowed=[]
    )


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def test_a_server_is_found_while_it_runs_by_its_owner_only(tmp_path: Path, home: dict[str, str]) -> None:
    with announced(server(tmp_path), home):
        assert find(home) == server(tmp_path)
        path = tmp_path / ".local" / "state" / "longhand" / "server.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find(home) is None
    assert not list(path.parent.iterdir())


def test_what_a_killed_server_left_does_not_count(tmp_path: Path, home: dict[str, str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with announced(server(tmp_path, process=ended.pid), home):
        assert find(home) is None


def test_the_file_of_a_later_server_stays(tmp_path: Path, home: dict[str, str]) -> None:
    later = server(tmp_path / "later", process=os.getppid())
    with announced(server(tmp_path), home), announced(later, home):
        assert find(home) == later
        path = place(home)
        assert path
        kept = path.read_text()
    with announced(server(tmp_path), home):
        path.write_text(kept)
    assert find(home) == later


def test_where_there_is_no_home_nothing_is_written(tmp_path: Path) -> None:
    nowhere = {"HOME": str(tmp_path / "none")}
    with announced(server(tmp_path), nowhere):
        assert find(nowhere) is None
    assert not list(tmp_path.iterdir())
    assert place({}) is None
    assert place({"XDG_STATE_HOME": "relative"}) is None
    (tmp_path / "file").write_text("")
    with announced(server(tmp_path), {"XDG_STATE_HOME": str(tmp_path / "file")}):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 7}', "\x00"])
def test_a_damaged_file_is_no_server(tmp_path: Path, home: dict[str, str], content: str) -> None:
    with announced(server(tmp_path), home):
        path = place(home)
        assert path
        path.write_text(content)
        assert find(home) is None
    assert path.read_text() == content


def test_address_and_key_come_from_the_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    elsewhere, settings = server(tmp_path / "other"), Settings()
    assert default_url(settings, elsewhere) == URL
    assert default_url(settings) == "http://127.0.0.1:8081"
    assert default_url(Settings(bind_port=9000), elsewhere) == "http://127.0.0.1:9000"
    assert default_url(Settings(bind_port=9000, data_dir=tmp_path / "other"), elsewhere) == URL
    settings.data_dir.mkdir()
    own = keep(settings.data_dir).api_key
    assert find_key(URL, settings, elsewhere) == "lh-made-up"
    assert find_key("http://127.0.0.1:8081", settings, elsewhere) == own
    assert find_key("http://elsewhere:18481", settings, elsewhere) is None
    assert find_key(URL, None, elsewhere) == "lh-made-up"
    assert find_key(URL, Settings(api_key="chosen-by-hand"), elsewhere) == "chosen-by-hand"
