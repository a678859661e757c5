import os
import socket
import stat
from pathlib import Path

import pytest

from cli.places import SOCKET_PATH_BYTES, Busy, Places, fits


def made(folder: Path) -> Places:
    places = Places(folder)
    places.make()
    return places


def test_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    places = made(tmp_path / "data")
    for folder in (places.data, places.run, places.logs, places.redis):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_at_a_time_and_the_second_is_told_who(tmp_path: Path) -> None:
    first, second = made(tmp_path), Places(tmp_path)
    with first.held(), pytest.raises(Busy, match=f"process {os.getpid()}.*--data-dir"), second.held():
        pass
    with second.held():
        pass


@pytest.mark.parametrize("name", ["x" * 120, "with space", "per%cent", "que?ry", "ünïcode"])
def test_sockets_go_to_a_short_plain_private_folder_and_are_gone_afterwards(tmp_path: Path, name: str) -> None:
    places = made(tmp_path / name)
    assert not fits(places.run / "sockets")
    with places.sockets() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "supervisor.sock.4194304"))
    assert not folder.exists()
    assert places.last_sockets() is None


def test_the_longest_name_that_is_made_still_fits() -> None:
    folder = Path("/" + "x" * (SOCKET_PATH_BYTES - 1 - len("/supervisor.sock.4194304")))
    assert fits(folder)
    assert not fits(Path(f"{folder}x"))


def test_sockets_of_a_killed_run_are_cleared_away(tmp_path: Path) -> None:
    places = made(tmp_path / ("long" * 30))
    crashed = places.sockets()
    folder = crashed.__enter__()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "redis.sock"))
    assert places.last_sockets() == folder
    with Places(places.data).sockets() as fresh:
        assert fresh != folder
        assert not folder.exists()


def test_a_folder_named_by_a_tampered_note_is_not_emptied(tmp_path: Path) -> None:
    places = made(tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary").write_text("dear")
    (places.run / "sockets-at").write_text(str(tmp_path / "mine"))
    with places.sockets():
        pass
    assert (tmp_path / "mine" / "diary").read_text() == "dear"
