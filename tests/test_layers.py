"""The import rule, the weight of light processes, and what a new stage needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ["torch", "ctranslate2", "faster_whisper", "pyannote", "onnxruntime", "av", "numpy"]


def fresh(code: str, cwd: Path, **env: str) -> str:
    """What a fresh interpreter prints for this code."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_room_imports_only_rooms_below_it() -> None:
    result = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", ["webapp.main", "tasks.app", "tasks.flow", "tasks.main", "cli.main"])
def test_a_light_process_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    # Stages are found by importlib, which a linter cannot see.
    code = (
        f"import {module}, sys, pipelines.stage as s; s.discover(); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert fresh(code, tmp_path).strip() == "[]"


NEW_STAGE = '''
"""Count the words."""
from pydantic import Field
from pipelines.documents import Document, Transcript
from pipelines.stage import Files, Options, Progress, stage

class CountOptions(Options):
    count_from: int = Field(0, ge=0, description="Number to begin with.")

class Count(Document):
    words: int

@stage(queue="cpu", reads=["transcript.json"], writes=["count.json"])
def count_words(files: Files, options: CountOptions, progress: Progress) -> None:
    """Count the words of a transcript."""
    text = files.read("transcript.json", Transcript).text
    files.write("count.json", Count(words=options.count_from + len(text.split())))
'''


def test_a_stage_added_as_one_file_is_in_the_plan_the_schema_and_the_tasks(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "count_words.py").write_text(NEW_STAGE)
    code = """
import json
from config.settings import Settings
from pipelines.stage import discover, plan
from tasks.main import app
from webapp import create_app
settings = Settings()
web = create_app(settings).test_client()
print(json.dumps({
    "plan": [s.name for s in plan(discover(settings.plugins), {"formats": ["srt"]})],
    "schema": "count_from" in json.dumps(web.get("/openapi.json").get_json()),
    "task": "stage.count_words" in app.tasks,
    "route": app.conf.task_routes["stage.count_words"],
}))
"""
    told = json.loads(fresh(code, tmp_path, PLUGINS=str(tmp_path / "plugins"), DATA_DIR=str(tmp_path / "data")))
    assert told["plan"].index("count_words") > told["plan"].index("merge")
    assert told["plan"][:2] == ["normalise", "chunk"]
    assert told["schema"] and told["task"]
    assert told["route"] == {"queue": "cpu"}
