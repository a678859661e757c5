"""An existing backup: found, checked, read."""

import gzip
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.backups.manifest import FILES, LIST, MANIFEST, RECORD, SECRETS, Kept, Line, Manifest
from cli.backups.progress import Told, in_turn
from store.holdings import measure
from store.snapshot import Row

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z")
"""Of a folder with a backup that is whole; sorted by name they are sorted by time."""


class BackupTrouble(Exception):
    """A backup cannot be made, read or put back; the message says what to do."""


@dataclass
class Backup:
    """A backup that is whole, if perhaps damaged since."""

    folder: Path
    manifest: Manifest
    _places: dict[str, int] = field(default_factory=dict)

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table.

        Raises:
            BackupTrouble: They cannot be read.
        """
        try:
            with gzip.open(self._record(table), "rt", encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise self._damaged(f"{RECORD}/{table}.jsonl.gz") from error

    def lines(self) -> Iterator[Line]:
        """The list of files, job by job; without those of jobs that were deleted.

        Raises:
            BackupTrouble: It cannot be read.
        """
        deleted = set(self.manifest.deleted)
        try:
            with (self.folder / LIST).open(encoding="utf-8") as lines:
                for text in lines:
                    if (line := Line.model_validate_json(text)).job not in deleted:
                        yield line
        except (OSError, ValueError) as error:
            raise self._damaged(LIST) from error

    def index(self) -> None:
        """Note where in the list each job is, for ``of``.

        Raises:
            BackupTrouble: It cannot be read.
        """
        at = 0
        try:
            with (self.folder / LIST).open("rb") as lines:
                for line in lines:
                    self._places[json.loads(line)["job"]] = at
                    at += len(line)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(LIST) from error

    def of(self, job_id: str) -> dict[str, Kept]:
        """The files of one job, by name; none if it has none here, or the list has changed since it was noted."""
        if job_id not in self._places:
            return {}
        try:
            with (self.folder / LIST).open("rb") as lines:
                lines.seek(self._places[job_id])
                return {one.name: one for one in Line.model_validate_json(lines.readline()).files}
        except (OSError, ValueError):
            return {}

    def path(self, job_id: str, name: str) -> Path:
        """Where the copy of a file is.

        Raises:
            BackupTrouble: There is no file of the backup's own.
        """
        path = self.folder / FILES / job_id / name
        try:
            if stat.S_ISREG(path.lstat().st_mode) and path.resolve().is_relative_to((self.folder / FILES).resolve()):
                return path
        except OSError as error:
            raise self._damaged(f"{FILES}/{job_id}/{name}") from error
        raise self._damaged(f"{FILES}/{job_id}/{name}")

    def check_record(self) -> None:
        """See that everything is what was written, but for the files of jobs.

        Raises:
            BackupTrouble: Something is missing or is not.
        """
        for table, rows in self.manifest.tables.items():
            self._compare(self._record(table), rows.sha256)
        self._compare(self.folder / LIST, self.manifest.files.sha256)
        if self.manifest.secrets:
            self._compare(self.folder / SECRETS, self.manifest.secrets)

    def check_files(self, told: Told, damaged: Callable[[str], None]) -> None:
        """Read all files of jobs.

        Args:
            told: Is told of those that are sound.
            damaged: Is told the name of each that is missing or is not what was written.
        """
        with ThreadPoolExecutor(max_workers=4) as pool:
            for line, sound in in_turn(pool, self._sound, self.lines()):
                for one in line.files:
                    if one not in sound:
                        damaged(f"{FILES}/{line.job}/{one.name}")
                told(len(sound), sum(one.size for one in sound))

    def is_sound(self, job_id: str, one: Kept) -> bool:
        """Whether the copy of a file is what was written."""
        try:
            return measure(self.path(job_id, one.name))[1] == one.sha256
        except (OSError, BackupTrouble):
            return False

    def _sound(self, line: Line) -> tuple[Line, list[Kept]]:
        return line, [one for one in line.files if self.is_sound(line.job, one)]

    def _compare(self, path: Path, sha256: str) -> None:
        try:
            if measure(path)[1] == sha256:
                return
        except OSError as error:
            raise self._damaged(str(path.relative_to(self.folder))) from error
        raise self._damaged(str(path.relative_to(self.folder)))

    def _record(self, table: str) -> Path:
        return self.folder / RECORD / f"{table}.jsonl.gz"

    def _damaged(self, name: str) -> BackupTrouble:
        return BackupTrouble(f"The backup is damaged ({name} is missing or has changed): take another.")


def whole(folder: Path) -> list[Path]:
    """The whole backups in a folder, the oldest first."""
    return sorted(one for one in folder.glob("*Z") if NAME.fullmatch(one.name) and (one / MANIFEST).is_file())


def find(folder: Path) -> Backup:
    """The backup in a folder, or the newest of those in it.

    Raises:
        BackupTrouble: There is none, or none that this version reads.
    """
    if not (folder / MANIFEST).is_file():
        found = whole(folder)
        if not found:
            raise BackupTrouble("There is no whole backup here: name a folder that `longhand backup` has written to.")
        folder = found[-1]
    text = (folder / MANIFEST).read_bytes()
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict) and content.get("format") not in (None, 1):
            raise BackupTrouble("The backup is of a newer version of Longhand: use that one, or a newer.")
        return Backup(folder, Manifest.model_validate_json(text))
    except (ValueError, ValidationError) as error:
        raise BackupTrouble(f"The backup is damaged ({MANIFEST} cannot be read): take another.") from error
