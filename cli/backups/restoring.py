"""Put a backup back: the files first, then the record, which makes it all true at once."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from cli.backups.manifest import Line
from cli.backups.progress import Told, in_turn
from cli.backups.reading import Backup, BackupTrouble
from cli.backups.taking import AT_ONCE
from store import Store, holdings, refill, schema

_NEWER = "The backup is of a newer version of Longhand ({}): use that one, or a newer."
_OCCUPIED = (
    "This installation has jobs, keys or files already: restore into an empty one, or give --replace to have "
    "everything deleted that is in this one."
)


@dataclass(frozen=True)
class Restored:
    """What was put back."""

    rows: int
    unfinished: int
    """Jobs that go on."""


def fits(store: Store, backup: Backup, *, replace: bool) -> None:
    """See that a backup can be put into an installation, before anything is changed.

    Raises:
        BackupTrouble: It is of a newer version, or there is something already.
        StorageFull: There is too little room for the files.
    """
    if not schema.knows(backup.manifest.revision):
        raise BackupTrouble(_NEWER.format(backup.manifest.longhand))
    if replace:
        return
    # What a restore that was interrupted has left is written over.
    others = set(holdings.folders(store.files)) - {line.job for line in backup.lines()}
    if others or refill.occupied(store.database):
        raise BackupTrouble(_OCCUPIED)
    store.files.check_room(backup.manifest.files.bytes)


def restore(store: Store, backup: Backup, *, replace: bool, remade: Collection[str], told: Told) -> Restored:
    """Put a backup that fits and has been checked into an installation that is not running.

    Args:
        store: The installation.
        backup: The backup.
        replace: Delete what is there.
        remade: Stages whose files are not in backups.
        told: Is told of files that have been copied.

    Raises:
        BackupTrouble: It has been changed meanwhile.
        StorageFull: There is too little room for the files.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        copy = partial(_copy, store, backup, anew=replace)
        for line, size in in_turn(pool, copy, backup.lines()):
            told(len(line.files), size)
    tables = backup.manifest.tables
    try:
        unfinished = refill.refill(
            store.database,
            backup.manifest.revision,
            {table: partial(backup.rows, table) for table in tables},
            remade=remade,
            without=backup.manifest.deleted,
        )
    except refill.Strange as error:
        raise BackupTrouble("The backup is damaged (its record does not fit its version): take another.") from error
    if replace:
        for job_id in set(holdings.folders(store.files)) - {line.job for line in backup.lines()}:
            store.files.delete(job_id)
    return Restored(sum(rows.count for rows in tables.values()), unfinished)


def _copy(store: Store, backup: Backup, line: Line, *, anew: bool) -> tuple[Line, int]:
    if anew:
        store.files.delete(line.job)
    for one in line.files:
        if holdings.copy_in(store.files, line.job, one.name, backup.path(line.job, one.name)) != one.sha256:
            raise BackupTrouble("The backup changed while it was read: keep others from it, and begin again.")
    return line, sum(one.size for one in line.files)
