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
_BLOCK_SECONDS = 32.0
"""A whole number of windows. Longer blocks are no quicker, and what the model holds grows with them."""


def speech_probabilities(wav: WavReader, progress: Progress | None = None) -> NDArray[np.float32]:
    """One probability of speech for every 512 samples; the last window is filled up with silence.

    The model's state and the end of the audio it heard last are carried from block to block, so the result is that of
    one run over the whole recording, while memory does not grow with it.

    Args:
        wav: The audio.
        progress: Called after every block, in seconds.
    """
    import numpy as np
    from faster_whisper.vad import get_vad_model

    session = get_vad_model().session
    hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
    before = np.zeros(_CONTEXT, np.float32)
    # Room for all of it at once: small results kept between large buffers would keep those from being given back.
    found = np.zeros(-(-wav.frames // WINDOW), np.float32)
    done = 0
    for block in wav.blocks(_BLOCK_SECONDS):
        windows = np.pad(block, (0, -len(block) % WINDOW)).reshape(-1, WINDOW)
        context = np.concatenate([before[None], windows[:-1, -_CONTEXT:]])
        heard = np.concatenate([context, windows], axis=1)
        speech, hidden, cell = session.run(None, {"input": heard, "h": hidden, "c": cell})
        found[done // WINDOW :][: len(windows)] = speech.reshape(-1)
        before = windows[-1, -_CONTEXT:]
        done += len(block)
        if progress is not None:
            progress(done / SAMPLE_RATE, wav.duration)
    return found
