"""Files that nobody knows any more: what uploads and runs that died have left."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from store.file_errors import StorageAway
from store.files import HERE, Storage


def forgotten(storage: Storage, *, seconds: float, known: Callable[[str], bool]) -> Iterator[str]:
    """Ids of the folders that nobody knows and in which nothing has changed for this long.

    Args:
        storage: Where they are.
        seconds: For how long.
        known: Whether an id belongs to something; only of the others the files are looked at.

    Raises:
        StorageAway: The storage is not there.
    """
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    for name in _folders(storage):
        if name != HERE and not known(name) and _changed(storage, storage.address(name)) < before:
            yield name


def abandon(storage: Storage, *, seconds: float) -> None:
    """End what was begun this long ago and never finished, where that is seen in no folder but paid for.

    Not every store can tell of it, and not every key may ask: a rule of the bucket can do the same.
    """
    if storage.s3:
        with contextlib.suppress(StorageAway), storage.noticing():
            storage.s3.abandon(storage.root, datetime.now(UTC) - timedelta(seconds=seconds))


def _folders(storage: Storage) -> list[str]:
    with storage.noticing():
        if storage.s3:
            return storage.s3.folder(storage.root)  # type: ignore[no-any-return]  # made by the library's wrapper
        found = storage.fs.ls(storage.root, detail=False) if storage.fs.exists(storage.root) else []
    return [str(folder).rstrip("/").rpartition("/")[2] for folder in found]


def _changed(storage: Storage, folder: str) -> datetime:
    """When something in a folder was last changed; the time itself, if nothing is left of it."""
    with storage.noticing():
        if storage.s3:
            return storage.s3.changed(folder) or datetime.now(UTC)
        found = storage.fs.find(folder, detail=True).values()
        return max([_changed_at(entry) for entry in found] or [_changed_at(storage.fs.info(folder))])


def _changed_at(entry: dict[str, Any]) -> datetime:
    at = entry.get("mtime", entry.get("LastModified", time.time()))
    return at if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)
