"""The official OpenAI client against an installation in which transcribing takes its time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import recordings

from tests.integration.test_openai import SAMPLE, client_of, said
from tests.stack import ROOT, Stack, until
from tests.transcripts import word_error_rate

PLUGINS = ROOT / "tests" / "plugins"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation with two processes of the API, in which every chunk takes more than a second longer."""
    folder = tmp_path_factory.mktemp("slow")
    env = {
        **{"PLUGINS": str(PLUGINS), "WHISPER_ENGINE": "slow", "LONGHAND_TEST_DEADLY": str(folder / "fuse")},
        **{"LONGHAND_TEST_SLOW": "1.2", "LONGHAND_TEST_SLOW_LOG": str(folder / "slow.txt"), "WEB_WORKERS": "2"},
    }
    with Stack(folder, cpu_children=1, **env) as running:
        yield running


def transcriptions(slow: Stack) -> int:
    log = slow.folder / "slow.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_client_that_loses_patience_causes_one_transcription(slow: Stack) -> None:
    before = transcriptions(slow)
    # The last try may come too early as well.
    with client_of(slow, timeout=1, max_retries=2) as client, contextlib.suppress(openai.APITimeoutError):
        said(client)
    jobs = slow.client.get("/v1/jobs").json()["jobs"]
    assert len(jobs) == 1
    assert slow.wait(jobs[0]["id"])["status"] == "done"
    with client_of(slow) as client:  # what it missed is still there for it
        answer = client.audio.transcriptions.with_raw_response.create(file=SAMPLE, model="whisper-1")
    assert answer.headers["X-Job-ID"] == jobs[0]["id"]
    assert transcriptions(slow) - before == 1


def test_text_is_sent_as_chunks_finish(slow: Stack, tmp_path: Path) -> None:
    made = recordings.recording(65, seed=5)
    path = made.write(tmp_path / "long.wav")
    with client_of(slow) as client, path.open("rb") as file:
        stream = client.audio.transcriptions.create(
            file=file, model="whisper-1", stream=True, extra_body={"chunk_seconds": 30}
        )
        job = stream.response.headers["X-Job-ID"]
        events = iter(stream)
        first = next(events)
        assert first.type == "transcript.text.delta"
        assert slow.client.get(f"/v1/jobs/{job}").json()["status"] == "running"
        rest = list(events)
    assert rest[-1].type == "transcript.text.done"
    assert rest[-1].text == slow.transcript(job)["text"]
    assert word_error_rate(made.text, rest[-1].text) < 0.1


def test_an_error_in_the_middle_of_a_stream_is_raised(slow: Stack, tmp_path: Path) -> None:
    path = recordings.recording(40, seed=6).write(tmp_path / "cancelled.wav")
    with client_of(slow) as client, path.open("rb") as file:
        stream = client.audio.transcriptions.create(file=file, model="whisper-1", stream=True)
        job = stream.response.headers["X-Job-ID"]
        until(lambda: slow.client.get(f"/v1/jobs/{job}").json()["status"] == "running", 60, "the job to run")
        slow.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        with pytest.raises(openai.APIError, match="cancelled"):
            list(stream)
