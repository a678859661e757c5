"""A stage's declared files, fetched from and kept to the store."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from pipelines.documents import Document
from pipelines.stage import Stage, StageError
from store.files import Storage
from store.models import WHOLE
from store.steps import Piece

_D = TypeVar("_D", bound=Document)


class WorkFiles:
    """Implements ``pipelines.stage.Files`` over the store's files and a scratch folder.

    Args:
        storage: Where the job's files are.
        stage: Whose declaration holds.
        piece: Which piece of which job's work it is.
        scratch: A folder for this run alone, made at the beginning of the block and removed at its end.
        sums: SHA-256 of the files of which it is known, by name; what is fetched is held against it.
    """

    def __init__(
        self, storage: Storage, stage: Stage, piece: Piece, scratch: Path, *, sums: Mapping[str, str] | None = None
    ) -> None:
        self._storage = storage
        self._stage = stage
        self._job_id = piece.job_id
        self._sums = sums or {}
        self.item = None if piece.item == WHOLE else piece.item
        self._folder = scratch
        self._out = scratch / "out"
        self.scratch = scratch / "work"

    def __enter__(self) -> Self:
        self.scratch.mkdir(parents=True)
        self._out.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """The local path of a whole declared input."""
        return self._storage.fetch(self._job_id, self._declared(name), self.scratch, sha256=self._sums.get(name))

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A seekable stream of a declared input."""
        return self._storage.open(self._job_id, self._declared(name))

    def has(self, name: str) -> bool:
        """Whether an input is there."""
        return self._storage.exists(self._job_id, self._declared(name))

    def all(self, pattern: str) -> Sequence[str]:
        """The names a declared pattern stands for, by number."""
        folder = self._declared(pattern).rpartition("/")[0]
        names = [n for n in self._storage.names(self._job_id, folder) if fnmatchcase(n, pattern)]
        return sorted(names, key=lambda n: (len(n), n))

    def read(self, name: str, kind: type[_D]) -> _D:
        """A declared input as a document."""
        return kind.model_validate_json(self._storage.read(self._job_id, self._declared(name)))

    def target(self, name: str) -> Path:
        """Where to write a declared output."""
        name = name.replace("*", str(self.item)) if self.item is not None else name
        if not any(fnmatchcase(name, pattern) for pattern in self._stage.writes):
            raise StageError(f"stage {self._stage.name} does not declare that it writes {name}")
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, document: Document) -> None:
        """Write a document as a declared output."""
        self.target(name).write_text(document.model_dump_json(), encoding="utf-8")

    def keep(self) -> None:
        """Move what was written to the store."""
        for path in sorted(p for p in self._out.rglob("*") if p.is_file()):
            self._storage.put(self._job_id, path.relative_to(self._out).as_posix(), path)

    def _declared(self, name: str) -> str:
        patterns = [p.rstrip("?") for p in self._stage.reads]
        if name not in patterns and not any(fnmatchcase(name, pattern) for pattern in patterns):
            raise StageError(f"stage {self._stage.name} does not declare that it reads {name}")
        return name
