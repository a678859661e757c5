"""What docs/api.md and docs/openai.md show is run as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import KEY, ROOT, Stack

PAGE, OPENAI = ((ROOT / "docs" / name).read_text("utf-8") for name in ("api.md", "openai.md"))
PYTHON = re.findall(r"```python\n(.*?)```", PAGE + OPENAI, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
SECONDS = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a recording, where by the content it does not matter that it is no MP3, and a call."""
    shutil.copy(ROOT / "models" / "demo" / "sample.flac", tmp_path / "talk.mp3")
    shutil.copy(ROOT / "tests" / "samples" / "stereo_diarization.wav", tmp_path / "call.wav")
    return tmp_path


def run(stack: Stack, folder: Path, *command: str) -> str:
    env = {**os.environ, "LONGHAND": f"http://127.0.0.1:{stack.port}", "KEY": KEY, "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("code", PYTHON, ids=[f"{n}" for n in range(len(PYTHON))])
def test_the_python_runs(stack: Stack, folder: Path, code: str) -> None:
    assert run(stack, folder, sys.executable, "-W", "error::SyntaxWarning", "-c", code).strip()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_the_shell_commands_run_in_order(stack: Stack, folder: Path) -> None:
    script = "".join(f"{block}\necho\n" for block in SHELL)
    said = run(stack, folder, "bash", "-euo", "pipefail", "-c", script)
    assert (folder / "talk.srt").read_text("utf-8").startswith("1\n00:00:0")
    assert (folder / "begin.bin").stat().st_size == 1024
    assert "Idempotency-Replayed: true" in said and "event: done" in said
    assert "<v Ada>" in said and "<v Grace>" in said
    assert "tell speakers apart" in said or "told apart" in said or "tells speakers apart" in said
    assert '"status":"cancelled"' in said.replace(" ", "") or '"code":"conflict"' in said.replace(" ", "")


def test_the_page_shows_something() -> None:
    assert len(PYTHON) >= 4 and len(SHELL) >= 6
