"""Speakers in every answer, and what becomes of a job whose speakers cannot be told apart.

The diariser is told what to hear: what is asked about here is what becomes of the words.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
import redis
import soundfile
from sqlalchemy import update

from config.settings import Settings
from store.database import Database
from store.events import PREFIX
from store.models import Step
from tasks.app import make_app
from tests.stack import KEY, ROOT, Stack, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orders") / "said"
    path.write_text("[]")
    return path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Iterator[Stack]:
    env = {
        "PLUGINS": str(PLUGINS), "DIARISATION_ENGINE": "told", "LONGHAND_TEST_TOLD": str(orders),
        "VISIBILITY_TIMEOUT_SECONDS": "6", "LEASE_RENEWAL_SECONDS": "1",
    }  # fmt: skip
    with Stack(tmp_path_factory.mktemp("told"), diarise=True, **env) as stack:
        yield stack


@pytest.fixture(scope="module")
def undisturbed(told: Stack) -> dict[str, Any]:
    """What is said in the sample, by nobody in particular."""
    return told.transcript(told.run(SAMPLE)["id"])


def half(transcript: dict[str, Any]) -> tuple[int, float]:
    """A word far from the ends of its sentence, by its number, and a moment right before it."""
    words = [word for segment in transcript["segments"] for word in segment["words"]]
    ends = [n for n, word in enumerate(words) if word["word"].endswith((".", "?", "!"))]
    number = next(n for n in range(3, len(words)) if not any(n - 4 <= end <= n + 3 for end in ends))
    return number, (words[number - 1]["end"] + words[number]["start"]) / 2


def two(orders: Path, transcript: dict[str, Any]) -> int:
    """Have two people speak, one after the other; how many words the first one says."""
    number, moment = half(transcript)
    orders.write_text(json.dumps([[0, moment, "x"], [moment, transcript["duration"], "y"]]))
    return number


def words_of(transcript: dict[str, Any]) -> list[str]:
    return [word["word"] for segment in transcript["segments"] for word in segment["words"]]


def test_every_word_has_its_speaker_and_none_is_lost(told: Stack, orders: Path, undisturbed: dict[str, Any]) -> None:
    number = two(orders, undisturbed)
    job = told.run(SAMPLE, diarise="true", num_speakers="2")
    assert job["status"] == "done" and job["warnings"] == undisturbed["warnings"]
    found = told.transcript(job["id"])
    assert found["text"] == undisturbed["text"]
    assert words_of(found) == words_of(undisturbed)
    said = [word["speaker"] for segment in found["segments"] for word in segment["words"]]
    assert said == ["SPEAKER_00"] * number + ["SPEAKER_01"] * (len(said) - number)
    assert all({word["speaker"] for word in one["words"]} == {one["speaker"]} for one in found["segments"])
    assert all(one["end"] <= other["start"] for one, other in pairwise(found["segments"]))
    assert [(one["id"], one["name"]) for one in found["speakers"]] == [(f"SPEAKER_0{n}",) * 2 for n in range(2)]
    assert sum(one["seconds"] for one in found["speakers"]) == pytest.approx(undisturbed["duration"], abs=0.01)
    assert {step["stage"]: step["attempts"] for step in job["steps"]}["diarise"] == 1


def test_names_stand_in_every_format(told: Stack, orders: Path, undisturbed: dict[str, Any]) -> None:
    two(orders, undisturbed)
    job = told.run(SAMPLE, diarise="true")["id"]
    renamed = told.client.patch(
        f"/v1/jobs/{job}/speakers", json={"SPEAKER_00": "Ada", "SPEAKER_01": "Grace <&> Hopper"}
    )
    assert renamed.status_code == 200

    def export(name: str, **query: str) -> str:
        return told.client.get(f"/v1/jobs/{job}/transcript.{name}", params=query).raise_for_status().text

    assert [one["name"] for one in json.loads(export("json"))["speakers"]] == ["Ada", "Grace <&> Hopper"]
    assert [line.split(":")[0] for line in export("txt").splitlines() if ":" in line] == ["Ada", "Grace <&> Hopper"]
    vtt = export("vtt")
    assert vtt.count("<v Ada>") + vtt.count("<v Grace &lt;&amp;&gt; Hopper>") == vtt.count("-->") and "<v Ada>" in vtt
    srt = export("srt")
    assert srt.count("Ada:") == srt.count("Grace <&> Hopper:") == 1
    assert told.client.patch(f"/v1/jobs/{job}/speakers", json={"SPEAKER_02": "Nobody"}).status_code == 400


def test_words_that_nobody_wants_still_tell_whose_a_segment_is(
    told: Stack, orders: Path, undisturbed: dict[str, Any]
) -> None:
    two(orders, undisturbed)
    found = told.transcript(told.run(SAMPLE, diarise="true", word_timestamps="false")["id"])
    assert found["text"] == undisturbed["text"]
    assert not any(segment["words"] for segment in found["segments"])
    assert {segment["speaker"] for segment in found["segments"]} == {"SPEAKER_00", "SPEAKER_01"}


def _warned(stack: Stack) -> float:
    figures = stack.client.get("/metrics").raise_for_status().text
    return float(figures.partition('longhand_jobs_warned_total{code="diarisation_failed"} ')[2].split()[0])


@pytest.mark.parametrize(("order", "says"), [("fail", "Something went wrong"), ("full", "memory"), ("die", "4 times")])
def test_a_failure_costs_the_speakers_and_not_the_transcript(
    told: Stack, orders: Path, undisturbed: dict[str, Any], order: str, says: str
) -> None:
    orders.write_text(order)
    before = _warned(told)
    job = told.run(SAMPLE, diarise="true")
    orders.write_text("[]")
    assert job["status"] == "done", job["error"]
    assert until(lambda: (n := _warned(told)) > before and n, 30, "it to be counted") == before + 1
    warning = next(warn for warn in job["warnings"] if warn["code"] == "diarisation_failed")
    assert says in warning["detail"] and "shadow" not in warning["detail"]
    found = told.transcript(job["id"])
    assert warning in found["warnings"]
    assert found["segments"] == undisturbed["segments"] and found["speakers"] == []
    assert told.processes["diarise"].poll() is None


def test_a_diariser_that_hears_nothing_is_stopped_by_a_cancel(
    told: Stack, orders: Path, undisturbed: dict[str, Any]
) -> None:
    orders.write_text("hang")
    job = told.post(SAMPLE, diarise="true")["id"]

    def step(name: str) -> str:
        steps = told.client.get(f"/v1/jobs/{job}").json()["steps"]
        return str(next(one["status"] for one in steps if one["stage"] == name))

    until(lambda: step("diarise") == "running" and step("transcribe") == "done", 30, "the transcript to wait")
    child = told.children("diarise")[0]
    assert child.nice() > told.children("gpu1")[0].nice(), "whoever transcribes comes first"
    assert told.client.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelled"
    until(lambda: not child.is_running(), 30, "the diariser to end")
    two(orders, undisturbed)
    assert told.run(SAMPLE, diarise="true")["status"] == "done"


def test_a_queue_that_nobody_serves_costs_the_speakers_and_not_the_transcript(
    told: Stack, orders: Path, undisturbed: dict[str, Any]
) -> None:
    two(orders, undisturbed)
    told.kill("diarise")
    job = told.post(SAMPLE, diarise="true")["id"]

    def transcribed() -> bool:
        steps = {step["stage"]: step["status"] for step in told.client.get(f"/v1/jobs/{job}").json()["steps"]}
        return steps["transcribe"] == "done" and steps["diarise"] == "pending"

    until(transcribed, 60, "the transcript to wait")
    # A quarter of an hour later, as far as the installation knows.
    with redis.Redis.from_url(told.redis.url) as client:
        client.delete(f"{PREFIX}served:diarise")
        client.set(f"{PREFIX}unserved:diarise", "1.0")
        client.set(f"{PREFIX}epoch", "1")
    with Database(f"sqlite:///{told.folder / 'data' / 'longhand.db'}").write() as session:
        session.execute(update(Step).where(Step.job_id == job).values(sent_at=datetime(2020, 1, 1, tzinfo=UTC)))
    make_app(Settings(_env_file=None, redis_url=told.redis.url), {}).send_task("job.upkeep", queue="cpu")  # type: ignore[call-arg]
    done = told.wait(job)
    told.start_worker("diarise", "diarise", 1)
    with redis.Redis.from_url(told.redis.url) as client:
        until(lambda: client.exists(f"{PREFIX}served:diarise"), 60, "the worker to be back")
    assert done["status"] == "done"
    assert "no worker has served the queue diarise" in done["warnings"][-1]["detail"]
    assert told.transcript(job)["segments"] == undisturbed["segments"]


@pytest.fixture
def client(told: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{told.port}/v1", max_retries=0) as found:
        yield found


def voice(folder: Path, seconds: float) -> str:
    """A sample that the diariser of these tests takes for somebody by its length."""
    audio, rate = soundfile.read(SAMPLE, frames=round(16000 * seconds))
    soundfile.write(folder / "voice.wav", audio, rate)
    return "data:audio/wav;base64," + base64.b64encode((folder / "voice.wav").read_bytes()).decode()


def test_openai_speakers_are_recognised(
    told: Stack, client: openai.OpenAI, orders: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    two(orders, undisturbed)
    answer = client.audio.transcriptions.with_raw_response.create(
        file=SAMPLE,
        model="gpt-4o-transcribe-diarize",
        response_format="diarized_json",
        known_speaker_names=["Ada", "Bo", "Cy"],
        known_speaker_references=[voice(tmp_path, seconds) for seconds in (3, 9, 1)],
    )
    found = answer.parse()
    assert list(dict.fromkeys(segment.speaker for segment in found.segments)) == ["A", "Ada"]
    assert " ".join(segment.text for segment in found.segments) == found.text == undisturbed["text"]
    job = told.client.get(f"/v1/jobs/{answer.headers['X-Job-ID']}").json()
    assert [warn["detail"] for warn in job["warnings"] if warn["code"] == "known_speaker_ignored"] == [
        "The sample of the voice of Cy was not used. It is 1.0 s long; send 2 to 10 s."
    ]
    assert answer.headers["X-Speakers-Warning"].endswith("It is 1.0 s long; send 2 to 10 s.")
    (folder,) = (told.folder / "data" / "jobs").rglob(job["id"])

    def kept() -> set[str]:
        return {path.name for path in folder.rglob("*") if path.is_file()}

    # Whoever ends a job tells of it first and tidies up then.
    until(lambda: not kept() & {"0", "1", "2"}, 30, "the samples of voices to go")
    assert {"transcript.json", "turns.json"} <= kept()
    assert json.loads((folder / "turns.json").read_text())["voices"] == []


def test_openai_streams_segments_with_their_speakers(
    client: openai.OpenAI, orders: Path, undisturbed: dict[str, Any]
) -> None:
    two(orders, undisturbed)
    with client.audio.transcriptions.create(
        file=SAMPLE, model="whisper-1", response_format="diarized_json", stream=True, prompt="Streamed."
    ) as stream:
        events = list(stream)
    spoken = [event for event in events if event.type == "transcript.text.segment"]
    assert list(dict.fromkeys(event.speaker for event in spoken)) == ["A", "B"]
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == events[-1].text
    assert " ".join(event.text for event in spoken) == events[-1].text


def test_health_says_that_speakers_can_be_told_apart(told: Stack) -> None:
    found = told.client.get("/health").json()
    assert found["diarisation"]["status"] in {"ok", "idle"} and found["diarisation"]["detail"] is None
    assert found["checks"]["queue diarise"]["ok"]
