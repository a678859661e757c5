"""Whether channels carry the same sound: a mono recording that was saved as stereo has every word twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.documents import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OWN_NOW, _OWN_EVER = 0.2, 0.003
"""Share of a channel's power that codecs, converters and rooms make up: of that in the same second, and of the mean. A
word is more, as is the difference between two voices that lean to different sides."""
_SILENT = 1e-8
"""Mean power of a channel that has no sound to compare."""


class Alikeness:
    """Compares channels second by second, whatever their volume and polarity.

    Of two channels neither may have anything of its own: what is left of one in any second, if the other is taken away
    at the volume that fits the whole recording best, must be little. A difference of volume that comes and goes is one:
    it tells who speaks.
    """

    def __init__(self) -> None:
        self._products: list[NDArray[np.float64]] = []
        """Of each second the mean products of all channels with all; some megabytes for the longest recording."""

    def hear(self, block: NDArray[np.float32]) -> None:
        """Go on.

        Args:
            block: A row of samples for each channel; every block but the last is a whole number of seconds long.
        """
        import numpy as np

        if len(block) < 2:
            return
        padded = np.pad(block, ((0, 0), (0, -block.shape[1] % SAMPLE_RATE)))
        pieces = padded.reshape(len(block), -1, SAMPLE_RATE).transpose(1, 0, 2)
        self._products += [(piece @ piece.T).astype(np.float64) / SAMPLE_RATE for piece in pieces]

    def copies(self) -> dict[int, int]:
        """Channels, from 1, that are the same as an earlier one: copy -> original."""
        import numpy as np

        found: dict[int, int] = {}
        if not self._products:
            return found
        products = np.stack(self._products)
        for copy in range(products.shape[1]):
            for first in range(copy):
                if first + 1 not in found and _alike(products[:, [first, copy]][:, :, [first, copy]]):
                    found[copy + 1] = first + 1
                    break
        return found


def _alike(products: NDArray[np.float64]) -> bool:
    """Whether two channels are the same, by their products in each second."""
    whole = products.mean(axis=0)
    if min(whole[0, 0], whole[1, 1]) <= _SILENT:
        return False
    for one, other in ((0, 1), (1, 0)):
        power, both, others = products[:, one, one], products[:, 0, 1], products[:, other, other]
        gain = whole[0, 1] / whole[other, other]
        own = power - 2 * gain * both + gain**2 * others
        if ((own > _OWN_NOW * power) & (own > _OWN_EVER * whole[one, one])).any():
            return False
    return True
