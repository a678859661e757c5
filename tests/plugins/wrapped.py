"""An engine that does what another does: the ones that misbehave are this but for how they transcribe."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.documents import Segment, Span
from pipelines.engines import Request, Transcriber


class Wrapped:
    """All of the real engine."""

    def __init__(self, real: Transcriber) -> None:
        self._real = real
        self.name, self.device = real.name, real.device
        self.compute_type, self.warnings = real.compute_type, real.warnings

    def language_probabilities(self, audio: Any) -> dict[str, float]:
        return self._real.language_probabilities(audio)

    def transcribe(self, audio: Any, spans: Sequence[Span], request: Request) -> Iterator[Segment]:
        return self._real.transcribe(audio, spans, request)
