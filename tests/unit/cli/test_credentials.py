import json
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from cli.credentials import FILE, Unreadable, keep, kept_key
from config.settings import Settings


def test_made_once_for_the_owner_only(tmp_path: Path) -> None:
    first = keep(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert keep(tmp_path) == first
    assert kept_key(tmp_path) == first.api_key
    assert min(len(first.api_key), len(first.flower_password)) >= 20
    assert Settings(_env_file=None, webhook_secret=SecretStr(first.webhook_secret)).webhook_secret
    assert list(tmp_path.iterdir()) == [tmp_path / FILE]


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    keep(tmp_path)
    (tmp_path / FILE).chmod(0o644)
    keep(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_what_is_missing_is_added_and_the_rest_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"api_key": "chosen-by-hand", "other": "kept"}))
    assert keep(tmp_path).api_key == "chosen-by-hand"
    assert json.loads((tmp_path / FILE).read_text())["other"] == "kept"
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "[]", '{"api_key": 7}', "\x00"])
def test_a_damaged_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(Unreadable, match="remove it"):
        keep(tmp_path)
    assert (tmp_path / FILE).read_text() == content
    assert kept_key(tmp_path) is None
