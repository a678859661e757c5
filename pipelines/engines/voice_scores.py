"""How alike voices are, on the scale by which a pyannote.audio pipeline itself decides who is the same person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_LENGTHS = ("centroid", "median", "ward")
"""Methods of clustering that measure straight distances between vectors of length one, not angles."""
_USUAL_THRESHOLD = 0.5
"""Cosine distance within which two voices count as one, for a pipeline that does not say."""


class Scorer:
    """Compares embeddings of one pipeline.

    Pipelines that cluster by distance compare with their own threshold. Those that cluster by a probabilistic model of
    voices (PLDA) are asked by how much likelier it is that one person spoke than that two did.
    """

    def __init__(self, pipeline: Any) -> None:
        clustering: Any = getattr(pipeline, "clustering", None)
        self._plda: Any = getattr(clustering, "plda", None)
        threshold = getattr(clustering, "threshold", None)
        self._threshold = float(threshold) if isinstance(threshold, int | float) else _USUAL_THRESHOLD
        self._straight = getattr(clustering, "method", None) in _LENGTHS

    def table(self, voices: Sequence[Sequence[float]]) -> Matrix:
        """Of each voice with each: above zero they are more likely the same person's; NaN where a voice is empty."""
        import numpy as np

        table = np.full((len(voices), len(voices)), np.nan)
        known = [number for number, voice in enumerate(voices) if len(voice) and np.any(voice)]
        if known:
            vectors = np.array([voices[number] for number in known], dtype=np.float64)
            compare = self._by_distance if self._plda is None else self._by_model
            table[np.ix_(known, known)] = compare(vectors)
        return table

    def _by_distance(self, vectors: Matrix) -> Matrix:
        """The threshold less the distance; a vector that is shorter than one is a mean of several of length one."""
        import numpy as np

        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = vectors / np.maximum(lengths, 1.0)
        products: Matrix = unit @ unit.T
        if not self._straight:
            return self._threshold - (1 - products)
        squares = np.diag(products)
        found: Matrix = (self._threshold**2 - (squares[:, None] + squares[None, :] - 2 * products)) / 2
        return found

    def _by_model(self, vectors: Matrix) -> Matrix:
        """Log-likelihood ratio per dimension, where voices vary by ``phi`` between people and by 1 within each."""
        import numpy as np

        x = np.asarray(self._plda(vectors))
        phi = np.asarray(self._plda.phi)[: x.shape[1]]
        both = (phi + 1) ** 2 - phi**2
        squares = (x**2) @ (1 / (phi + 1) - (phi + 1) / both) / 2
        products = (x * (phi / both)) @ x.T
        constant = np.log(phi + 1).sum() - 0.5 * np.log(both).sum()
        found: Matrix = (constant + squares[:, None] + squares[None, :] + products) / x.shape[1]
        return found
