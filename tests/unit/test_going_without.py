"""Stages whose failure costs no job: what they fall back on, and what is kept of people's voices."""

from collections.abc import Iterator
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
from webapp.diarising import PROBE, Diarising
from webapp.probes import Probes


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
    assert {sample_name(n) for n in range(MAX_KNOWN)} == set(stage.temporary)
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


class TestDiarising:
    """Whether requests for speakers are taken."""

    def found(self, chosen: Any, known: Any) -> tuple[Diarising, list[Any]]:
        answers = [known]

        def ask() -> bool:
            if isinstance(answers[0], Exception):
                raise answers[0]
            return bool(answers[0])

        probes = Probes({PROBE: ask})
        self.probes.append(probes)
        return Diarising(chosen, probes, discover()["diarise"]), answers

    @pytest.fixture(autouse=True)
    def closed(self) -> Iterator[None]:
        self.probes: list[Probes] = []
        yield
        for probes in self.probes:
            probes.close()

    @pytest.mark.parametrize(
        ("chosen", "known", "taken"),
        [("off", True, False), ("on", False, True), ("auto", True, True), ("auto", False, False)],
    )
    def test_the_operators_word_and_what_is_known(self, chosen: str, known: bool, taken: bool) -> None:
        missing = self.found(chosen, known)[0].missing()
        assert (missing is None) == taken
        assert missing is None or missing.endswith(".")

    def test_who_is_not_known_is_told_the_one_command(self) -> None:
        missing = self.found("auto", False)[0].missing()
        assert missing is not None and ("make diarise" in missing or "queue diarise" in missing)

    def test_a_redis_that_is_away_refuses_nobody(self) -> None:
        assert self.found("auto", ConnectionError())[0].missing() is None

    def test_what_was_known_is_not_forgotten_with_redis(self) -> None:
        diarising, answers = self.found("auto", True)
        assert diarising.missing() is None
        answers[0] = False
        assert diarising.missing() is None


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
