"""What a model's name stands for, and how its files come to this machine.

A name is ``demo``, a size (``small``), a hub id (``org/name``) or a local folder (``/srv/model``, ``./model``). Nothing
here touches the network unless the files are missing, and then it knows within seconds whether there is a network.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import ModelUnavailable, UnknownModel

_log = logging.getLogger(__name__)

DEMO = "demo"

SIZES: dict[str, str] = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "tiny": "Systran/faster-whisper-tiny",
    "base.en": "Systran/faster-whisper-base.en",
    "base": "Systran/faster-whisper-base",
    "small.en": "Systran/faster-whisper-small.en",
    "small": "Systran/faster-whisper-small",
    "medium.en": "Systran/faster-whisper-medium.en",
    "medium": "Systran/faster-whisper-medium",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""Size -> hub id. A copy of faster-whisper's table (a test holds them equal), so that the web process can ask."""

NEEDED = ("model.bin", "config.json", "tokenizer.json")
"""Files without which a model cannot be loaded; without its tokenizer the library would ask the network for one."""
_WANTED = [*NEEDED, "preprocessor_config.json", "vocabulary.*"]
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""A name that may be a repository of the model hub."""
FOLDERS = ("/", "./", "../", "~/")
"""What begins so is a folder."""
_UNREACHABLE = (403, 407)
"""Answers that come from a proxy in between, not from a hub asked for a public page."""

Report = Callable[[float, float], None]
"""Called with bytes done and bytes in all, as far as they are known."""


@dataclass(frozen=True)
class Resolved:
    """What a name stands for."""

    kind: Literal["demo", "folder", "hub"]
    location: str
    """The folder, or the hub id."""
    name: str
    """What to call it: the name asked for, or a folder's own, for paths of the server are nobody's business."""


def demo_folder() -> Path:
    """The model that comes with the project."""
    return Path(__file__).resolve().parents[2] / "models" / "demo" / "whisper"


def resolve(name: str) -> Resolved:
    """What a name stands for; looks at the disk for a folder, never at the network.

    Raises:
        UnknownModel: It stands for nothing.
    """
    if name == DEMO:
        folder = demo_folder()
        if not (folder / "model.bin").is_file():
            raise UnknownModel("The demo model is not part of this installation; run Longhand from a full checkout.")
        return Resolved("demo", str(folder), name)
    if name.startswith(FOLDERS):
        folder = Path(name).expanduser().resolve()
        _check_folder(folder)
        if folder == demo_folder().resolve():
            return Resolved("demo", str(folder), DEMO)
        return Resolved("folder", str(folder), folder.name)
    if name in SIZES:
        return Resolved("hub", SIZES[name], name)
    if HUB_ID.fullmatch(name):
        return Resolved("hub", name, name)
    raise UnknownModel(
        f"There is no model {name!r}: use a size such as small or large-v3-turbo, a hub id such as org/name, "
        "or a folder given by its full path."
    )


def cached(name: str, cache: Path | None = None) -> bool:
    """Whether a model can be loaded without the network.

    Raises:
        UnknownModel: There is no such model.
    """
    found = resolve(name)
    return found.kind != "hub" or _in_cache(found.location, cache) is not None


def hub_reachable(timeout: float = 5.0) -> bool:
    """Whether the model hub (or ``HF_ENDPOINT``) answers; known after ``timeout`` seconds, whatever hangs."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            response = get_session().head(f"{constants.ENDPOINT}/api/models/{SIZES['tiny']}", timeout=timeout)
        except Exception as error:  # whatever it is, there is no hub
            _log.info("the model hub cannot be reached: %s", error)
        else:
            answers.append(response.status_code < 500 and response.status_code not in _UNREACHABLE)

    # A name lookup has no time limit of its own, so the wait for it has; the thread may end when it likes.
    thread = threading.Thread(target=ask, name="hub-reachable", daemon=True)
    thread.start()
    thread.join(timeout)
    return answers == [True]


def fetch(found: Resolved, *, cache: Path | None = None, timeout: float = 5.0, report: Report | None = None) -> Path:
    """The folder with a model's files, downloaded if need be.

    Args:
        found: What to fetch.
        cache: Folder for downloads; None: the hub library's own.
        timeout: Seconds to find out that the hub cannot be reached.
        report: Told how far a download is.

    Raises:
        UnknownModel: The hub has no such model, or what it has is no model for this engine.
        ModelUnavailable: The hub cannot be reached or broke off.
    """
    if found.kind != "hub":
        return Path(found.location)
    if (folder := _in_cache(found.location, cache)) is not None:
        return folder
    if not hub_reachable(timeout):
        raise ModelUnavailable(
            f"The model {found.name} is not on this machine and the model hub cannot be reached: connect the machine "
            "to it once, name a folder with the model's files instead, or set WHISPER_MODELS=demo."
        )
    _log.info("downloading the model %s", found.name)
    _download(found, cache, report)
    if (folder := _in_cache(found.location, cache)) is None:
        raise UnknownModel(
            f"The model {found.name} is not in CTranslate2 format: choose one that is, such as {SIZES['small']}."
        )
    return folder


def pull(name: str, progress: Report | None = None, *, cache: Path | None = None, timeout: float = 5.0) -> Path:
    """Make sure that a model is on this machine; see ``fetch``."""
    return fetch(resolve(name), cache=cache, timeout=timeout, report=progress)


def _check_folder(folder: Path) -> None:
    """Say what is wrong with a model's folder, without saying where on the server it is."""
    if not folder.is_dir():
        raise UnknownModel(f"There is no model folder {folder.name!r}: check the path that was given for it.")
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise UnknownModel(
            f"The model folder {folder.name!r} has no {' and no '.join(missing)}: "
            "put all files of a Whisper model in CTranslate2 format there."
        )


def _in_cache(repository: str, cache: Path | None) -> Path | None:
    """The folder of a model that was downloaded completely."""
    from huggingface_hub import try_to_load_from_cache

    def there(file: str) -> Path | None:
        path = try_to_load_from_cache(repository, file, cache_dir=cache)
        return Path(path) if isinstance(path, str) and Path(path).is_file() else None

    files = [there(name) for name in NEEDED]
    if not all(files) or not any(there(name) for name in _VOCABULARIES):
        return None
    return files[0].parent if files[0] else None


def _download(found: Resolved, cache: Path | None, report: Report | None) -> None:
    from huggingface_hub import errors, snapshot_download

    try:
        snapshot_download(found.location, cache_dir=cache, allow_patterns=_WANTED, tqdm_class=_bar(report))
    except errors.GatedRepoError as error:
        raise ModelUnavailable(
            f"The model {found.name} is given out on request only: accept its terms on the hub and set HF_TOKEN."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModel(f"The model hub has no model {found.name}: check its spelling, or set HF_TOKEN.") from error
    except ImportError:
        raise
    except Exception as error:  # the client's errors have no common class short of this one
        raise ModelUnavailable(
            f"The download of the model {found.name} broke off: try again, it goes on where it stopped."
        ) from error


def _bar(report: Report | None) -> Any:
    """A progress bar that draws nothing and reports the bytes written."""
    import io

    from tqdm.auto import tqdm  # type: ignore[import-untyped]  # no type information published

    class Bar(tqdm):  # type: ignore[misc]  # for the same reason
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.told = report if kwargs.get("unit") == "B" else None
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> Any:
            shown = super().update(n)
            if self.told is not None:
                self.told(self.n, self.total or self.n)
            return shown

    return Bar
