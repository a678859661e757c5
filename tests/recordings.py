"""Recordings with true word times for every test: `import recordings`, then `recordings.recording(60, seed=1)`.

They are made by `models/training/recordings.py`, from the grammar and the voices of the demo model.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # `models` is no installed package

from models.training.grammar import split_words
from models.training.recordings import (
    VOICES,
    Recording,
    Sentence,
    conversation,
    hum,
    recording,
    silence,
    utterance,
    white_noise,
)
from models.training.speech import SAMPLE_RATE, Word

__all__ = [
    "SAMPLE_RATE",
    "VOICES",
    "Recording",
    "Sentence",
    "Word",
    "conversation",
    "hum",
    "recording",
    "silence",
    "split_words",
    "utterance",
    "white_noise",
]
