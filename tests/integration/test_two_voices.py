"""The demo diariser and the demo model together, through a whole installation: who said which word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.training.diariser.conversations import Conversation, conversation
from models.training.diariser.word_scores import word_score
from pipelines.engines.diarisers import INSTALL, installed
from tests.stack import ROOT, Stack

pytestmark = pytest.mark.skipif(not installed(), reason=f"pyannote.audio is not installed: {INSTALL}")

TWO_SPEAKERS = ROOT / "tests" / "samples" / "two_speakers.wav"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("apart"), diarise=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def said() -> Conversation:
    return conversation(50, seed=11, voices=2)


@pytest.fixture(scope="module")
def recorded(said: Conversation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return said.write(tmp_path_factory.mktemp("said") / "two.wav")


def told(stack: Stack, path: Path, **options: str) -> dict[str, Any]:
    job = stack.run(path, diarise="true", temperature="0", seconds=240, **options)
    assert job["status"] == "done", job["error"]
    assert {warn["code"] for warn in job["warnings"]} == {"demo_model", "demo_diariser"}
    return stack.transcript(job["id"])


def test_words_are_given_to_who_said_them_in_every_chunk(apart: Stack, said: Conversation, recorded: Path) -> None:
    found = told(apart, recorded, chunk_seconds="30")
    assert len(found["speakers"]) == 2
    words = [word for segment in found["segments"] for word in segment["words"]]
    score = word_score(said, [(word["word"], word["speaker"]) for word in words])
    assert score.heard >= 0.9 * score.said
    assert score.accuracy >= 0.9, score
    assert told(apart, recorded, chunk_seconds="30")["segments"] == found["segments"], "the same again"


@pytest.mark.parametrize(("options", "count"), [({"num_speakers": "3"}, 3), ({"max_speakers": "1"}, 1)])
def test_how_many_there_are_may_be_said(apart: Stack, recorded: Path, options: dict[str, str], count: int) -> None:
    assert len(told(apart, recorded, **options)["speakers"]) == count


def test_people_on_the_telephone_run_through(apart: Stack) -> None:
    found = told(apart, TWO_SPEAKERS)
    assert 1 <= len(found["speakers"]) <= 3
    assert apart.client.get("/health").json()["diarisation"] == {"status": "ok", "model": "demo", "detail": None}
