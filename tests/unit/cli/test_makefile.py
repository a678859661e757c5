"""What `make run` hands on, and that it looks before it installs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
STUB = "import json, pathlib, sys\npathlib.Path({into!r}).write_text(json.dumps(sys.argv[1:]))\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with programs beside it that only write down what they are called with."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "environment.py").write_text(STUB.format(into=str(tmp_path / "installed")))
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "longhand").write_text(f"#!{sys.executable}\n" + STUB.format(into=str(tmp_path / "called")))
    (programs / "longhand").chmod(0o755)
    return tmp_path


def make(checkout: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "run", f"PYTHON={sys.executable}", *words]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(checkout)}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "name", ["talk.mp3", 'it\'s "so".mp3', "$(touch pwned)`touch pwned`$HOME.mp3", "-x ;*.mp3", "a  b$$.mp3", "#ü.mp3"]
)
def test_a_file_name_arrives_as_it_is(checkout: Path, name: str) -> None:
    (checkout / name).write_bytes(b"")
    said = make(checkout, f"FILE={name}", "ONCE=1", "UP=--port 9000")
    assert said.returncode == 0, said.stderr
    assert json.loads((checkout / "called").read_text()) == ["up", f"--send={name}", "--once", "--port", "9000"]
    assert not (checkout / "pwned").exists()


def test_a_home_folder_that_the_shell_left_alone_is_found(checkout: Path) -> None:
    (checkout / "talk.mp3").write_bytes(b"")
    assert make(checkout, "FILE=~/talk.mp3").returncode == 0
    assert json.loads((checkout / "called").read_text()) == ["up", f"--send={checkout}/talk.mp3"]


@pytest.mark.parametrize("name", ["none.mp3", "", "tools", '"$(touch pwned)'])
def test_nothing_is_installed_for_a_file_that_is_not_there(checkout: Path, name: str) -> None:
    said = make(checkout, f"FILE={name}")
    assert said.returncode == 2
    assert f'"{name}"' in said.stderr
    assert "FILE=" in said.stderr
    assert not {"installed", "called", "pwned"} & {path.name for path in checkout.iterdir()}
