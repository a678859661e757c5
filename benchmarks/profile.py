"""What work takes on some machine, kept in a file: ``benchmarks/profiles/*.json``."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

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
    """See ``benchmarks.stage_times.COSTS``."""
    mean_minutes: float | None = None
    """Of the recordings it comes from, where it is from an installation at work."""

    def with_factor(self, factor: float | None, *, stage: str = "transcribe") -> "Profile":
        """The same with another real-time factor of a stage: seconds of work for a second of audio."""
        if factor is None:
            return self
        return replace(self, times={**self.times, stage: StageTime(self.times[stage].fixed, 60 * factor)})

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
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{name} is not a profile: {error}") from None
    if missing := {"normalise", "chunk", "transcribe", "merge", "export"} - set(times):
        raise ValueError(f"{name} says nothing of {', '.join(sorted(missing))}")
    return replace(profile, times={**dict.fromkeys(WHOLE, UNKNOWN), **times})


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


def from_metrics(url: str, costs: Mapping[str, float]) -> Profile:
    """The stage times of an installation at work, out of its ``/metrics``: of all it has done, per minute of audio.

    Args:
        url: Of the installation, or of its ``/metrics``; the key is taken from ``API_KEY``.
        costs: What a job costs beyond its stages, which nobody tells there.

    Raises:
        ValueError: It does not answer, or has done nothing yet.
    """
    key = os.environ.get("API_KEY")
    address = url if url.rstrip("/").endswith("/metrics") else f"{url.rstrip('/')}/metrics"
    try:
        answer = httpx.get(address, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=15)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise ValueError(f"{url} gives no figures: {error}") from None
    return of_metrics(answer.text, costs=costs, name=url)


def of_metrics(text: str, *, costs: Mapping[str, float], name: str) -> Profile:
    """The same out of the text of ``/metrics``.

    Raises:
        ValueError: Nothing has been done yet.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]

    def total(metric: str, **labels: str) -> float:
        matching = (one for one in samples if one.name == metric and labels.items() <= one.labels.items())
        return math.fsum(one.value for one in matching)

    minutes, jobs = total("longhand_audio_seconds_total") / 60, total("longhand_jobs_ended_total", outcome="done")
    if not minutes or not jobs:
        raise ValueError(f"{name} has finished no job yet")
    times = dict.fromkeys(WHOLE, UNKNOWN)
    for stage in (*WHOLE, "transcribe"):
        seconds = total("longhand_stage_duration_seconds_sum", stage=stage)
        pieces = total("longhand_stage_duration_seconds_count", stage=stage)
        if stage in ("fetch", "detect_language", "diarise"):
            # Not every job has them: what one of them took, however long the recording.
            times[stage] = StageTime(seconds / pieces if pieces else 0.0)
        else:
            times[stage] = StageTime(0.0, seconds / minutes)
    machine = f"{name}: {jobs:g} jobs, {minutes / 60:.1f} hours of audio"
    return Profile(machine, times, costs=dict(costs), mean_minutes=minutes / jobs)
