"""Whose files those in a storage are: a name in the record and the same beside the files.

A sweep deletes what no record knows. With the record of one installation and the files of another, as after a
mistake in a setting, that would be everything.
"""

import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path

from sqlalchemy import insert, inspect, select
from sqlalchemy.exc import IntegrityError

from store.database import Database
from store.file_errors import StorageAway
from store.files import HERE, Storage
from store.forgotten import folders, unchanged
from store.installation_row import ONLY, Installation
from store.jobs import new_id, now

MARK = "installation"
"""The file beside those of the jobs, in the folder ``health``."""
_OTHER = (
    "The files in STORAGE_URL belong to another installation than DATABASE_URL: see that both are the ones you mean. "
    f"If they are, and no other installation keeps files there, write {{}} into the file {HERE}/{MARK} there."
)
_UNKNOWN = (
    "STORAGE_URL has files of jobs, none of which DATABASE_URL knows: see that both are the ones you mean. If they "
    f"are, and no other installation keeps files there, write {{}} into the file {HERE}/{MARK} there."
)


class NotOurs(Exception):
    """The files are another installation's, as far as can be seen; a sentence for the operator."""


def name_of(database: Database) -> str:
    """The installation's name in the record; made if there is none, by one of all that try at once."""
    while (found := _found(database)) is None:
        row = {"which": ONLY, "id": new_id(), "created_at": now()}
        try:
            with database.write() as session:
                session.execute(insert(Installation).values(**row))
        except IntegrityError:  # another was quicker
            continue
    return found


def claim(
    database: Database, storage: Storage, *, seconds: float, known: Callable[[Collection[str]], set[str]]
) -> bool:
    """See that the files are this record's, and mark them as such if nobody has yet.

    Args:
        database: The record.
        storage: The files.
        seconds: Files that are younger may be of something that is not in the record yet.
        known: Which of some ids the record knows.

    Returns:
        Whether they are; False: nobody has marked them, and it is too early to tell.

    Raises:
        NotOurs: They are not, or seem not to be.
        StorageAway: Nobody knows.
    """
    mine, marked = name_of(database), mark_of(storage)
    if marked is None:
        ids = folders(storage)
        if ids and not any(known(ids[first : first + 500]) for first in range(0, len(ids), 500)):
            if any(unchanged(storage, job_id, seconds=seconds) for job_id in ids):
                raise NotOurs(_UNKNOWN.format(mine))
            return False
        _mark(storage, mine)
        marked = mark_of(storage)
    if marked != mine:
        raise NotOurs(_OTHER.format(mine))
    return True


def take_over(database: Database, storage: Storage) -> None:
    """Mark the files as this record's, whosever they were: it was just restored, and they with it."""
    with storage.create(HERE, MARK) as mark:
        mark.write(name_of(database).encode())
        mark.keep()


def stranger(database: Database, storage: Storage) -> str | None:
    """What to say if the files are marked as another installation's; nothing is changed by looking."""
    marked = mark_of(storage)
    there = inspect(database.engine).has_table(Installation.__tablename__)
    mine = _found(database) if there else None
    if marked is None or marked == mine:
        return None
    return _OTHER.format(mine or "the name that the log of the hourly sweep tells you")


def mark_of(storage: Storage) -> str | None:
    """The name of the installation whose files they are; None: nobody has marked them.

    Raises:
        StorageAway: Nobody knows.
    """
    try:
        return storage.read(HERE, MARK).decode(errors="replace").strip() or None
    except FileNotFoundError:
        if storage.local and storage.away():
            raise StorageAway("the place where files are kept is not there") from None
        return None


def _found(database: Database) -> str | None:
    with database.read() as session:
        return session.scalar(select(Installation.id).where(Installation.which == ONLY))


def _mark(storage: Storage, name: str) -> None:
    """Write the mark where there is none: of two installations that do so at once the first has the files."""
    address = storage.address(HERE, MARK)
    if storage.s3:
        with storage.noticing():
            storage.s3.put_once(address, name.encode())
    elif storage.local:
        storage.prepare(address)
        with storage.noticing():
            _link(Path(address), name)
    else:
        with storage.noticing():
            storage.fs.pipe_file(address, name.encode())


def _link(path: Path, name: str) -> None:
    aside = path.with_name(f"{secrets.token_hex(8)}.{secrets.token_hex(4)}.part")
    aside.write_text(name)
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
