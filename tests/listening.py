"""What a test wants to know of samples: `import listening`."""

import numpy as np

from pipelines.documents import SAMPLE_RATE


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
    size = min(len(one), len(other))
    one, other = one[:size], other[:size]
    spectrum = np.fft.rfft(one, 2 * size) * np.conj(np.fft.rfft(other, 2 * size))
    return float(np.max(np.fft.irfft(spectrum)) / (np.linalg.norm(one) * np.linalg.norm(other)))
