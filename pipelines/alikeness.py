"""Whether channels carry the same sound: a mono recording that was saved as stereo has every word twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.documents import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OWN = 0.003
"""Share of a channel's power, in a second or on the whole, that codecs and converters make up; a word is more."""
_SILENT = 1e-8
"""Mean power of a channel that has no sound to compare."""


class Alikeness:
    """Compares channels second by second, whatever their volume and polarity.

    Of two channels neither may have anything of its own: what is left of one in any second, if as much of the other as
    fits is taken away, must be little against that second or against the channel as a whole.

    Args:
        channels: How many there are.
    """

    def __init__(self, channels: int) -> None:
        import numpy as np

        self._power: NDArray[np.float64] = np.zeros(channels)
        self._seconds = 0
        self._own: NDArray[np.float64] = np.zeros((channels, channels))
        """The most power in a second that one channel (row) had and another (column) had not, where that is much."""

    def hear(self, block: NDArray[np.float32]) -> None:
        """Go on.

        Args:
            block: A row of samples for each channel; every block but the last is a whole number of seconds long.
        """
        import numpy as np

        count = len(block)
        if count < 2:
            return
        padded = np.pad(block, ((0, 0), (0, -block.shape[1] % SAMPLE_RATE)))
        pieces = padded.reshape(count, -1, SAMPLE_RATE).transpose(1, 0, 2)
        for piece in pieces:
            products = (piece @ piece.T).astype(np.float64) / SAMPLE_RATE
            power = np.diag(products)
            fitting = np.divide(products**2, power[None, :], out=np.zeros_like(products), where=power[None, :] > 0)
            own = power[:, None] - fitting
            self._own = np.maximum(self._own, np.where(own > _OWN * power[:, None], own, 0.0))
            self._power += power
        self._seconds += len(pieces)

    def copies(self) -> dict[int, int]:
        """Channels, from 1, that are the same as an earlier one: copy -> original."""
        found: dict[int, int] = {}
        mean = self._power / max(1, self._seconds)
        for copy in range(len(mean)):
            for first in range(copy):
                alike = all(self._own[a, b] <= _OWN * mean[a] for a, b in ((first, copy), (copy, first)))
                if alike and first + 1 not in found and min(mean[first], mean[copy]) > _SILENT:
                    found[copy + 1] = first + 1
                    break
        return found
