"""The export stage, over real files in a folder."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydantic import ValidationError
from transcripts import say

from pipelines import transcripts
from pipelines.documents import Document
from pipelines.formats import FORMATS, render
from pipelines.formats.style import PRESETS, ContradictingOptions
from pipelines.stage import Stage, discover, options_model
from pipelines.stages.export import Options, export, export_name


class Folder:
    """A stage's files in one folder."""

    item = None

    def __init__(self, root: Path) -> None:
        self.root = self.scratch = root

    def path(self, name: str) -> Path:
        return self.root / name

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.path(name).open("rb")

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def all(self, pattern: str) -> Sequence[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def read(self, name: str, kind: Any) -> Any:
        return kind.model_validate_json(self.path(name).read_bytes())

    def target(self, name: str) -> Path:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        return self.path(name)

    def write(self, name: str, document: Document) -> None:
        self.target(name).write_text(document.model_dump_json(), encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    said = say("When I was young, my father took me to the Größe 語. (3) Yes.")
    folder.target("transcript.json").write_text("".join(transcripts.lines(said, said.segments)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stage() -> Stage:
    return discover()["export"]


def quiet(done: float, total: float) -> None:
    assert 0 <= done <= total


def test_writes_what_was_asked_for_and_nothing_else(files: Folder) -> None:
    export(files, Options(formats=["srt", "json"]), quiet)
    assert files.all("exports/*") == ["exports/transcript.json", "exports/transcript.srt"]


def test_every_format_is_what_render_gives(files: Folder) -> None:
    export(files, Options(formats=list(FORMATS), subtitle_preset="vertical"), quiet)
    t = say("When I was young, my father took me to the Größe 語. (3) Yes.")
    for name in FORMATS:
        expected = render(t, name, PRESETS["vertical"]).encode("utf-8")
        assert files.path(export_name(name)).read_bytes() == expected


def test_the_stage_declares_a_file_for_each_format(stage: Stage) -> None:
    assert stage.queue == "cpu"
    assert stage.reads == ("transcript.json",)
    assert set(stage.writes) == {f"exports/transcript.{name}" for name in ("srt", "vtt", "txt", "tsv", "json")}


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        ({}, ["srt", "vtt"]),
        ({"formats": ""}, ["srt", "vtt"]),
        ({"formats": "srt, VTT,.txt,srt,"}, ["srt", "vtt", "txt"]),
        ({"formats": ["json", "tsv,json"]}, ["json", "tsv"]),
        ({"formats": []}, []),
        ({"formats": "none"}, []),
        ({"formats": [" None "]}, []),
    ],
)
def test_formats_may_be_a_list_or_have_commas(stage: Stage, given: dict[str, Any], formats: list[str]) -> None:
    assert stage.pick(given).formats == formats  # type: ignore[attr-defined]
    # The request schema, which is put together from the fields of all stages, reads them alike.
    assert options_model({"export": stage})(**given).formats == formats  # type: ignore[attr-defined]
    assert stage.wanted(given) == bool(formats)


@pytest.mark.parametrize("formats", ["docx", "srt,docx", ["srt", "docx"], "docx,none"])
def test_an_unknown_format_is_refused_with_those_there_are(stage: Stage, formats: Any) -> None:
    for model in (stage.options, options_model({"export": stage})):
        with pytest.raises(ValidationError, match=r"no format 'docx'; choose from json, srt, tsv, txt, vtt"):
            model.model_validate({"formats": formats})


@pytest.mark.parametrize("formats", [5, [1], [["srt"]], {"srt": 1}, None])
def test_formats_of_another_type_are_refused(stage: Stage, formats: Any) -> None:
    with pytest.raises(ValidationError):
        stage.pick({"formats": formats})


def test_contradictions_are_seen_when_the_plan_is_made(stage: Stage) -> None:
    with pytest.raises(ContradictingOptions):
        stage.wanted({"min_cue_seconds": 5, "max_cue_seconds": 2})
