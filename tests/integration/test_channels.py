"""A recording with a person in each channel, from the upload to the subtitles."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import recordings
from tests.integration.test_events import events
from tests.stack import Stack
from tests.transcripts import check_timeline, plain, word_error_rate

ASKED = [("en-us", "Can you sign the document later?"), ("en-us", "The first question is about security.")]
ANSWERED = [("en-us+f3", "Thomas sent the letter yesterday."), ("en-us+f3", "I agree with Maria.")]


def stereo(path: Path, left: NDArray[np.float32], right: NDArray[np.float32]) -> Path:
    samples = np.zeros((max(len(left), len(right)), 2), np.float32)
    samples[: len(left), 0], samples[: len(right), 1] = left, right
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(recordings.SAMPLE_RATE)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Two people who take turns; the second answers in the first one's pauses. And when each sentence begins."""
    one = recordings.conversation(ASKED, 3, gap=(3.5, 3.5))
    other = recordings.conversation(ANSWERED, 4, gap=(3.0, 3.0))
    late = round((one.sentences[0].end + 0.5 - other.sentences[0].start) * recordings.SAMPLE_RATE)
    path = stereo(
        tmp_path_factory.mktemp("channels") / "call.wav",
        one.audio,
        np.concatenate([np.zeros(late, np.float32), other.audio]),
    )
    return path, [one.sentences[0].start, one.sentences[0].end + 0.5, one.sentences[1].start]


@pytest.fixture(scope="module")
def job_id(stack: Stack, talk: tuple[Path, list[float]]) -> str:
    made = stack.post(talk[0], channels="split", language="en", formats="srt,vtt,txt")["id"]
    assert stack.wait(made)["status"] == "done"
    return str(made)


def lines(transcript: dict[str, Any]) -> list[tuple[str, str]]:
    return [(segment["speaker"], plain(segment["text"])) for segment in transcript["segments"]]


def test_each_channel_is_a_speaker_and_answers_stand_in_between(
    stack: Stack, job_id: str, talk: tuple[Path, list[float]]
) -> None:
    transcript = stack.transcript(job_id)
    check_timeline(transcript)
    one, other = (" ".join(text for who, text in lines(transcript) if who == f"Channel {number}") for number in (1, 2))
    assert word_error_rate(" ".join(text for _, text in ASKED), one) < 0.2
    assert word_error_rate(" ".join(text for _, text in ANSWERED), other) < 0.2
    assert [who for who, _ in lines(transcript)][:3] == ["Channel 1", "Channel 2", "Channel 1"]
    for segment, start in zip(transcript["segments"], talk[1], strict=False):
        assert abs(segment["start"] - start) < 0.6
    assert {word["speaker"] for s in transcript["segments"] if s["speaker"] == "Channel 2" for word in s["words"]} == {
        "Channel 2"
    }
    assert [(one["id"], one["name"]) for one in transcript["speakers"]] == [
        ("Channel 1", "Channel 1"),
        ("Channel 2", "Channel 2"),
    ]
    assert all(2 < one["seconds"] < 7 for one in transcript["speakers"])
    assert transcript["text"] == " ".join(segment["text"] for segment in transcript["segments"])


def test_events_are_the_transcripts_segments(stack: Stack, talk: tuple[Path, list[float]], job_id: str) -> None:
    made = stack.post(talk[0], channels="split", language="en", chunk_seconds=30)["id"]
    with events(stack, made) as stream:
        found = [data for _, name, data in stream if name == "segment"]
    assert found == stack.transcript(made)["segments"]
    assert [(one["speaker"], one["text"]) for one in found] == [
        (one["speaker"], one["text"]) for one in stack.transcript(job_id)["segments"]
    ]


def test_names_stand_in_every_format(stack: Stack, job_id: str) -> None:
    address = f"/v1/jobs/{job_id}"
    before = stack.client.get(f"{address}/transcript.vtt").text
    assert "<v Channel 1>" in before and "<v Channel 2>" in before
    refused = stack.client.patch(f"{address}/speakers", json={"SPEAKER_00": "Ada"})
    assert refused.status_code == 400 and "there are Channel 1, Channel 2" in refused.json()["detail"]
    renamed = stack.client.patch(f"{address}/speakers", json={"Channel 1": "Ada"})
    assert [one["name"] for one in renamed.json()["speakers"]] == ["Ada", "Channel 2"]
    texts = {name: stack.client.get(f"{address}/transcript.{name}").text for name in ("vtt", "srt", "txt", "json")}
    assert "<v Ada>" in texts["vtt"] and "<v Channel 2>" in texts["vtt"] and "Channel 1" not in texts["vtt"]
    for name in ("srt", "txt"):
        assert "Ada: " in texts[name] and "Channel 2: " in texts[name] and "Channel 1" not in texts[name]
    assert json.loads(texts["json"])["speakers"][0] == {
        "id": "Channel 1",
        "name": "Ada",
        "seconds": stack.transcript(job_id)["speakers"][0]["seconds"],
    }


def test_two_real_people_who_speak_at_once(stack: Stack, samples: Path) -> None:
    """The demo model knows none of these words; when and in which channel somebody speaks, it does know."""
    made = stack.post(samples / "stereo_diarization.wav", channels="split", language="en")
    job = stack.wait(made["id"])
    assert job["status"] == "done"
    assert [step["total"] for step in job["steps"] if step["stage"] == "transcribe"] == [2]
    transcript = stack.transcript(made["id"])
    check_timeline(transcript)
    assert transcript["speech_seconds"] > transcript["duration"] == 5.0
    ends = {
        name: max(s["end"] for s in transcript["segments"] if s["speaker"] == name) for name, _ in lines(transcript)
    }
    assert ends["Channel 2"] < 3.5 < ends["Channel 1"]


def test_the_same_channel_twice_is_one_speaker_with_a_warning(stack: Stack, tmp_path: Path) -> None:
    said = recordings.utterance(7)
    made = stack.post(stereo(tmp_path / "mono.wav", said.audio, said.audio), channels="split", language="en")
    job = stack.wait(made["id"])
    assert "channels_alike" in [warning["code"] for warning in job["warnings"]]
    transcript = stack.transcript(made["id"])
    assert {who for who, _ in lines(transcript)} == {"Channel 1"}
    assert word_error_rate(said.text, transcript["text"]) < 0.3


def test_more_channels_than_can_be_told_apart_fail_with_what_to_do(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(17)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(17 * 2 * 8000))
    job = stack.wait(stack.post(path, channels="split")["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "invalid_option")
    assert "17 channels" in job["error"]["detail"] and "without channels=split" in job["error"]["detail"]
