"""What a speech engine is, whichever library does the work.

An engine is chosen by name (``WHISPER_ENGINE``) out of a registry; a plugin may add one. Nothing heavy is imported
here: an engine imports its library when it is made.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.documents import Segment, Span, Warn
from pipelines.engines.registry import Registry


@dataclass(frozen=True)
class EngineSettings:
    """What an operator chose about engines; handed in by the worker."""

    device: str = "auto"
    """auto, cpu or cuda."""
    compute_type: str = "default"
    batch_size: int = 8
    beam_size: int = 5
    """For requests that do not say."""
    cpu_threads: int = 0
    """Threads for one model on a CPU; 0: all cores."""
    keep_models: int = 2
    """Models held in memory at once; the least recently used goes first."""
    preload: tuple[str, ...] = ()
    """Models (after aliases) that are never put out of memory."""
    model_cache: Path | None = None
    """Folder for downloaded models; None: the hub library's own."""
    hub_timeout: float = 5.0
    """Seconds to find out that the model hub cannot be reached."""


@dataclass(frozen=True)
class Request:
    """How to transcribe; the same for every chunk of a job."""

    language: str
    task: str = "transcribe"
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float = 0.0
    beam_size: int | None = None
    """None: the operator's."""
    word_timestamps: bool = True


class Transcriber(Protocol):
    """A loaded model that turns speech into segments. Used by one thread at a time."""

    name: str
    """The model's name after aliases, as it appears in answers."""
    device: str
    compute_type: str
    warnings: Sequence[Warn]
    """What every transcript made with this model must say."""

    def language_probabilities(self, audio: Any) -> dict[str, float]:
        """Language code -> probability for one spot of audio (float32 mono 16 kHz, at most 30 s are looked at)."""

    def transcribe(self, audio: Any, spans: Sequence[Span], request: Request) -> Iterator[Segment]:
        """Segments of the speech in ``spans``, in order, as they are made.

        Args:
            audio: float32 mono 16 kHz, shape (samples,).
            spans: Speech to transcribe, seconds from the start of ``audio``; nothing else is looked at.
            request: Options.

        Yields:
            Segments with times in seconds from the start of ``audio``.

        Raises:
            pipelines.errors.TransientError: Out of memory even with a batch of one.
            pipelines.errors.EngineError: The model failed.
        """


class Models(Protocol):
    """The models a worker process keeps."""

    def get(self, name: str) -> Transcriber:
        """The loaded model; loads it, and puts the least recently used one out, if need be.

        Raises:
            pipelines.errors.UnknownModel: No such model.
            pipelines.errors.ModelUnavailable: It cannot be fetched now.
        """

    def loaded(self) -> list[dict[str, str]]:
        """``{"name", "device", "compute_type"}`` of each model in memory."""


Loader = Callable[[str, EngineSettings], Transcriber]
_engines: Registry[Loader] = Registry("transcribing")
engine = _engines.register
"""Makes a function that loads a model by name an engine."""
loader = _engines.loader
"""The load function of an engine, by its name."""
