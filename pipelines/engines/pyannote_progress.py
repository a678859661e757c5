"""How far the telling apart of speakers is, put together from what the library says of each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SHARES = {"segmentation": (0.0, 0.5), "embeddings": (0.5, 0.47), "discrete_diarization": (0.97, 0.03)}
"""Where each step of a part begins, and its share of the time."""


class Told:
    """Tells how far the work is, never going back; remembers what the listener raised."""

    def __init__(self, progress: Callable[[float, float], None], total: float) -> None:
        self._progress, self._total, self._done = progress, total, 0.0
        self._before = 0.0
        self.raised: BaseException | None = None

    def once_more(self) -> None:
        """All of it is listened to again."""
        self._before += self._total

    def at(self, done: float) -> None:
        """So many seconds of it are done."""
        self._done = max(self._done, self._before + min(done, self._total))
        try:
            self._progress(self._done, self._before + self._total)
        except BaseException as error:
            self.raised = error
            raise

    def within(self, start: float, end: float) -> Callable[..., None]:
        """A hook as the library calls it, for a part from ``start`` to ``end``."""

        def hook(
            step: str, _: Any = None, *, total: int | None = None, completed: int | None = None, **__: Any
        ) -> None:
            begin, share = _SHARES.get(step, (0.0, 0.0))
            done = 1.0 if not total or completed is None else min(1.0, completed / total)
            self.at(start + (end - start) * (begin + share * done))

        return hook
