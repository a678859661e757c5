"""The stage as the pipeline runs it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from listening import quiet
from media_samples import P001_SECONDS, SAMPLES

from pipelines.documents import Document, Media
from pipelines.stage import Limits, check, discover
from pipelines.wav import WavReader


class Folder:
    """Files of a job in one folder."""

    item = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"

    def path(self, name: str) -> Path:
        return self.folder / name

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with self.path(name).open("rb") as stream:
            yield stream

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def all(self, pattern: str) -> Sequence[str]:
        return [path.name for path in self.folder.glob(pattern)]

    def read(self, name: str, kind: type[Any]) -> Any:
        return kind.model_validate_json(self.path(name).read_text())

    def target(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, document: Document) -> None:
        self.target(name).write_text(document.model_dump_json())


@pytest.fixture
def stage():
    return discover()["normalise"]


def test_its_declaration(stage):
    assert (stage.queue, stage.reads, stage.writes) == ("cpu", ("source",), ("audio.wav", "media.json"))
    assert stage.needs == {"limits"}
    assert stage.wanted({})
    check({"normalise": stage})


def test_it_writes_what_it_says(stage, tmp_path):
    files = Folder(tmp_path)
    files.path("source").write_bytes((SAMPLES / "p001.webm").read_bytes())
    stage.run(files, stage.pick({}), quiet, limits=Limits(), models=None)
    media = files.read("media.json", Media)
    with files.open("audio.wav") as stream:
        assert WavReader(stream).duration == media.duration == pytest.approx(P001_SECONDS, abs=0.06)
    assert (media.format, media.codec) == ("webm", "vorbis")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio.wav", "media.json", "source"]


def test_it_may_run_again(stage, tmp_path):
    files = Folder(tmp_path)
    files.path("source").write_bytes((SAMPLES / "p001.ogg").read_bytes())
    files.target("audio.wav").write_bytes(bytes(1_000_000))
    stage.run(files, stage.pick({}), quiet, limits=Limits())
    assert files.path("audio.wav").stat().st_size < 300_000


def test_channels_stay_apart_if_asked_for(stage, tmp_path):
    files = Folder(tmp_path)
    files.path("source").write_bytes((SAMPLES / "p001.mp3").read_bytes())
    stage.run(files, stage.pick({"channels": "split"}), quiet, limits=Limits())
    with files.open("audio.wav") as stream:
        reader = WavReader(stream)
        assert (reader.channels, reader.duration) == (2, files.read("media.json", Media).duration)
