"""Stage times of an installation at work, out of its ``/metrics``."""

import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.flow_model import StageTime
from benchmarks.profile import UNKNOWN, WHOLE, Profile

_NOT_EVERY = {"fetch": "fetched", "diarise": "diarise", "detect_language": "language"}
"""Stages that only some recordings have."""
Sample = tuple[str, tuple[tuple[str, str], ...]]


def from_metrics(source: str, since: str | None, other: Profile) -> Profile:
    """The times of what an installation has done, per minute of audio.

    Args:
        source: Its address, or that of its ``/metrics`` (the key is taken from ``API_KEY``); or a file with the answer.
        since: An earlier answer in a file: only what was done after it counts. None: all that was ever done.
        other: Where costs come from, and times that nobody tells there: between pieces of work, at the end of a job.

    Raises:
        ValueError: It does not answer, has done nothing yet, or what is earlier is not.
    """
    before = _read(since) if since else ""
    return of_metrics(_read(source), before, other, name=source)


def of_metrics(text: str, before: str, other: Profile, *, name: str) -> Profile:
    """The same out of the texts of ``/metrics``.

    Raises:
        ValueError: Nothing has been done yet, or they do not fit each other.
    """
    samples = _since(_samples(text), _samples(before), name)

    def total(metric: str, **labels: str) -> float:
        wanted = labels.items()
        return math.fsum(value for (one, own), value in samples.items() if one == metric and wanted <= set(own))

    minutes, jobs = total("longhand_audio_seconds_total") / 60, total("longhand_jobs_ended_total", outcome="done")
    if not minutes or not jobs:
        raise ValueError(f"{name} has finished no job yet" + (" since then" if before else ""))
    times, shares = dict.fromkeys(WHOLE, UNKNOWN), {}
    for stage in (*WHOLE, "transcribe"):
        seconds = total("longhand_stage_duration_seconds_sum", stage=stage)
        pieces = total("longhand_stage_duration_seconds_count", stage=stage)
        if stage in _NOT_EVERY:
            # What one of them took, however long the recording.
            times[stage] = StageTime(seconds / pieces if pieces else 0.0)
            part = min(1.0, pieces / jobs)
            shares[_NOT_EVERY[stage]] = 1 - part if stage == "detect_language" else part
        else:
            times[stage] = StageTime(0.0, seconds / minutes)
    times["finish"] = other.times["finish"]
    rest = total("longhand_jobs_ended_total") - jobs
    machine = f"{name}: {jobs:g} jobs, {minutes / 60:.1f} hours of audio"
    machine += f"; {rest:g} that failed or were cancelled count with the time they took" if rest else ""
    return replace(
        other, machine=machine, times=times, mean_minutes=minutes / jobs, longest_minutes=None, shares=shares
    )


def _read(source: str) -> str:
    if Path(source).is_file():
        return Path(source).read_text(errors="replace")
    key = os.environ.get("API_KEY")
    address = source if source.rstrip("/").endswith("/metrics") else f"{source.rstrip('/')}/metrics"
    try:
        answer = httpx.get(address, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=15)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ValueError(f"{source} gives no figures: {error}") from None
    return answer.text


def _samples(text: str) -> dict[Sample, float]:
    from prometheus_client.parser import text_string_to_metric_families

    found: Iterable[Any] = (one for family in text_string_to_metric_families(text) for one in family.samples)
    try:
        return {(one.name, tuple(sorted(one.labels.items()))): float(one.value) for one in found}
    except ValueError as error:
        raise ValueError(f"that is no answer of /metrics: {error}") from None


def _since(now: dict[Sample, float], before: dict[Sample, float], name: str) -> dict[Sample, float]:
    """What was added; gauges are of no interest here."""
    counters = {one: value for one, value in now.items() if one[0].endswith(("_total", "_sum", "_count"))}
    found = {one: value - before.get(one, 0.0) for one, value in counters.items()}
    # Sums of seconds are floats, and may differ in their last digit.
    if any(value < -1e-6 * counters[one] - 1e-9 for one, value in found.items()):
        raise ValueError(f"what was to be earlier is later than {name}, or of another installation")
    return found
