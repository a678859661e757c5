"""Which stages of a job can run now, and which of them one after the other in one message."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from pipelines.stage import Stage, needs_of
from tasks.app import NET


def ready(planned: Mapping[str, Stage], finished: AbstractSet[str]) -> list[Stage]:
    """The stages that are not done although everything they read is there, in order."""
    return [s for s in planned.values() if s.name not in finished and needs_of(s, planned) <= finished]


def run_from(head: Stage, planned: Mapping[str, Stage], finished: AbstractSet[str]) -> list[Stage]:
    """A stage and those that can follow it one by one, up to the next that must wait for something else.

    After waiting for other people's servers it may have to wait for its turn.
    """
    run = [head]
    for s in planned.values():
        needs = needs_of(s, planned)
        turn = run[-1].queue == NET and s.queue != NET
        if not s.each and not turn and run[-1].name in needs and needs <= finished | {r.name for r in run}:
            run.append(s)
    return run
