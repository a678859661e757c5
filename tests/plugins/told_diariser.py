"""A diariser that does what a file says: ``DIARISATION_ENGINE=told``, ``LONGHAND_TEST_TOLD`` names the file.

``fail`` raises, ``full`` runs out of memory, ``die`` kills the process, ``hang`` is deaf until the file changes. JSON
is the turns to give back: ``[[start, end, speaker], …]``.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.documents import Turn, Turns, Voice, Warn
from pipelines.engines.diarisers import Diariser, DiariserSettings, Recording, SpeakerCount, diariser_engine


class Told:
    """A diariser without a model."""

    name = "told"
    device = "cpu"
    warnings: Sequence[Warn] = ()

    def __init__(self, orders: Path) -> None:
        self._orders = orders

    def diarise(self, recording: Recording, count: SpeakerCount, progress: Callable[[float, float], None]) -> Turns:
        order = self._orders.read_text()
        if order == "fail":
            raise RuntimeError("a secret path: /etc/shadow")
        if order == "full":
            raise MemoryError
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while order == "hang" and self._orders.read_text() == order:
            time.sleep(0.1)  # a library that reports nothing
        turns = [Turn(start=a, end=b, speaker=who) for a, b, who in json.loads(self._orders.read_text())]
        voices = [
            Voice(speaker=who, embedding=[float(n)]) for n, who in enumerate(dict.fromkeys(t.speaker for t in turns))
        ]
        return Turns(turns=turns, voices=voices, model=self.name)

    def embed(self, audio: Any) -> list[float] | None:
        """The length of the sample says who it is: 2 s the first, 3 s the second."""
        return [float(round(len(audio) / 16000) - 2)]

    def similarity(self, one: Sequence[float], other: Sequence[float]) -> float:
        return 0.5 - abs(one[0] - other[0])


@diariser_engine("told")
def load(settings: DiariserSettings) -> Diariser:
    """A diariser that does as it is told."""
    return Told(Path(os.environ["LONGHAND_TEST_TOLD"]))
