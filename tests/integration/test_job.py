"""The main job over HTTP against real processes: a recording goes in, transcript and subtitles come out."""

import io
import json
from pathlib import Path

import httpx
import psutil
import pysubs2
import pytest
import srt
import webvtt

from tests import recordings
from tests.stack import ROOT, Stack, until
from tests.transcripts import check_timeline, word_error_rate

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
TRUTH = json.loads((ROOT / "models" / "demo" / "sample.json").read_text())


@pytest.fixture(scope="module")
def job(stack: Stack) -> dict[str, object]:
    return stack.run(SAMPLE, name="Sample talk.flac", formats="srt,vtt,txt")


def test_the_sample_s_words_come_out(stack: Stack, job: dict[str, object]) -> None:
    assert job["status"] == "done", job
    transcript = stack.transcript(str(job["id"]))
    assert word_error_rate(TRUTH["text"], transcript["text"]) == 0
    assert transcript["language"] == "en"
    assert transcript["duration"] == pytest.approx(TRUTH["duration"], abs=0.06)
    check_timeline(transcript)


def test_the_job_says_all_that_the_contract_names(job: dict[str, object]) -> None:
    assert set(job) >= {
        "id", "status", "progress", "eta_seconds", "queue_position", "created_at", "started_at", "finished_at",
        "source", "options", "metadata", "warnings", "error", "steps", "links",
    }  # fmt: skip
    assert job["progress"] == 1
    steps = job["steps"]
    assert isinstance(steps, list)
    assert [(s["stage"], s["status"], s["done"], s["total"]) for s in steps] == [
        (name, "done", 1, 1) for name in ("normalise", "chunk", "detect_language", "transcribe", "merge", "export")
    ]
    assert [w["code"] for w in job["warnings"]] == ["demo_model"]  # type: ignore[attr-defined]


def test_the_subtitles_parse_everywhere(stack: Stack, job: dict[str, object]) -> None:
    links = job["links"]
    assert isinstance(links, dict)
    as_srt = stack.client.get(links["srt"]).raise_for_status().text
    as_vtt = stack.client.get(links["vtt"]).raise_for_status().text
    cues = list(srt.parse(as_srt))
    captions = list(webvtt.from_buffer(io.StringIO(as_vtt)))
    assert (
        len(cues)
        == len(captions)
        == len(pysubs2.SSAFile.from_string(as_srt))
        == len(pysubs2.SSAFile.from_string(as_vtt))
    )
    assert word_error_rate(TRUTH["text"], " ".join(c.content for c in cues)) == 0
    assert word_error_rate(TRUTH["text"], " ".join(c.text for c in captions)) == 0


def test_flower_shows_the_tasks_by_name_and_wants_a_password(stack: Stack, job: dict[str, object]) -> None:
    address = f"http://127.0.0.1:{stack.flower_port}"
    visitor = httpx.Client(base_url=address, trust_env=False, timeout=20)
    for path in ("/", "/tasks", "/api/tasks", "/workers", "/metrics"):
        assert until(lambda p=path: visitor.get(p), 30, "Flower", (httpx.TransportError,)).status_code == 401, path
    assert visitor.get("/", auth=("longhand", "wrong")).status_code == 401
    operator = httpx.Client(base_url=address, trust_env=False, timeout=20, auth=("longhand", "flower-password"))
    other = stack.run(SAMPLE)

    def seen() -> set[str]:
        tasks = operator.get("/api/tasks").raise_for_status().json().values()
        names = {t["name"] for t in tasks if other["id"] in (t["args"] or "") and t["state"] == "SUCCESS"}
        return names if "job.finish" in names else set()

    names = until(seen, 30, "Flower to have seen the whole job")
    assert names == {
        "stage.normalise", "stage.chunk", "stage.detect_language", "stage.transcribe", "stage.merge",
        "stage.export", "job.finish",
    }  # fmt: skip
    # As the page lists them: the job and the chunk, and nothing else, not even by way of a result.
    asked = {"draw": 1, "start": 0, "length": 10_000, "order[0][column]": 0, "columns[0][data]": "name"}
    rows = operator.get("/tasks/datatable", params=asked).raise_for_status().json()["data"]
    shown = {(row["args"], str(row["result"] or "None"), row["kwargs"]) for row in rows if other["id"] in row["args"]}
    assert shown == {(other["id"], "None", "{}"), (f"{other['id']}, 0", "None", "{}")}
    visitor.close()
    operator.close()


