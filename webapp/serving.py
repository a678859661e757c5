"""Whether anybody works on what is sent, so that nobody waits for a job that nobody takes."""

import time
from collections.abc import Collection, Iterable, Mapping

from pydantic import ValidationError

from pipelines.stage import Stage, plan
from store.events import PRESENCE_SECONDS
from tasks.app import CPU
from webapp.errors import RETRY_SECONDS, Problem
from webapp.probes import Probes

PROBE = "queues"
"""Name of the question for the queues that are served."""
_ANSWER_SECONDS = 0.5
"""What Redis has not said by then is not known."""


class Serving:
    """What this process knows of who serves which queue.

    Workers that start or are being restarted have ``PRESENCE_SECONDS`` for it, and so has an installation that starts.

    Args:
        probes: They know the question ``PROBE``.
        stages: All stages by name.
    """

    def __init__(self, probes: Probes, stages: Mapping[str, Stage]) -> None:
        self._probes = probes
        self._stages = stages
        self._began = time.monotonic()
        self._seen: dict[str, float] = {}

    def missing(self, queues: Collection[str]) -> list[str]:
        """Those queues that nobody has served for a while; none as long as Redis cannot be asked."""
        found = self._probes.ask(PROBE, seconds=_ANSWER_SECONDS)[PROBE]
        if not found.done() or found.exception() is not None:
            return []
        now = time.monotonic()
        self._seen.update(dict.fromkeys(found.result(), now))
        return sorted(name for name in queues if now - self._seen.get(name, self._began) > PRESENCE_SECONDS)

    def check(self, stages: Iterable[str]) -> None:
        """Refuse what would be waited for in vain.

        Args:
            stages: Names of those that are to run.

        Raises:
            Problem: 503, nobody serves one of their queues.
        """
        self._check({self._stages[name].queue for name in stages})

    def check_any(self) -> None:
        """The same for what every recording needs, before it is sent.

        Raises:
            Problem: As ``check``.
        """
        try:
            usual = plan(self._stages, {})
        except ValidationError:  # some stage cannot do without an option
            usual = []
        self._check({stage.queue for stage in usual if "models" in stage.needs})

    def _check(self, queues: Collection[str]) -> None:
        if missing := self.missing({CPU, *queues}):
            detail = (
                f"No worker serves the queue {missing[0]}, so nothing would come of the wait; the operator must start "
                "one. Until then /v1/jobs takes recordings."
            )
            raise Problem(503, detail, code="queue_full", headers={"Retry-After": str(RETRY_SECONDS)})
