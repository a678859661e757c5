"""Stages whose failure costs no job: what they fall back on, and what is kept of people's voices."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import recognition
from pipelines.documents import Turns, Voice
from pipelines.errors import EngineError, LonghandError
from pipelines.stage import StageError, discover, plan
from pipelines.stages.diarise import MAX_KNOWN, sample_name
from store import jobs, steps
from store.database import Database
from store.steps import Begin, Piece
from tests.folder_files import FolderFiles


def test_a_failed_diarisation_leaves_turns_that_say_so(tmp_path: Path) -> None:
    stages = discover()
    instead = stages["diarise"].after(EngineError("The model broke; ask the operator."))
    instead.run(
        FolderFiles(instead, tmp_path), instead.pick({"diarise": True}), lambda *_: None, diarisers=None, limits=None
    )
    found = Turns.model_validate_json((tmp_path / "turns.json").read_bytes())
    assert (found.turns, found.voices, found.model) == ([], [], "")
    assert [(warn.code, warn.detail) for warn in found.warnings] == [
        ("diarisation_failed", "Speakers could not be told apart: The model broke; ask the operator.")
    ]
    with pytest.raises(StageError):
        instead.after(LonghandError("again"))
    with pytest.raises(StageError):
        stages["transcribe"].after(LonghandError("no"))


def test_speakers_are_told_apart_beside_the_chunks_and_before_they_are_joined() -> None:
    names = [stage.name for stage in plan(discover(), {"diarise": True, "formats": ["srt"], "language": "en"})]
    assert names.index("normalise") < names.index("diarise") < names.index("merge")
    assert discover()["diarise"].queue == "diarise"
    assert "diarise" not in [stage.name for stage in plan(discover(), {"formats": ["srt"], "language": "en"})]


def test_samples_of_voices_are_kept_no_longer_than_needed() -> None:
    stage = discover()["diarise"]
    assert {"voices.json", *(sample_name(n) for n in range(MAX_KNOWN))} <= set(stage.temporary)
    assert all(f"{name}?" in stage.reads for name in stage.temporary)


def test_work_whose_process_was_killed_may_be_worn_out(database: Database) -> None:
    new = jobs.NewJob(jobs.new_id(), "", {"diarise": True}, ["diarise", "merge"], "talk.mp3", 1, "")
    jobs.create(database, new)
    piece = Piece(new.id, "diarise")

    def begin(message: str, most: int = 4) -> Begin:
        return steps.begin(database, piece, task_id=message, worker="d@a", max_attempts=most, stale_seconds=60)[0]

    assert begin("first") is Begin.RUN
    steps.wear_out(database, piece, task_id="another", attempts=4)
    assert begin("second") is Begin.TAKEN, "only the message that ran it may say so"
    steps.wear_out(database, piece, task_id="first", attempts=4)
    assert begin("third") is Begin.EXHAUSTED
    assert begin("third", 1 << 30) is Begin.RUN


class TestRecognition:
    """Voices on a line: near ones are alike."""

    @staticmethod
    def similarity(one: Any, other: Any) -> float:
        return 1.0 - abs(one[0] - other[0])

    def recognised(self, voices: dict[str, float], known: dict[str, float]) -> dict[str, str]:
        heard = [Voice(speaker=name, embedding=[at]) for name, at in voices.items()]
        return recognition.recognise(heard, {name: [at] for name, at in known.items()}, self.similarity)

    def test_the_nearest_pairs_come_first(self) -> None:
        assert self.recognised({"x": 0.0, "y": 0.9}, {"Ada": 0.6, "Bo": 0.8}) == {"y": "Bo", "x": "Ada"}

    def test_strangers_stay_strangers(self) -> None:
        assert self.recognised({"x": 0.0, "y": 9.0}, {"Ada": 0.9}) == {"x": "Ada"}
        assert self.recognised({"x": 0.0}, {"Ada": 1.1}) == {}

    def test_nobody_has_two_names_and_no_name_two_people(self) -> None:
        assert self.recognised({"x": 0.0}, {"Ada": 0.1, "Bo": 0.2}) == {"x": "Ada"}
        assert self.recognised({"x": 0.0, "y": 0.3}, {"Ada": 0.1}) == {"x": "Ada"}
