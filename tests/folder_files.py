"""A stage's files in one folder: `FolderFiles(stage, folder)`, for tests that run a stage without the store."""

from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, TypeVar

from pipelines.documents import Document
from pipelines.stage import Stage

_D = TypeVar("_D", bound=Document)


class FolderFiles:
    """Reads and writes only what the stage declared."""

    def __init__(self, stage: Stage, folder: Path, *, item: int | None = None) -> None:
        self.item = item
        self.scratch = folder / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._stage = stage
        self._folder = folder

    def path(self, name: str) -> Path:
        assert any(fnmatchcase(name, pattern.rstrip("?")) for pattern in self._stage.reads), name
        return self._folder / name

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.path(name).open("rb")

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def all(self, pattern: str) -> list[str]:
        names = [path.relative_to(self._folder).as_posix() for path in self._folder.glob(pattern)]
        return sorted(names, key=lambda name: (len(name), name))

    def read(self, name: str, kind: type[_D]) -> _D:
        return kind.model_validate_json(self.path(name).read_bytes())

    def target(self, name: str) -> Path:
        assert any(fnmatchcase(name, pattern) for pattern in self._stage.writes), name
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, document: Document) -> None:
        self.target(name).write_text(document.model_dump_json(), encoding="utf-8")
