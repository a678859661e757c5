"""An engine that is the demo model, but takes its time: ``LONGHAND_TEST_SLOW`` seconds more for each chunk.

``WHISPER_ENGINE=slow``. What it was asked for it notes in the file named by ``LONGHAND_TEST_SLOW_LOG``, a line a chunk.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.documents import Segment, Span
from pipelines.engines import EngineSettings, Request, Transcriber, engine, loader
from tests.plugins.wrapped import Wrapped


class Slow(Wrapped):
    """The real engine with pauses."""

    def transcribe(self, audio: Any, spans: Sequence[Span], request: Request) -> Iterator[Segment]:
        with Path(os.environ["LONGHAND_TEST_SLOW_LOG"]).open("a") as log:
            log.write(f"{len(spans)} spans\n")
        segments = list(self._real.transcribe(audio, spans, request))
        pause = float(os.environ["LONGHAND_TEST_SLOW"]) / max(1, len(segments))
        for segment in segments:
            time.sleep(pause)
            yield segment


@engine("slow")
def load(name: str, settings: EngineSettings) -> Transcriber:
    """The real engine's model, slowed down."""
    return Slow(loader("faster-whisper")(name, settings))
