"""What hears who speaks when, whichever library does the work.

Nothing heavy is imported here; the web process imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.documents import Turns, Warn
from pipelines.engines.registry import Registry

INSTALL = "make diarise"
"""The one command that installs what telling speakers apart takes."""
DEFAULT_MODEL = "pyannote/speaker-diarization-community-1"


@dataclass(frozen=True)
class DiariserSettings:
    """What an operator chose about telling speakers apart; handed in by the worker."""

    model: str = DEFAULT_MODEL
    """demo, a hub id, or a local folder."""
    device: str = "auto"
    """auto, cpu or cuda."""
    token: str | None = field(default=None, repr=False)
    """For models that the hub gives out on request only."""
    cpu_threads: int = 0
    """Threads for one model on a CPU; 0: all cores."""
    model_cache: Path | None = None
    """Folder for downloaded models; None: the hub library's own."""
    hub_timeout: float = 5.0
    """Seconds to find out that the model hub cannot be reached."""
    part_seconds: float = 1500.0
    """What is longer is diarised in parts of at most this, so that memory does not grow with the recording."""


@dataclass(frozen=True)
class SpeakerCount:
    """How many people speak, as far as somebody knows."""

    exactly: int | None = None
    at_least: int | None = None
    at_most: int | None = None


class Recording(Protocol):
    """Samples by range: a whole recording is never in memory at once."""

    @property
    def duration(self) -> float:
        """Seconds."""

    def read(self, start: float = 0.0, end: float | None = None) -> Any:
        """Samples from ``start`` to ``end`` (seconds): float32 mono 16 kHz in [-1, 1)."""


class Diariser(Protocol):
    """A loaded model that hears who speaks when. Used by one thread at a time."""

    name: str
    """The model's name as it appears in answers."""
    device: str
    warnings: Sequence[Warn]
    """What every transcript made with this model must say."""

    def diarise(self, recording: Recording, count: SpeakerCount, progress: Callable[[float, float], None]) -> Turns:
        """Who speaks when, in a recording of any length.

        Args:
            recording: The samples.
            count: How many people to tell apart.
            progress: Told how much is done of how much, at least every second or so; what it raises passes through.

        Raises:
            pipelines.errors.TransientError: Out of memory.
            pipelines.errors.EngineError: The model failed.
        """

    def embed(self, audio: Any) -> list[float] | None:
        """What the person speaking in ``audio`` (float32 mono 16 kHz, some seconds) sounds like; None: nobody does."""

    def similarity(self, one: Sequence[float], other: Sequence[float]) -> float:
        """How alike two voices are, scaled so that from 0 on they are more likely the same person than not."""


class Diarisers(Protocol):
    """Where a stage gets the operator's diariser from."""

    def get(self) -> Diariser:
        """The loaded diariser; loads it if need be, and keeps it.

        Raises:
            pipelines.errors.UnknownModel: There is no such model.
            pipelines.errors.ModelUnavailable: It is not installed, or cannot be fetched now.
        """

    def loaded(self) -> list[dict[str, str]]:
        """``{"name", "device", "compute_type", "kind": "diariser"}`` of what is in memory."""


DiariserLoader = Callable[[DiariserSettings], Diariser]
_engines: Registry[DiariserLoader] = Registry("telling speakers apart")
diariser_engine = _engines.register
"""Makes a function that loads the operator's diariser an engine."""
diariser_loader = _engines.loader
"""The load function of an engine, by its name."""


def installed() -> bool:
    """Whether the libraries for telling speakers apart are on this machine; nothing is imported to find out."""
    from importlib.util import find_spec

    try:
        # Of a package with dots the ones before it would be imported; a bare name is only looked up.
        return bool(find_spec("torch")) and any(
            (Path(folder) / "audio" / "__init__.py").is_file()
            for folder in getattr(find_spec("pyannote"), "submodule_search_locations", None) or ()
        )
    except (ImportError, ValueError):  # half removed, or a stand-in of a test
        return False
