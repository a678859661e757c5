"""Is everything well, and if not, where to look: the first dashboard at three in the morning."""

from panels import BAD, TARGET, WARN, bars, dashboard, lines, query, row, stat, steps, table

THEIRS = "unsupported_media|no_audio|too_long|too_large|invalid_option|unknown_model|model_not_allowed|fetch_failed|rate_limited"  # noqa: E501
"""Codes of jobs that failed for what was sent, as in the alerts."""
OURS = f'longhand_jobs_ended_total{{outcome="failed",code!~"{THEIRS}"}}'
_WORKS = {"mappings": [{"type": "value", "options": {"0": {"text": "DOWN"}, "1": {"text": "up"}}}]}
_OLDEST = "longhand_queue_oldest_message_seconds"
_LATE = "longhand_queue_waits_over_target_total"
_BEGUN = "longhand_queue_wait_seconds_count"

BOARD = dashboard(
    "longhand-overview",
    "Longhand: overview",
    "Whether everything is there, whether work waits, whether jobs fail, whether there is room.",
    [
        stat(
            "Parts",
            "Whether the database, Redis (and RabbitMQ) and the storage answer. Nothing at all: /metrics does not.",
            query("min by (part) (longhand_up)", "{{part}}"),
            unit="short", width=6, text="value_and_name", thresholds=steps((1, "green"), first=BAD), defaults=_WORKS,
        ),
        stat(
            "Workers by queue",
            "Workers that have given a sign of life in the last 30 s. A red queue is served by nobody; that of diarise "
            "need not be, where speakers are not told apart.",
            query("max by (queue) (longhand_workers)", "{{queue}}"),
            unit="short", width=6, text="value_and_name", thresholds=steps((1, "green"), first=BAD),
            link="longhand-queues",
        ),
        stat(
            "Oldest work, in targets",
            "How long the oldest message waits, as a share of QUEUE_WAIT_TARGET_SECONDS; without low priority.",
            query(f'max({_OLDEST}{{priority!="low"}}) / max(longhand_queue_wait_target_seconds)'),
            unit="percentunit", thresholds=steps((0.8, WARN), (1, BAD)), link="longhand-queues",
        ),
        stat(
            "Began in time",
            "Share of the last hour's work that began within QUEUE_WAIT_TARGET_SECONDS. The objective is 99 %.",
            query(
                f'1 - sum(increase({_LATE}{{priority!="low"}}[1h])) / sum(increase({_BEGUN}{{priority!="low"}}[1h]))'
            ),
            unit="percentunit", thresholds=steps((0.94, WARN), (0.99, "green"), first=BAD),
            defaults={"decimals": 1, "noValue": "no work"}, link="longhand-queues",
        ),
        stat(
            "Failed, of ours",
            "Jobs of the last hour that failed for something else than what was sent.",
            query(f"round(sum(increase({OURS}[1h])))"),
            unit="short", thresholds=steps((1, WARN), (5, BAD)),
        ),
        table(
            "What is wrong now",
            "Alerts that fire. What each wants is in docs/operate.md, “When an alert fires”.",
            {
                "A": (
                    "Since", "s",
                    'time() - max by (severity, alertname, queue, stage, part, place) '
                    '(ALERTS_FOR_STATE{alertname=~"Longhand.*"})'
                    ' and on (severity, alertname, queue, stage, part, place) '
                    'ALERTS{alertstate="firing",alertname=~"Longhand.*"}',
                )
            },
            labels={
                "severity": "Severity", "alertname": "Alert", "queue": "Queue", "stage": "Stage", "part": "Part",
                "place": "Disk",
            },
            width=16,
        ),
        stat(
            "Jobs now",
            "Jobs in the record, by status; those that were deleted are not in it.",
            query('sum by (status) (longhand_jobs{status=~"queued|running"})', "{{status}}"),
            unit="short", width=4, height=8, text="value_and_name", coloured="none",
        ),
        stat(
            "Room on disks",
            "The disks with DATA_DIR (data) and with the recordings (storage), as the API's machine sees them.",
            query("min by (place) (longhand_disk_free_bytes / longhand_disk_size_bytes)", "{{place}}"),
            unit="percentunit", width=4, height=8, text="value_and_name",
            thresholds=steps((0.1, WARN), (0.2, "green"), first=BAD),
        ),
        row("Work"),
        lines(
            "How long the oldest work waits",
            "The oldest message of each queue, of whatever priority. Above the line it is later than it should be. "
            "With RabbitMQ see the oldest job instead.",
            query(f"max by (queue) ({_OLDEST})", "{{queue}}"),
            query("max(longhand_jobs_oldest_queued_seconds)", "oldest job"),
            query("max(longhand_queue_wait_target_seconds)", TARGET),
            unit="s", link="longhand-queues",
        ),
        lines(
            "Jobs that ended, an hour",
            "Each end counts, so a job that is retried ends again.",
            query("sum by (outcome) (rate(longhand_jobs_ended_total[$__rate_interval])) * 3600", "{{outcome}}"),
            unit="short", stacked=True, bars=True,
        ),
        lines(
            "Why jobs failed",
            "By error code, in the time of each bar. What the codes mean is in docs/api.md.",
            query(
                'sum by (code) (increase(longhand_jobs_ended_total{outcome="failed"}[$__rate_interval])) > 0',
                "{{code}}",
            ),
            unit="short", stacked=True, bars=True,
        ),
        lines(
            "Hours of audio done in an hour",
            "By model. With full queues this is what the workers can do.",
            query("sum by (model) (rate(longhand_audio_seconds_total[$__rate_interval]))", "{{model}}"),
            unit="short", stacked=True, link="longhand-keys",
        ),
        row("What it runs on"),
        lines(
            "Room that is left",
            "Of the disks with DATA_DIR and with the recordings.",
            query("min by (place) (longhand_disk_free_bytes)", "{{place}}"),
            unit="bytes",
        ),
        lines(
            "Memory of Redis",
            "At its limit it takes no more messages and no more signs of life, so that all workers look dead. Without "
            "a line it has no limit of its own.",
            query("max(longhand_redis_memory_used_bytes)", "used"),
            query("max(longhand_redis_memory_max_bytes)", TARGET),
            unit="bytes",
        ),
        lines(
            "Workers",
            "By queue; one that serves several counts for each.",
            query("max by (queue) (longhand_workers)", "{{queue}}"),
            unit="short", link="longhand-queues",
        ),
        lines(
            "Answers of the API, a second",
            "By the first digit of their status. Health checks count, too.",
            query(
                "sum by (status) (rate(longhand_http_request_duration_seconds_count[$__rate_interval]))", "{{status}}"
            ),
            unit="reqps", stacked=True, link="longhand-api",
        ),
        bars(
            "Warnings of jobs that were done",
            "In the time that is shown, by code. diarisation_failed: the transcript came without speakers.",
            query("sort_desc(round(sum by (code) (increase(longhand_jobs_warned_total[$__range]))))", "{{code}}",
                  instant=True),
            unit="short", width=8,
        ),
        stat("Version", "What runs now.", query("longhand_build_info", "{{version}}"), unit="short", height=8,
             text="name", coloured="none"),
    ],
)  # fmt: skip
