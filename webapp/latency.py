"""How long this server takes for its answers: from the head of a request to the beginning of the answer.

What it waits for is left out: for the client's bytes, and for jobs that somebody asked to be waited for. So uploads,
long polls, synchronous calls and streams are told with all others, and what is told is what the server itself took.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf

from flask import Flask, g, has_request_context, request
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from werkzeug.wrappers import Response

from store.tallies import Tallies

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
_NO_ROUTE = "none"
_SUM = "sum"
_MICRO = 1_000_000


def install(app: Flask, tallies: Tallies) -> None:
    """Measure every request; first of all, so that whatever else is installed is measured as well."""

    def note(response: Response) -> Response:
        _note(tallies, response)
        return response

    app.before_request(_begin)
    app.after_request(note)


@contextmanager
def waiting() -> Iterator[None]:
    """Around what waits for a job: that is not the server's time."""
    began = time.monotonic()
    try:
        yield
    finally:
        # Of an answer that is sent bit by bit nothing is measured any more.
        if has_request_context():
            g.waited = g.get("waited", 0.0) + time.monotonic() - began


def family(counts: Mapping[str, int]) -> Metric:
    """What all processes measured."""
    text = "Seconds until an answer began, without those spent waiting for the client or for a job."
    found = HistogramMetricFamily("longhand_http_request_duration_seconds", text, labels=["method", "route", "status"])
    kinds: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for field, count in counts.items():
        method, status, bound, route = field.split(" ", 3)
        kinds[method, route, status][bound] = count
    for labels, own in sorted(kinds.items()):
        total = own.pop(_SUM, 0) / _MICRO
        below, buckets = 0, []
        for end in sorted({*BOUNDS, *map(float, own), inf}):
            below += own.get(f"{end:g}", 0)
            buckets.append((repr(end) if end < inf else "+Inf", float(below)))
        found.add_metric(labels, buckets, total)
    return found


def _begin() -> None:
    g.asked = time.monotonic()


def _note(tallies: Tallies, response: Response) -> None:
    began = g.get("asked")
    if began is None:
        return
    client = getattr(request.environ.get("gunicorn.socket"), "silence", 0.0)
    seconds = max(time.monotonic() - began - g.get("waited", 0.0) - client, 0.0)
    bound = next((bound for bound in BOUNDS if seconds <= bound), inf)
    method = request.method if request.method in _METHODS else _OTHER
    route = request.url_rule.rule if request.url_rule is not None else _NO_ROUTE
    kind = f"{method} {response.status_code // 100}xx"
    tallies.add(Counter({f"{kind} {bound:g} {route}": 1, f"{kind} {_SUM} {route}": round(seconds * _MICRO)}))
