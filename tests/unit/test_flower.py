"""Flower's configuration, executed as Flower does it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT


def executed(folder: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    script = f"import json, runpy, types; c = runpy.run_path({str(ROOT / 'config' / 'flower.py')!r}); {code}"
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(folder / "data"), **env}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=surroundings, capture_output=True, text=True, timeout=60
    )


def test_there_is_no_flower_without_a_password(tmp_path: Path) -> None:
    said = executed(tmp_path, "print('it would start')", API_KEY="the-key-of-a-test")
    assert said.returncode == 1 and said.stdout == ""
    assert said.stderr == "Flower needs a password: set FLOWER_PASSWORD.\n"


def test_what_it_keeps_is_its_user_s_only_and_arguments_can_be_read(tmp_path: Path) -> None:
    shown = "[c['format_task'](types.SimpleNamespace(args=a)).args for a in (\"('0af3', 2)\", \"('0af3',)\", None)]"
    code = f"print(json.dumps([c['persistent'], c['db'], c['basic_auth'], {shown}]))"
    said = executed(tmp_path, code, FLOWER_PASSWORD="pass-of-a-test", FLOWER_USER="ada")
    kept = tmp_path / "data" / "run"
    assert json.loads(said.stdout) == [True, str(kept / "flower"), ["ada:pass-of-a-test"], ["0af3, 2", "0af3", ""]]
    assert kept.stat().st_mode & 0o777 == 0o700
