"""What a test wants to know of samples, and of what people are told: `import listening`."""

import re

import numpy as np

from pipelines.documents import SAMPLE_RATE
from pipelines.errors import LonghandError


def quiet(done: float, total: float) -> None:
    """A progress callback for those who do not care."""


def pitch(samples: np.ndarray) -> float:
    """Hertz of the loudest tone."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


def level(samples: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(samples**2)))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two recordings of the same thing, cut to the shorter and shifted to where they agree best."""
    return float(np.max(_agreement(one, other)))


def lag(one: np.ndarray, other: np.ndarray) -> float:
    """Seconds by which `one` is behind `other`, where they agree best."""
    agreement = _agreement(one, other)
    best = int(np.argmax(agreement))
    return (best if best < len(agreement) / 2 else best - len(agreement)) / SAMPLE_RATE


def _agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation for each shift."""
    size = min(len(one), len(other))
    one, other = one[:size], other[:size]
    spectrum = np.fft.rfft(one, 2 * size) * np.conj(np.fft.rfft(other, 2 * size))
    return np.fft.irfft(spectrum) / (np.linalg.norm(one) * np.linalg.norm(other))


def a_sentence_for_people(error: LonghandError) -> bool:
    """One sentence, no path, no traceback."""
    return bool(re.fullmatch(r"[A-Z][^\n]{20,180}\.", error.detail)) and "/" not in error.detail
