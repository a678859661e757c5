"""Where a running `longhand up` can be found, written down for clients that are run in any folder."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


class Announcement(BaseModel):
    """A server of this user on this machine."""

    url: str
    key: str | None
    """Only one that was made up: a key somebody chose stays where they put it."""
    data_dir: Path
    process: int
    """Of `longhand up`."""
    models: list[str]
    aliases: dict[str, str]
    allowed: list[str]
    """WHISPER_MODELS, WHISPER_ALIASES and ALLOWED_MODELS as it decided them."""


def place(environ: Mapping[str, str]) -> Path | None:
    """The file, in the user's folder for what programs remember; None where there is no such folder."""
    named, home = environ.get("XDG_STATE_HOME"), environ.get("HOME")
    existing, state = (named, "") if named else (home or "", ".local/state")
    if not Path(existing).is_absolute() or not Path(existing).is_dir():
        return None
    return Path(existing) / state / "longhand" / "server.json"


@contextmanager
def announced(server: Announcement, environ: Mapping[str, str]) -> Iterator[None]:
    """Tell clients of a server while it runs, as far as this user's folder can be written.

    The last server started is the one that is found; the file is readable by its owner only.
    """
    path = place(environ)
    if path is None:
        yield
        return
    with contextlib.suppress(OSError):
        _write(path, server.model_dump_json(indent=2))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if (there := _read(path)) is not None and there.process == server.process:
                path.unlink()


def find(environ: Mapping[str, str]) -> Announcement | None:
    """The server that runs now; None if none is known of."""
    path = place(environ)
    found = _read(path) if path else None
    return found if found is not None and _runs(found.process) else None


def _read(path: Path) -> Announcement | None:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        return Announcement.model_validate(content)
    except (OSError, ValueError, ValidationError):
        return None


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    aside.replace(path)


def _runs(process: int) -> bool:
    """Whether a process is there; one that was killed could not take its file away."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
