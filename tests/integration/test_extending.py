"""What docs/extending.md shows, taken from there and run: the stage and the engine in a real installation."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import ROOT, Stack

PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
CODE = dict(re.findall(r'```python title="(\w+)\.py"\n(.*?)```', PAGE, re.DOTALL))
SAMPLE = ROOT / "models" / "demo" / "sample.flac"


class OneWorkerStack(Stack):
    """One worker does everything; plug-ins are what is looked at here, not who works."""

    def start_worker(self, name: str, queue: str, children: int, *, pool: str = "prefork") -> None:
        if name == "cpu":
            super().start_worker(name, "cpu,net,gpu", 1)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation with both plug-ins in a folder of its own, and no model."""
    folder = tmp_path_factory.mktemp("extended")
    plugins = folder / "plugins"
    plugins.mkdir()
    for name in ("watch_for", "outline"):
        (plugins / f"{name}.py").write_text(CODE[name], "utf-8")
    env = {"PLUGINS": str(plugins), "WHISPER_ENGINE": "outline", "WHISPER_MODELS": "any"}
    with OneWorkerStack(folder, **env) as running:
        yield running


def test_a_stage_and_an_engine_that_were_added_do_their_work(extended: Stack) -> None:
    job = extended.run(SAMPLE, watch_for="speech, Budget")
    assert job["status"] == "done", job["error"]
    assert {step["stage"]: step["status"] for step in job["steps"]}["watch_for"] == "done"
    transcript = extended.transcript(job["id"])
    assert transcript["model"] == "any" and transcript["text"].startswith("Speech.")
    said = [segment["start"] for segment in transcript["segments"]]
    warnings = {warning["code"]: warning["detail"] for warning in job["warnings"]}
    assert warnings["outline_only"]  # what the transcript had to say is still there
    assert warnings["mentioned"] == f"“speech” was said, first at {said[0]:.0f} s ({len(said)} in all)."
    mentions = json.loads((extended.folder / "data" / "jobs" / job["id"] / "mentions.json").read_text())
    assert mentions["seconds"] == {"speech": pytest.approx(said, abs=0.01), "Budget": []}


def test_without_its_option_the_stage_does_not_run(extended: Stack) -> None:
    without_words = extended.run(SAMPLE, watch_for="speech", word_timestamps="false")
    assert "mentioned" in {warning["code"] for warning in without_words["warnings"]}
    job = extended.run(SAMPLE, watch_for="")
    assert "watch_for" not in {step["stage"] for step in job["steps"]}
    assert [warning["code"] for warning in job["warnings"]] == ["outline_only"]


def test_the_option_is_described_and_checked(extended: Stack) -> None:
    forms = extended.client.get("/openapi.json").json()["components"]["schemas"]
    assert "Words to watch for" in forms["JobForm"]["properties"]["watch_for"]["description"]
    refused = extended.client.post(
        "/v1/jobs", files={"file": ("talk.flac", Path(SAMPLE).read_bytes())}, data={"watch_for": "a," * 101}
    )
    assert refused.status_code == 400 and "watch_for" in refused.json()["detail"]
