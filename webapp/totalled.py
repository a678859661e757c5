"""The running totals of the record (``store.totals``) as figures for Prometheus.

What can happen and has not yet is told as 0: Prometheus sees no increase in what it has not seen before.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from config.settings import Settings
from pipelines.languages import LANGUAGES
from pipelines.stages.diarise import FAILED
from store import totals
from store.figures import RecordFigures
from store.jobs import PRIORITIES
from store.models import OVER
from store.totals import Sum
from webapp.access.auth import OWNER
from webapp.models import public_model
from webapp.services import Services

_CODE = re.compile("[a-z][a-z0-9_]{0,63}")
_OTHER = "other"
"""Whatever is not one of a few known values: each value is a time series that Prometheus keeps."""
OURS = (
    *("engine_error", "internal", "interrupted", "model_unavailable", "out_of_memory", "storage_full", "timeout"),
    *("tool_error", "unavailable", "worker_lost"),
)
"""Codes of jobs that failed for something else than what was sent; alerts look for more of them, so they are there."""
THEIRS = (
    *("unsupported_media", "no_audio", "too_long", "too_large", "invalid_option", "unknown_model"),
    *("model_not_allowed", "fetch_failed", "rate_limited"),
)
"""Codes of jobs that failed for what was sent, or for the server it was to be fetched from."""
_TRIES = (totals.DELIVERED, totals.REFUSED, totals.UNANSWERED, totals.DIED)
_Labels = tuple[str, ...]


def families(s: Services, found: RecordFigures) -> Iterable[Metric]:
    """All of them."""
    sums = found.totals
    yield _ended(sums[totals.JOBS])
    yield _audio(s.settings, sums[totals.AUDIO])
    yield from _of_keys(s.settings, found)
    yield from _pieces(s, sums)
    yield from _waits(s, sums)
    text = "Seconds that a job waited for its account's turn; 0: it had it at once."
    turns: dict[_Labels, list[Sum]] = defaultdict(list, {(priority,): [] for priority in PRIORITIES})
    for one in sums[totals.TURNS]:
        turns[(one.label,)].append(one)
    yield _histogram("longhand_turn_wait_seconds", text, ["priority"], turns, totals.LINES)
    yield from _factors(s.settings, sums)
    text = "Jobs that were done with a warning, by its code."
    warned: dict[_Labels, float] = defaultdict(float, {(FAILED,): 0.0})
    for one in sums[totals.WARNED]:
        warned[(_code(one.label),)] += one.count
    yield _counter("longhand_jobs_warned", text, ["code"], warned)
    yield from _webhooks(sums[totals.WEBHOOKS])


def known_model(settings: Settings, name: str) -> str:
    """A model as it is shown: only those the operator named, whatever else requests may ask for."""
    known = {*settings.model_names, *settings.whisper_aliases.values()}
    return public_model(settings, name) if name in known else _OTHER


def _ended(sums: Iterable[Sum]) -> Metric:
    text = "Jobs that ended, once for each time they did, by outcome and, of those that failed, by error code."
    never: dict[_Labels, float] = {(status, ""): 0.0 for status in ("done", "cancelled")}
    counts: dict[_Labels, float] = defaultdict(float, never | {("failed", code): 0.0 for code in (*OURS, *THEIRS)})
    for one in sums:
        counts[one.label, _code(one.detail) if one.label == "failed" else one.detail] += one.count
    return _counter("longhand_jobs_ended", text, ["outcome", "code"], counts)


def _audio(settings: Settings, sums: Iterable[Sum]) -> Metric:
    text = "Seconds of audio of the jobs that were done, by model and language."
    seconds: dict[_Labels, float] = defaultdict(float)
    for one in sums:
        seconds[known_model(settings, one.label), _language(one.detail)] += one.amount
    return _counter("longhand_audio_seconds", text, ["model", "language"], seconds)


def _of_keys(settings: Settings, found: RecordFigures) -> Iterable[Metric]:
    """What was done for whom. Those of one account are told under its first key, as in /v1/usage."""
    seconds: dict[_Labels, float] = defaultdict(float)
    ended: dict[_Labels, float] = defaultdict(float)
    models = {name: known_model(settings, name) for name in {one.label for one in found.accounts}}
    for owner in (OWNER, *found.idle):
        for outcome in OVER:
            ended[owner, "API_KEY" if owner == OWNER else found.names.get(owner, ""), outcome] += 0
    for one in found.accounts:
        name = "API_KEY" if one.owner == OWNER else found.names.get(one.owner, "")
        if one.figure == totals.AUDIO:
            seconds[one.owner, name, models[one.label], _language(one.detail)] += one.amount
        elif one.figure == totals.JOBS:
            for outcome in OVER:
                ended[one.owner, name, outcome] += 0
            ended[one.owner, name, one.label] += one.count
    most = f"of the {totals.MOST_ACCOUNTS} accounts that have had the most audio, by the id and name of the first key"
    text = f"Seconds of audio of the jobs that were done, {most}."
    yield _counter("longhand_key_audio_seconds", text, ["key", "key_name", "model", "language"], seconds)
    yield _counter("longhand_key_jobs_ended", f"Jobs that ended, {most}.", ["key", "key_name", "outcome"], ended)


def _pieces(s: Services, sums: Mapping[str, Sequence[Sum]]) -> Iterable[Metric]:
    text = "Seconds that a piece of work (a stage, or one chunk of it) took from its first start to its end."
    took: dict[_Labels, list[Sum]] = defaultdict(list, {(stage,): [] for stage in s.flow.stages})
    for one in sums[totals.PIECES]:
        took[(one.label,)].append(one)
    yield _histogram("longhand_stage_duration_seconds", text, ["stage"], took, totals.BOUNDS)
    text = "Pieces of work that were left undone, to be begun again, by reason."
    often = ("worker_lost", "out_of_memory")
    again: dict[_Labels, float] = defaultdict(float, {(stage, why): 0.0 for stage in s.flow.stages for why in often})
    for one in sums[totals.AGAIN]:
        again[one.label, _code(one.detail)] += one.count
    yield _counter("longhand_stage_retries", text, ["stage", "reason"], again)
    text = "Pieces of work taken from a worker that had died or was cut off: its parent said so, or it was silent."
    how = (totals.CHILD, totals.SILENT)
    lost: dict[_Labels, float] = defaultdict(float, {(stage, one): 0.0 for stage in s.flow.stages for one in how})
    for one in sums[totals.LOST]:
        lost[one.label, one.detail] += one.count
    yield _counter("longhand_leases_lost", text, ["stage", "how"], lost)


def _waits(s: Services, sums: Mapping[str, Sequence[Sum]]) -> Iterable[Metric]:
    text = "Seconds that a stage was on its queue before it, or the first of its chunks, began for the first time."
    kinds: list[_Labels] = [(queue, priority) for queue in s.queue_names() for priority in PRIORITIES]
    waits: dict[_Labels, list[Sum]] = defaultdict(list, {kind: [] for kind in kinds})
    for one in sums[totals.WAITS]:
        priority, _, bound = one.detail.partition(" ")
        waits[one.label, priority].append(Sum(one.label, bound, one.count, one.amount))
    bounds = (*totals.BOUNDS, s.settings.queue_wait_target_seconds)
    yield _histogram("longhand_queue_wait_seconds", text, ["queue", "priority"], waits, bounds)
    text = "Stages that were on their queue for longer than QUEUE_WAIT_TARGET_SECONDS was then."
    late: dict[_Labels, float] = defaultdict(float, dict.fromkeys(kinds, 0.0))
    for one in sums[totals.LATE]:
        late[one.label, one.detail] += one.count
    yield _counter("longhand_queue_waits_over_target", text, ["queue", "priority"], late)


def _factors(settings: Settings, sums: Mapping[str, Sequence[Sum]]) -> Iterable[Metric]:
    for name, figure, what in (
        ("longhand_job_real_time_factor", totals.FACTORS, "all of its work"),
        ("longhand_transcription_real_time_factor", totals.HEARD, "the work on its chunks"),
    ):
        text = f"Seconds that {what} took for each second of a job's audio, of the jobs that were done."
        found: dict[_Labels, list[Sum]] = defaultdict(list)
        for one in sums[figure]:
            found[(known_model(settings, one.label),)].append(one)
        yield _histogram(name, text, ["model"], found, totals.RATIOS)


def _webhooks(sums: Iterable[Sum]) -> Iterable[Metric]:
    counts = {one.label: one.count for one in sums}
    text = "Tries of webhooks that are over, by what became of them."
    tries: dict[_Labels, float] = {(outcome,): float(counts.get(outcome, 0)) for outcome in _TRIES}
    yield _counter("longhand_webhook_tries", text, ["outcome"], tries)
    text = "Webhooks that were given up."
    yield CounterMetricFamily("longhand_webhooks_given_up", text, counts.get(totals.GIVEN_UP, 0))


def _counter(name: str, text: str, labels: Sequence[str], values: Mapping[_Labels, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for own, value in sorted(values.items()):
        family.add_metric(own, value)
    return family


def _histogram(
    name: str, text: str, labels: Sequence[str], sums: Mapping[_Labels, Sequence[Sum]], bounds: Iterable[float]
) -> Metric:
    """Sums by label whose detail is a bound, some of them perhaps of an earlier version or setting."""
    family = HistogramMetricFamily(name, text, labels=labels)
    usual = {*map(float, bounds), inf}
    for own, found in sorted(sums.items()):
        counts: dict[str, int] = defaultdict(int)
        for one in found:
            counts[one.detail] += one.count
        below, buckets = 0, []
        for bound in sorted(usual | {float(kept) for kept in counts}):
            below += counts.get(totals.name_of(bound), 0)
            buckets.append((repr(bound) if bound < inf else totals.BEYOND, float(below)))
        family.add_metric(own, buckets, sum(one.amount for one in found))
    return family


def _code(text: str) -> str:
    return text if _CODE.fullmatch(text) else _OTHER


def _language(text: str) -> str:
    return text if text in LANGUAGES else _OTHER
