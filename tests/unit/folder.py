"""The files of a stage in a plain folder, for tests that run one stage alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from pipelines.documents import Document
from pipelines.stage import Files

D = TypeVar("D", bound=Document)


class Folder(Files):
    """Everything in one folder; a name that was not declared is a KeyError, as it is with a worker."""

    def __init__(self, root: Path, reads: Sequence[str], writes: Sequence[str], *, item: int | None = None) -> None:
        self.root, self.item = root, item
        self.scratch = root / "scratch"
        self._reads = {name.rstrip("?") for name in reads}
        self._writes = set(writes)

    def path(self, name: str) -> Path:
        if name not in self._reads and "segments/*.json" not in self._reads:
            raise KeyError(name)
        return self.root / name

    def open(self, name: str) -> BinaryIO:
        return self.path(name).open("rb")

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def all(self, pattern: str) -> Sequence[str]:
        if pattern not in self._reads:
            raise KeyError(pattern)
        found = sorted(self.root.glob(pattern), key=lambda path: int(path.stem))
        return [path.relative_to(self.root).as_posix() for path in found]

    def read(self, name: str, kind: type[D]) -> D:
        return kind.model_validate_json(self.path(name).read_bytes())

    def target(self, name: str) -> Path:
        if name not in self._writes:
            raise KeyError(name)
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        return self.root / name

    def write(self, name: str, document: Document) -> None:
        self.target(name).write_text(document.model_dump_json())
