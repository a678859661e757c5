"""What is asked, what is answered, how fast; and what the API tells others (webhooks)."""

from panels import BAD, GOOD, WARN, bars, choice, dashboard, heatmap, lines, query, row, stat, steps, table

_OWN = 'route=~"$route",method=~"$method"'
_COUNT = f"longhand_http_request_duration_seconds_count{{{_OWN}}}"
_BUCKET = f"longhand_http_request_duration_seconds_bucket{{{_OWN}}}"
_ERRORS = f'longhand_http_request_duration_seconds_count{{{_OWN},status="5xx"}}'
_SECOND = f'longhand_http_request_duration_seconds_bucket{{{_OWN},le="1.0"}}'
_ASKED = 'route!~"/health.*|/metrics"'
"""As in the alerts: health checks answer 503 when they should, and /metrics waits for what is away."""
_NONE = "(sum(longhand_http_request_duration_seconds_count) * 0)"
"""A zero where there has been no error yet, and nothing where there are no figures at all."""


def _but(series: str) -> str:
    return series.replace("}", f",{_ASKED}}}")


BOARD = dashboard(
    "longhand-api",
    "Longhand: API",
    "Requests, errors and how long answers take; without the time spent waiting for clients or for jobs.",
    [
        stat(
            "Requests, a second", "In the last five minutes.", query(f"sum(rate({_COUNT}[5m]))"),
            unit="reqps", coloured="none",
        ),
        stat(
            "Server errors",
            "Share of the last ten minutes' answers, of status 500 and above; without health checks, which answer 503 "
            "when they should, and /metrics.",
            query(f"(sum(rate({_but(_ERRORS)}[10m])) or {_NONE}) / sum(rate({_but(_COUNT)}[10m]))"),
            unit="percentunit", thresholds=steps((0.01, WARN), (0.05, BAD)), defaults={"noValue": "no requests"},
        ),
        stat(
            "Slower than a second",
            "Share of the last quarter of an hour's answers, without health checks and /metrics.",
            query(f"1 - sum(rate({_but(_SECOND)}[15m])) / sum(rate({_but(_COUNT)}[15m]))"),
            unit="percentunit", thresholds=steps((0.02, WARN), (0.05, BAD)), defaults={"noValue": "no requests"},
        ),
        stat(
            "95 of 100 answers within",
            "Of the last quarter of an hour.",
            query(f"histogram_quantile(0.95, sum by (le) (rate({_BUCKET}[15m])))"),
            unit="s", thresholds=steps((0.5, WARN), (1, BAD)), defaults={"noValue": "no requests"},
        ),
        stat(
            "Uploads under way", "Resumable ones that have begun and are not complete.",
            query("max(longhand_uploads_in_progress)"), unit="short", coloured="none",
        ),
        stat(
            "Webhooks that wait", "For their first or their next try.",
            query('sum(longhand_webhook_deliveries{status="pending"})'), unit="short", coloured="none",
        ),
        row("Requests"),
        lines(
            "Answers, a second",
            "By the first digit of their status.",
            query(f"sum by (status) (rate({_COUNT}[$__rate_interval]))", "{{status}}"),
            unit="reqps", stacked=True,
        ),
        lines(
            "How long answers take",
            "Until they begin.",
            query(f"histogram_quantile(0.5, sum by (le) (rate({_BUCKET}[$__rate_interval])))", "half within"),
            query(f"histogram_quantile(0.95, sum by (le) (rate({_BUCKET}[$__rate_interval])))", "95 % within"),
            query(f"histogram_quantile(0.99, sum by (le) (rate({_BUCKET}[$__rate_interval])))", "99 % within"),
            unit="s", limit=1,
        ),
        lines(
            "Server errors by route",
            "Answers of status 500 and above, in the time of each bar. web.log has a line with the code for each.",
            query(f"sum by (method, route) (increase({_ERRORS}[$__rate_interval])) > 0", "{{method}} {{route}}"),
            unit="short", stacked=True, bars=True,
        ),
        heatmap(
            "Answers by how long they take",
            "Two bands mean two kinds of requests, or a lock that some wait for.",
            f"sum by (le) (increase({_BUCKET}[$__rate_interval]))",
        ),
        table(
            "Routes",
            "In the time that is shown.",
            {
                "A": ("Requests", "short", f"round(sum by (method, route) (increase({_COUNT}[$__range])))"),
                "B": (
                    "Server errors", "short",
                    f"round(sum by (method, route) (increase({_ERRORS}[$__range]))"
                    f" or 0 * sum by (method, route) (increase({_COUNT}[$__range])))",
                ),
                "C": (
                    "Half within", "s",
                    f"histogram_quantile(0.5, sum by (method, route, le) (increase({_BUCKET}[$__range])))",
                ),
                "D": (
                    "95 % within", "s",
                    f"histogram_quantile(0.95, sum by (method, route, le) (increase({_BUCKET}[$__range])))",
                ),
            },
            labels={"method": "Method", "route": "Route"},
            sort="Requests",
        ),
        row("Webhooks"),
        lines(
            "Tries, a minute",
            "refused: the receiver answered that it does not want it; unanswered: it did not answer.",
            query("sum by (outcome) (rate(longhand_webhook_tries_total[$__rate_interval])) * 60", "{{outcome}}"),
            unit="short", stacked=True,
        ),
        stat(
            "Given up", "In the time that is shown. Each was tried for a day.",
            query("round(sum(increase(longhand_webhooks_given_up_total[$__range])))", instant=True),
            unit="short", height=8, thresholds=steps((1, WARN), (3, BAD), first=GOOD),
        ),
        bars(
            "Webhooks in the record", "By what became of them.",
            query("sum by (status) (longhand_webhook_deliveries)", "{{status}}", instant=True),
            unit="short", width=8,
        ),
    ],
    choices=[
        choice("route", "Route", "longhand_http_request_duration_seconds_count"),
        choice("method", "Method", "longhand_http_request_duration_seconds_count"),
    ],
    hours=3,
)  # fmt: skip
