"""Whether speakers can be told apart here: not every installation has what that takes."""

from concurrent.futures import Future
from typing import Any, Literal

from pipelines.engines import diarisers
from pipelines.stage import Stage
from webapp.probes import Probes

PROBE = "diarising"
"""Name of the question whether a worker for it has been known lately."""
STAGE = "diarise"
_ANSWER_SECONDS = 0.5


class Diarising:
    """What this process knows of it.

    Args:
        chosen: The operator's DIARISATION.
        probes: They know the question ``PROBE``.
        stage: The stage, if there is one of the name ``STAGE``.
    """

    def __init__(self, chosen: Literal["auto", "on", "off"], probes: Probes, stage: Stage | None) -> None:
        self._chosen = chosen
        self._probes = probes
        self._stage = stage
        self._known = False

    @property
    def demanded(self) -> bool:
        """Whether the operator wants it in any case, so that something is wrong where nobody does it."""
        return self._chosen == "on"

    @property
    def queue(self) -> str | None:
        """The queue whose workers do it."""
        return self._stage.queue if self._stage else None

    def missing(self, answer: "Future[Any] | None" = None) -> str | None:
        """Why speakers cannot be told apart, and what to do; None if they can, or Redis cannot be asked.

        Args:
            answer: To the question ``PROBE``, of a caller who has asked it and will not wait for it.
        """
        if self._chosen == "off" or not self._stage:
            return "This installation does not tell speakers apart; leave out diarise, or ask its operator."
        if self._chosen == "on" or self._known:
            return None
        found = answer or self._probes.ask(PROBE, seconds=_ANSWER_SECONDS)[PROBE]
        if not found.done() or found.exception() is not None:
            return None
        # What was known once stays so in this process: a Redis that comes back empty has forgotten it.
        self._known = bool(found.result())
        if self._known:
            return None
        if diarisers.installed():
            return f"No worker tells speakers apart; the operator must start one for the queue {self._stage.queue}."
        return (
            "Speakers cannot be told apart, because pyannote.audio is not installed; the operator installs it with "
            f"`{diarisers.INSTALL}`, and starts Longhand again."
        )
