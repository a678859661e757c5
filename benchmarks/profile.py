"""What work takes on some machine, kept in a file: ``benchmarks/profiles/*.json``."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.flow_model import StageTime

FOLDER = Path(__file__).parent / "profiles"
WHOLE = ("fetch", "normalise", "chunk", "detect_language", "merge", "export", "diarise", "finish")
UNKNOWN = StageTime(0.0)


@dataclass(frozen=True)
class Profile:
    """Stage times, and what else a job costs; on the machine it names."""

    machine: str
    """And the model, and how it was measured."""
    times: Mapping[str, StageTime]
    handover: float = 0.0
    costs: Mapping[str, float] = field(default_factory=dict)
    """See ``benchmarks.server_costs.COSTS``."""
    longest_minutes: float | None = None
    """Of the recordings it comes from; what is longer is a guess."""
    model: str = "demo"
    mean_minutes: float | None = None
    """Of the recordings it comes from, where it is from an installation at work."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Of those: which part was fetched, had its speakers told apart, came with its language (see ``Demand``)."""

    def with_factor(
        self, factor: float | None, *, stage: str = "transcribe", overhead: float | None = None
    ) -> "Profile":
        """The same with another real-time factor of a stage: seconds of work for a second of audio.

        Args:
            factor: None: as it is.
            stage: Which.
            overhead: Seconds more for each piece of it, however short; None: as it is.
        """
        now = self.times[stage]
        per_minute = now.per_minute if factor is None else 60 * factor
        time = StageTime(now.fixed if overhead is None else overhead, per_minute)
        return replace(self, times={**self.times, stage: time})

    def with_detection(self, seconds: float | None) -> "Profile":
        """The same with other seconds for finding out the language of a recording."""
        return self if seconds is None else self.with_factor(0.0, stage="detect_language", overhead=seconds)

    def knows(self, stage: str) -> bool:
        """Whether it says how long a stage takes."""
        return self.times[stage] != UNKNOWN

    def save(self, path: Path) -> None:
        """Write it."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def load(name: str) -> Profile:
    """A profile by its file, or by the name of one in ``benchmarks/profiles``.

    Raises:
        ValueError: There is none, or it is not one.
    """
    path = next((one for one in (Path(name), FOLDER / name, FOLDER / f"{name}.json") if one.is_file()), None)
    if path is None:
        known = ", ".join(sorted(one.stem for one in FOLDER.glob("*.json")))
        raise ValueError(f"there is no profile {name}; there are {known}, or give a file")
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        times = {stage: StageTime(**time) for stage, time in found.pop("times").items()}
        profile = Profile(times=times, **found)
        _check(profile)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{name} is not a profile: {error}") from None
    if missing := {"normalise", "chunk", "transcribe", "merge", "export"} - set(times):
        raise ValueError(f"{name} says nothing of {', '.join(sorted(missing))}")
    return replace(profile, times={**dict.fromkeys(WHOLE, UNKNOWN), **times})


def _check(profile: Profile) -> None:
    numbers = [profile.handover, *profile.costs.values(), *profile.shares.values()]
    numbers += [one for one in (profile.longest_minutes, profile.mean_minutes) if one is not None]
    numbers += [number for time in profile.times.values() for number in (time.fixed, time.per_minute)]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise ValueError(f"{number!r} is no number of 0 or more")


def fit(points: Iterable[tuple[float, float]]) -> StageTime:
    """Seconds fixed and per minute, by least squares over (minutes, seconds); neither below 0."""
    found = list(points)
    n = len(found)
    minutes, seconds = math.fsum(m for m, _ in found) / n, math.fsum(s for _, s in found) / n
    spread = math.fsum((m - minutes) ** 2 for m, _ in found)
    slope = math.fsum((m - minutes) * (s - seconds) for m, s in found) / spread if spread > 1e-9 else 0.0
    if slope <= 0:
        return StageTime(round(seconds, 5), 0.0)
    fixed = seconds - slope * minutes
    if fixed < 0:
        fixed, slope = 0.0, math.fsum(m * s for m, s in found) / math.fsum(m * m for m, _ in found)
    return StageTime(round(fixed, 5), round(slope, 6))
