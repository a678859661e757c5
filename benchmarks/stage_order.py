"""Which stages a recording goes through, and which follow each other: asked of the program, and remembered."""

from functools import cache

from pipelines.stage import Stage, discover, order
from tasks import order as decisions

Kind = tuple[bool, bool, bool]
"""Whether it is fetched from an address, comes with its language, has its speakers told apart."""


@cache
def _stages() -> dict[str, Stage]:
    return discover()


@cache
def planned(kind: Kind) -> dict[str, Stage]:
    """The stages, in order."""
    fetched, language, diarise = kind
    without = {"fetch": not fetched, "detect_language": language, "diarise": not diarise}
    return {stage.name: stage for stage in order({n: s for n, s in _stages().items() if not without.get(n)})}


@cache
def ready(kind: Kind, finished: frozenset[str]) -> list[Stage]:
    """Those that can run now."""
    return decisions.ready(planned(kind), finished)


@cache
def follows(kind: Kind, head: str, finished: frozenset[str]) -> tuple[Stage, ...]:
    """A stage and those that follow it in one message after the other."""
    stages = planned(kind)
    return tuple(decisions.run_from(stages[head], stages, finished))