def test_flower_knows_after_a_restart_what_it_knew_before(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.flower_port}"
    with httpx.Client(base_url=address, trust_env=False, timeout=20, auth=("longhand", "flower-password")) as operator:

        def known() -> dict[str, str]:
            tasks = operator.get("/api/tasks").raise_for_status().json()
            return {uuid: task["name"] for uuid, task in tasks.items() if task["name"] == "job.finish"}

        stack.run(SAMPLE)
        before = until(known, 30, "Flower to have seen the end of a job", (httpx.HTTPError,))
        flower = stack.processes.pop("flower")
        flower.terminate()
        assert flower.wait(30) is not None
        stack.start_flower()
        assert before.items() <= until(known, 60, "Flower to be back", (httpx.HTTPError,)).items()
    kept = list((stack.folder / "data" / "run").glob("flower*"))
    assert kept, "outside containers, too, it is in the data folder"


def test_waiting_ends_with_the_job_and_not_with_the_clock(stack: Stack) -> None:
    accepted = stack.post(SAMPLE)
    found = stack.client.get(f"/v1/jobs/{accepted['id']}", params={"wait": 60}).json()
    assert found["status"] == "done"


def test_a_cancelled_job_stops_and_leaves_no_scratch(stack: Stack, tmp_path: Path) -> None:
    long = recordings.silence(60).write(tmp_path / "long.wav", times=60)
    accepted = stack.post(long)
    running = lambda: stack.client.get(f"/v1/jobs/{accepted['id']}").json()["status"] == "running"  # noqa: E731
    until(running, 30, "the job to start")
    cancelled = stack.client.post(f"/v1/jobs/{accepted['id']}/cancel")
    assert cancelled.status_code in {200, 202}
    assert stack.wait(accepted["id"])["status"] == "cancelled"
    scratch = stack.folder / "data" / "scratch"
    until(lambda: not list(scratch.glob(f"{accepted['id']}*")), 30, "the scratch to go")
    until(
        lambda: not [p for p in psutil.Process().children(recursive=True) if "ffmpeg" in p.name()], 10, "ffmpeg to go"
    )
    assert stack.run(SAMPLE)["status"] == "done", "the worker is free again"


def test_a_deleted_job_is_gone_with_its_files(stack: Stack) -> None:
    done = stack.run(SAMPLE)
    folder = stack.folder / "data" / "jobs" / done["id"]
    assert (folder / "source").exists()
    assert stack.client.delete(f"/v1/jobs/{done['id']}").status_code == 204
    assert not folder.exists()
    assert stack.client.get(f"/v1/jobs/{done['id']}").status_code == 404


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_the_language_is_found_out(stack: Stack, tmp_path: Path, language: str) -> None:
    done = stack.run(recordings.recording(20, seed=31, language=language).write(tmp_path / "x.wav"))
    transcript = stack.transcript(done["id"])
    assert transcript["language"] == language
    assert transcript["language_probability"] > 0.5


@pytest.mark.parametrize("language", ["en", "es", "de"])
def test_a_language_that_is_given_is_used(stack: Stack, tmp_path: Path, language: str) -> None:
    said = [recordings.utterance(seed, language=language) for seed in range(4)]
    accepted = [stack.post(s.write(tmp_path / f"{n}.wav"), language=language) for n, s in enumerate(said)]
    heard = [stack.transcript(stack.wait(job["id"])["id"]) for job in accepted]
    assert [t["language"] for t in heard] == [language] * 4
    # Short texts of a small model: one wrong word in twenty is what it is known for in these languages.
    assert word_error_rate(" ".join(s.text for s in said), " ".join(t["text"] for t in heard)) <= 0.10


def test_a_job_goes_through_a_model_s_alias_only_if_it_is_allowed(stack: Stack) -> None:
    refused = stack.client.post("/v1/jobs", files={"file": SAMPLE.read_bytes()}, data={"model": "large-v3"})
    assert refused.status_code == 404
    assert refused.json()["code"] in {"model_not_allowed", "unknown_model"}
