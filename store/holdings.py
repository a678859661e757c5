"""All files of a job, to be copied elsewhere and back (``cli.backups``)."""

import errno
import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.file_errors import ScratchFull, StorageAway
from store.files import HERE, Storage

BLOCK = 1 << 20
_ASIDE = re.compile(r"\.[0-9a-f]{8}\.part$")
"""What is being written at this moment, by ``store.files``; uploads that come in pieces are called otherwise."""
_TRIES = 20


@dataclass(frozen=True)
class Held:
    """A file."""

    name: str
    size: int
    mark: str | None
    """Another one whenever the file is; None: the storage cannot tell."""


def held(storage: Storage, job_id: str) -> list[Held]:
    """The files of a job, by name.

    Raises:
        StorageAway: Nobody knows.
    """
    address = storage.address(job_id)
    with storage.noticing():
        found = _found(storage, address)
        if not found and storage.away():
            raise StorageAway("the place where files are kept is not there")
    files = (
        Held(path.partition(f"/{job_id}/")[2], int(entry["size"]), _mark(entry))
        for path, entry in found.items()
        if entry.get("type") == "file" and not entry.get("islink")
    )
    return sorted((one for one in files if not _ASIDE.search(one.name)), key=lambda one: one.name)


def copy_out(storage: Storage, job_id: str, name: str, to: Path) -> tuple[int, str]:
    """Copy a file to a path, where an empty file is; its size and SHA-256 as copied.

    Raises:
        FileNotFoundError: It is not there any more.
        StorageAway: The storage is not there.
    """
    if storage.local is None:
        with storage.noticing():  # in one go: to open it would keep large blocks in memory
            if storage.s3:
                try:
                    sha256 = storage.s3.fetch(storage.address(job_id, name), to)
                except ScratchFull:  # here it is no worker's
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(to)) from None
                return to.stat().st_size, sha256
            storage.fs.get_file(storage.address(job_id, name), str(to))
        return measure(to)
    digest, size = hashlib.sha256(), 0
    with storage.open(job_id, name) as source, to.open("wb") as target:
        while block := source.read(BLOCK):
            target.write(block)
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def copy_in(storage: Storage, job_id: str, name: str, path: Path) -> str:
    """Copy a path's content to a file of a job, which is there whole or not at all; its SHA-256 as copied.

    Raises:
        StorageFull: The disk is full.
        StorageAway: It is not there.
    """
    if storage.local is None:
        with storage.noticing():
            storage.send(path, storage.address(job_id, name))
        return measure(path)[1]
    with path.open("rb") as source, storage.create(job_id, name) as target:
        while block := source.read(BLOCK):
            target.write(block)
        target.keep()
        return target.sha256


def keep_only(storage: Storage, job_id: str, names: Collection[str]) -> None:
    """Delete all other files of a job, also what was left half written.

    Raises:
        StorageAway: It is not there.
    """
    with storage.noticing():
        found = [path.partition(f"/{job_id}/")[2] for path in _found(storage, storage.address(job_id))]
    storage.remove(job_id, *(name for name in found if name not in names))


def folders(storage: Storage) -> list[str]:
    """Ids of all jobs and uploads that have files."""
    storage.fs.invalidate_cache()
    with storage.noticing():
        try:
            found = storage.fs.ls(storage.root, detail=False)
        except FileNotFoundError:
            return []
    return [name for one in found if (name := str(one).rstrip("/").rsplit("/", 1)[1]) != HERE]


def measure(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a path's content."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _found(storage: Storage, address: str) -> dict[str, dict[str, Any]]:
    for _ in range(_TRIES):
        storage.fs.invalidate_cache(address)
        try:
            return dict(storage.fs.find(address, detail=True))
        except FileNotFoundError:  # one that was removed between being listed and being looked at
            continue
    raise StorageAway("files vanish while they are listed")


def _mark(entry: dict[str, Any]) -> str | None:
    if tag := entry.get("ETag"):
        return str(tag)
    return f"{entry['ino']}-{entry['mtime']!r}" if {"ino", "mtime"} <= entry.keys() else None
