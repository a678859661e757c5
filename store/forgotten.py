"""Files that nobody knows any more: what uploads, runs and checks that died have left."""

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from store.file_errors import StorageAway
from store.files import HERE, Storage

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9a-f]{32}")
"""Ids of jobs and uploads. What is called otherwise is somebody else's, and left alone."""
_PROBE = re.compile(r"[0-9a-f]{16}(\.[0-9a-f]{8}\.part)?")
"""What is written to see whether anything can be."""
_BEGUN = re.compile(rf"([0-9a-f]{{32}}/.+|{HERE}/[0-9a-f]{{16}})", re.DOTALL)
_AT_ONCE = 500


def forgotten(storage: Storage, *, seconds: float, known: Callable[[Collection[str]], set[str]]) -> Iterator[str]:
    """Ids of the folders that nobody knows and in which nothing has changed for this long.

    Args:
        storage: Where they are; whose they are is asked before (``store.ownership``).
        seconds: For how long.
        known: Which of some ids belong to something; only of the others the files are looked at.

    Raises:
        StorageAway: The storage is not there.
    """
    ids = folders(storage)
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        there = known(some)
        yield from (one for one in some if one not in there and unchanged(storage, one, seconds=seconds))


def folders(storage: Storage) -> list[str]:
    """Ids of all jobs and uploads that have files, and of nothing else that may be there.

    Raises:
        StorageAway: The storage is not there.
    """
    with storage.noticing():
        if storage.s3:
            found = storage.s3.folder(storage.root)
        else:
            found = storage.fs.ls(storage.root, detail=False) if storage.fs.exists(storage.root) else []
    names = (str(folder).rstrip("/").rpartition("/")[2] for folder in found)
    return [name for name in names if _ID.fullmatch(name)]


def unchanged(storage: Storage, job_id: str, *, seconds: float) -> bool:
    """Whether nothing in a folder has changed for this long; False, if nothing is left of it."""
    folder = storage.address(job_id)
    with storage.noticing():
        if storage.s3:
            times = list(storage.s3.changes(folder).values())
        else:
            found = storage.fs.find(folder, detail=True).values()
            times = [_changed_at(entry) for entry in found] or [_changed_at(storage.fs.info(folder))]
    return bool(times) and max(times) < datetime.now(UTC) - timedelta(seconds=seconds)


def old_probes(storage: Storage, *, seconds: float) -> list[str]:
    """Names of the files that were written this long ago to see whether files can be, by somebody who then died."""
    folder, before = storage.address(HERE), datetime.now(UTC) - timedelta(seconds=seconds)
    with storage.noticing():
        if storage.s3:
            times = storage.s3.changes(folder)
        else:
            found = storage.fs.ls(folder, detail=True) if storage.fs.exists(folder) else []
            times = {str(entry["name"]).rpartition("/")[2]: _changed_at(entry) for entry in found}
    return [name for name, at in times.items() if at < before and _PROBE.fullmatch(name)]


def abandon(storage: Storage, *, seconds: float) -> None:
    """End what was begun this long ago and never finished, where that is seen in no folder but paid for.

    Not every store can tell of it, and not every key may ask, which is logged: a rule of the bucket can do the same.
    """
    if storage.s3 is None:
        return
    try:
        with storage.noticing():
            begun = storage.s3.begun(storage.root)
    except StorageAway as error:
        log.warning("uploads that were never finished cannot be looked for: %s", error.__cause__ or error)
        return
    start = len(storage.root.partition("/")[2]) + 1 if "/" in storage.root else 0
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    for one in begun:
        if one["Initiated"] < before and _BEGUN.fullmatch(str(one["Key"])[start:]):
            _end(storage, one)


def _end(storage: Storage, upload: dict[str, Any]) -> None:
    """One that somebody else has ended, or that cannot be ended, is no reason to leave the others."""
    s3 = storage.s3
    try:
        with storage.noticing():
            if s3:
                s3.abandon(storage.root, upload)
    except FileNotFoundError:
        pass
    except Exception as error:
        log.warning("an upload that was never finished cannot be ended: %s", error.__cause__ or error)


def _changed_at(entry: dict[str, Any]) -> datetime:
    at = entry.get("mtime", entry.get("LastModified", time.time()))
    return at if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)
