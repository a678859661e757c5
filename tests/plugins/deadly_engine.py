"""An engine that is the demo model, but ends its process at a given moment: what a crash in a C library does.

``WHISPER_ENGINE=deadly``; the file named by ``LONGHAND_TEST_DEADLY`` says how often it still kills: each death takes
one character off it; an ``h`` hangs instead, deaf to everything. While it is empty the engine is harmless.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.documents import Segment, Span
from pipelines.engines import EngineSettings, Request, Transcriber, engine, loader
from tests.plugins.wrapped import Wrapped


class Deadly(Wrapped):
    """The real engine with a fuse."""

    def __init__(self, real: Transcriber, lives: Path) -> None:
        super().__init__(real)
        self._lives = lives

    def transcribe(self, audio: Any, spans: Sequence[Span], request: Request) -> Iterator[Segment]:
        for n, segment in enumerate(self._real.transcribe(audio, spans, request)):
            yield segment
            left = self._lives.read_text()
            if n == 1 and left:
                # In the middle of a chunk: some of it is done, the rest is not.
                self._lives.write_text(left[1:])
                if left[0] == "h":
                    time.sleep(600)
                os.kill(os.getpid(), signal.SIGKILL)


@engine("deadly")
def load(name: str, settings: EngineSettings) -> Transcriber:
    """The real engine's model, armed."""
    return Deadly(loader("faster-whisper")(name, settings), Path(os.environ["LONGHAND_TEST_DEADLY"]))
