"""Put a backup back: the files first, then the record, which makes it all true at once."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cli.backups.manifest import FILES, Kept, Line
from cli.backups.progress import Told, in_turn
from cli.backups.reading import Backup, BackupTrouble
from cli.backups.taking import AT_ONCE
from store import Store, holdings, ownership, refill, schema
from store.file_errors import StorageAway, StorageFull, StorageRefused
from store.forgotten import folders

_NEWER = "The backup is of a newer version of Longhand ({}): use that one, or a newer."
_OCCUPIED = (
    "This installation has jobs, keys or files already: restore into an empty one, or give --replace to have "
    "everything deleted that is in this one."
)
DAMAGED = (
    "Files of the backup are damaged ({:,}, named above). The record was not restored. Take another backup, or give "
    "--skip-damaged to do without these files."
)


@dataclass(frozen=True)
class Restored:
    """What was put back."""

    rows: int
    unfinished: int
    """Jobs that go on."""
    lost: int
    """Files that were damaged in the backup."""


@dataclass(frozen=True)
class Asked:
    """How a backup is to be put back."""

    replace: bool
    """Delete what is there."""
    skip_damaged: bool
    """Do without files that are damaged."""
    remade: Collection[str]
    """Stages whose files are not in backups."""


def fits(store: Store, backup: Backup, *, replace: bool) -> None:
    """See that a backup can be put into an installation, before anything is changed.

    Raises:
        BackupTrouble: It is of a newer version, or there is something already.
        StorageFull: There is too little room for the files.
    """
    if not schema.knows(backup.manifest.revision):
        raise BackupTrouble(_NEWER.format(backup.manifest.longhand))
    jobs, there = {line.job for line in backup.lines()}, set(holdings.folders(store.files))
    # What a restore that was interrupted has left is gone on with.
    if not replace and (there - jobs or refill.occupied(store.database)):
        raise BackupTrouble(_OCCUPIED)
    taken = sum(one.size for job_id in there & jobs for one in holdings.held(store.files, job_id))
    store.files.check_room(max(0, backup.manifest.files.bytes - taken))


def restore(store: Store, backup: Backup, asked: Asked, *, told: Told, damaged: Callable[[str], None]) -> Restored:
    """Put a backup that fits, and whose record is sound, into an installation that is not running.

    Args:
        store: The installation.
        backup: The backup.
        asked: How.
        told: Is told of files that are back.
        damaged: Is told the name of each file that is not what was written, and so is not put back.

    Raises:
        BackupTrouble: Files are damaged; the others are back, the record is as it was.
        StorageFull: There is too little room for the files.
    """
    lost = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line, sound in in_turn(pool, partial(_copy, store, backup), backup.lines()):
            for one in line.files:
                if one not in sound:
                    lost += 1
                    damaged(f"{FILES}/{line.job}/{one.name}")
            told(len(sound), sum(one.size for one in sound))
    if lost and not asked.skip_damaged:
        raise BackupTrouble(DAMAGED.format(lost))
    tables = backup.manifest.tables
    try:
        unfinished = refill.refill(
            store.database,
            backup.manifest.revision,
            {table: partial(backup.rows, table) for table in tables},
            remade=asked.remade,
            without=backup.manifest.deleted,
        )
    except refill.Strange as error:
        raise BackupTrouble("The backup is damaged (its record does not fit its version): take another.") from error
    # All is back by now: where this fails the sweep says what to do.
    with suppress(StorageAway, StorageFull, StorageRefused):
        ownership.take_over(store.database, store.files)
    if asked.replace:
        # What else lies there is nobody's of ours.
        for job_id in set(folders(store.files)) - {line.job for line in backup.lines()}:
            store.files.delete(job_id)
    return Restored(sum(rows.count for rows in tables.values()), unfinished, lost)


def _copy(store: Store, backup: Backup, line: Line) -> tuple[Line, list[Kept]]:
    """Give a job the files it had and no others; which of them are sound."""
    holdings.keep_only(store.files, line.job, {one.name for one in line.files})
    return line, [one for one in line.files if _copy_one(store, backup, line.job, one)]


def _copy_one(store: Store, backup: Backup, job_id: str, one: Kept) -> bool:
    if _is_there(store, job_id, one):
        return True
    try:
        if holdings.copy_in(store.files, job_id, one.name, backup.path(job_id, one.name)) == one.sha256:
            return True
    except (OSError, StorageAway, BackupTrouble):
        # Is it the disk with the backup that cannot be read, or the other that cannot be written?
        if backup.is_sound(job_id, one):
            raise
    store.files.remove(job_id, one.name)
    return False


def _is_there(store: Store, job_id: str, one: Kept) -> bool:
    """Whether a file need not be copied: by a restore that was interrupted, or because it was never lost."""
    if store.files.local is None:
        return False
    path = Path(store.files.address(job_id, one.name))
    try:
        return path.stat().st_size == one.size and holdings.measure(path)[1] == one.sha256
    except OSError:
        return False
