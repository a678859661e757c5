"""What hears who speaks when, whichever library does the work.

Nothing heavy is imported here; the web process imports this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from pipelines.documents import Turns, Warn

INSTALL = "make diarise"
"""The one command that installs what diarisation takes."""


def installed() -> bool:
    """Whether this environment has what diarisation takes; nothing is imported for it."""
    return find_spec("pyannote") is not None and find_spec("pyannote.audio") is not None


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
