"""Secrets that were made up once and are kept in the data folder for its owner only."""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

FILE = "secrets.json"


class Unreadable(Exception):
    """The file of secrets is damaged; the message says what to do."""


@dataclass(frozen=True)
class Credentials:
    """What protects the API and Flower, and what signs webhooks."""

    api_key: str
    flower_password: str
    webhook_secret: str


def keep(folder: Path) -> Credentials:
    """The secrets of a data folder; made on first use, mode 0600.

    Raises:
        Unreadable: The file is damaged.
        OSError: It cannot be written or read.
    """
    path = folder / FILE
    kept = _read(path)
    wanted = {
        "api_key": kept.get("api_key") or f"lh-{secrets.token_urlsafe(24)}",
        "flower_password": kept.get("flower_password") or secrets.token_urlsafe(18),
        "webhook_secret": kept.get("webhook_secret") or f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
    if kept != wanted:
        _write(path, kept | wanted)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return Credentials(**wanted)


def kept_key(folder: Path) -> str | None:
    """The API key that `longhand up` made for a data folder; None if there is none to be read."""
    try:
        return _read(folder / FILE).get("api_key")
    except (OSError, Unreadable):
        return None


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Unreadable(f"{FILE} in the data folder is damaged: remove it, and new secrets are made.") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Unreadable(f"{FILE} in the data folder is damaged: remove it, and new secrets are made.")
    return found


def _write(path: Path, content: dict[str, str]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    aside.replace(path)
