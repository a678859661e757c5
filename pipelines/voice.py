"""How likely somebody speaks, moment by moment: the Silero model that comes with faster-whisper, run in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.documents import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipelines.stage import Progress
    from pipelines.wav import WavReader

WINDOW = 512
"""Samples that one probability stands for; ``pauses.WINDOW_SECONDS`` of audio."""

_CONTEXT = 64
_STATE = (1, 1, 128)
BLOCK_SECONDS = 32.0
"""A whole number of windows. Longer blocks are no quicker, and what the model holds grows with them."""


def speech_probabilities(wav: WavReader, progress: Progress | None = None) -> NDArray[np.float32]:
    """One probability of speech for every 512 samples; the last window is filled up with silence.

    The model's state and the end of the audio it heard last are carried from block to block, so the result is that of
    one run over the whole recording, while memory does not grow with it.

    Args:
        wav: The audio.
        progress: Called after every block, in seconds.
    """
    listener = Listener(wav.frames)
    for block in wav.blocks(BLOCK_SECONDS):
        listener.hear(block)
        if progress is not None:
            progress(listener.done / SAMPLE_RATE, wav.duration)
    return listener.probabilities


class Listener:
    """Hears one channel, block by block.

    Args:
        frames: Samples that will come.
    """

    def __init__(self, frames: int) -> None:
        import numpy as np
        from faster_whisper.vad import get_vad_model

        self._session = get_vad_model().session
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        self._before = np.zeros(_CONTEXT, np.float32)
        # Room for all of it at once: small results kept between large buffers would keep those from being given back.
        self.probabilities = np.zeros(-(-frames // WINDOW), np.float32)
        """Of speech, one for every window; of what was not heard yet 0."""
        self.done = 0
        """Samples that were heard."""

    def hear(self, block: NDArray[np.float32]) -> None:
        """Go on; every block but the last is a whole number of windows long."""
        import numpy as np

        windows = np.pad(block, (0, -len(block) % WINDOW)).reshape(-1, WINDOW)
        context = np.concatenate([self._before[None], windows[:-1, -_CONTEXT:]])
        given = {"input": np.concatenate([context, windows], axis=1), "h": self._hidden, "c": self._cell}
        speech, self._hidden, self._cell = self._session.run(None, given)
        self.probabilities[self.done // WINDOW :][: len(windows)] = speech.reshape(-1)
        self._before = windows[-1, -_CONTEXT:]
        self.done += len(block)
