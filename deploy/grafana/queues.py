"""What waits for whom, how long the work takes, and what had to be begun again."""

from panels import BAD, TARGET, WARN, bars, choice, dashboard, heatmap, lines, query, row, stat, steps, table

_Q = 'queue=~"$queue"'
_LATE = f"longhand_queue_waits_over_target_total{{{_Q}}}"
_BEGUN = f"longhand_queue_wait_seconds_count{{{_Q}}}"
_WAITS = f"longhand_queue_wait_seconds_bucket{{{_Q}}}"
_WORKED = "sum by (stage) (rate(longhand_stage_duration_seconds_sum[10m]))"
_BUSY = (
    f"sum by (queue) ({_WORKED} * on (stage) group_left (queue) max by (stage, queue) (longhand_stage_info{{{_Q}}}))"
    f" / on (queue) max by (queue) (longhand_worker_processes{{{_Q}}} > 0)"
)
_TOOK = 'longhand_stage_duration_seconds_bucket{stage=~"$stage"}'

BOARD = dashboard(
    "longhand-queues",
    "Longhand: queues and workers",
    "What waits, for how long, who works on it, and what had to be begun again.",
    [
        stat(
            "Workers",
            "Of the queues that are chosen. Red: nobody serves that queue.",
            query(f"max by (queue) (longhand_workers{{{_Q}}})", "{{queue}}"),
            unit="short", width=6, text="value_and_name", thresholds=steps((1, "green"), first=BAD),
        ),
        stat(
            "Messages that wait",
            "Jobs that wait for their account's turn are not among them, nor are most chunks of a long recording.",
            query(f"sum by (queue) (longhand_queue_messages{{{_Q}}})", "{{queue}}"),
            unit="short", width=6, text="value_and_name", coloured="none",
        ),
        stat(
            "Oldest, in targets",
            "Age of the oldest message of these queues, as a share of QUEUE_WAIT_TARGET_SECONDS.",
            query(
                f"max(longhand_queue_oldest_message_seconds{{{_Q}}}) / max(longhand_queue_wait_target_seconds)"
            ),
            unit="percentunit", thresholds=steps((0.8, WARN), (1, BAD)),
        ),
        stat(
            "Began in time",
            "Share of the last hour's work that began within the target. The objective is 99 %.",
            query(f"1 - sum(increase({_LATE}[1h])) / sum(increase({_BEGUN}[1h]))"),
            unit="percentunit", thresholds=steps((0.94, WARN), (0.99, "green"), first=BAD),
            defaults={"decimals": 1, "noValue": "no work"},
        ),
        stat(
            "Workers lost",
            "Pieces of work taken from a worker that died or was cut off, in the last hour.",
            query("round(sum(increase(longhand_leases_lost_total[1h])))"),
            unit="short", thresholds=steps((1, WARN), (3, BAD)),
        ),
        row("Waiting"),
        lines(
            "Age of the oldest message",
            "Above the line it waits longer than it should. If workers are busy, more of them help. What waits behind "
            "its own recording is left out.",
            query(
                f"max by (queue, priority) (longhand_queue_oldest_message_seconds{{{_Q}}})", "{{queue}} {{priority}}"
            ),
            query("max(longhand_queue_wait_target_seconds)", TARGET),
            unit="s",
        ),
        lines(
            "Messages that wait",
            "By queue and priority. With RabbitMQ the priority is any.",
            query(f"sum by (queue, priority) (longhand_queue_messages{{{_Q}}})", "{{queue}} {{priority}}"),
            unit="short", stacked=True,
        ),
        lines(
            "How long work waited",
            "Of the stages that began: half waited less than the first line says, 95 of 100 less than the second. "
            "What waits behind its own recording is not among them.",
            query(
                f"histogram_quantile(0.5, sum by (queue, le) (rate({_WAITS}[$__rate_interval])))", "{{queue}}, half"
            ),
            query(
                f"histogram_quantile(0.95, sum by (queue, le) (rate({_WAITS}[$__rate_interval])))", "{{queue}}, 95 %"
            ),
            query("max(longhand_queue_wait_target_seconds)", TARGET),
            unit="s",
        ),
        lines(
            "Share that began too late",
            "Within an hour each. The line is the objective: one in a hundred.",
            query(
                f"sum by (queue) (increase({_LATE}[1h])) / sum by (queue) (increase({_BEGUN}[1h]))", "{{queue}}"
            ),
            unit="percentunit", limit=0.01,
        ),
        heatmap(
            "Waits",
            "How many stages waited how long. Dark fields far up: some are left behind while others go on.",
            f"sum by (le) (increase({_WAITS}[$__rate_interval]))",
        ),
        lines(
            "Jobs",
            "Those that are not over. Queued ones with empty queues: their account's turn has not come, or beat does "
            "not run.",
            query('sum by (status) (longhand_jobs{status=~"queued|running"})', "{{status}}"),
            query("sum(longhand_queue_unacknowledged_messages)", "messages that workers hold"),
            unit="short",
        ),
        lines(
            "Jobs that wait for their account's turn",
            "ACCOUNT_JOBS of each account are under way at the same time; of the others nothing is on a queue.",
            query("sum by (priority) (longhand_turn_jobs_waiting)", "{{priority}}"),
            unit="short", stacked=True,
        ),
        lines(
            "How long jobs wait for their turn",
            "The next one of the account that waits longest; and of the jobs that got their turn, 95 of 100 waited "
            "less.",
            query("max by (priority) (longhand_turn_oldest_seconds)", "{{priority}}, oldest"),
            query(
                "histogram_quantile(0.95, sum by (priority, le) "
                "(rate(longhand_turn_wait_seconds_bucket[$__rate_interval])))",
                "{{priority}}, 95 %",
            ),
            unit="s",
        ),
        row("Working"),
        lines(
            "Workers and their processes",
            "By queue; one that serves several counts for each. A process, or a thread of net, does one piece of work.",
            query(f"max by (queue) (longhand_workers{{{_Q}}})", "{{queue}}"),
            query(f"max by (queue) (longhand_worker_processes{{{_Q}}})", "{{queue}}, processes"),
            unit="short",
        ),
        lines(
            "Pieces of work done, a minute",
            "A stage, or one chunk of it.",
            query(
                'sum by (stage) (rate(longhand_stage_duration_seconds_count{stage=~"$stage"}[$__rate_interval])) * 60',
                "{{stage}}",
            ),
            unit="short", stacked=True,
        ),
        lines(
            "How long a piece takes",
            "From its first start to its end, with what was lost with a worker: 95 of 100 take less.",
            query(
                f"histogram_quantile(0.95, sum by (stage, le) (rate({_TOOK}[$__rate_interval])))", "{{stage}}"
            ),
            unit="s",
        ),
        lines(
            "Processes that are busy",
            "Share of those of a queue, over ten minutes each. Near the line there is no room left. Work counts when "
            "it ends: what takes many minutes makes a peak.",
            query(_BUSY, "{{queue}}"),
            unit="percentunit", limit=0.9,
        ),
        row("Begun again"),
        lines(
            "Pieces that were left undone",
            "And begun again, in the time of each bar. worker_lost: it died; handed_back: it was stopped; outage: the "
            "database, the storage or Redis were away.",
            query(
                "sum by (stage, reason) (increase(longhand_stage_retries_total"
                '{stage=~"$stage"}[$__rate_interval])) > 0',
                "{{stage}}: {{reason}}",
            ),
            unit="short", width=8, stacked=True, bars=True,
        ),
        lines(
            "Workers lost in the middle of work",
            "child: its process was killed, most often for want of memory; silent: the whole worker was not heard of.",
            query(
                'sum by (stage, how) (increase(longhand_leases_lost_total{stage=~"$stage"}[$__rate_interval])) > 0',
                "{{stage}}: {{how}}",
            ),
            unit="short", width=8, stacked=True, bars=True,
        ),
        lines(
            "Since upkeep",
            "Beat has a cpu worker look after all jobs every UPKEEP_SECONDS. If this only grows, one of them is gone.",
            query("min(longhand_upkeep_age_seconds)", "since upkeep"),
            unit="s", width=8,
        ),
        table(
            "Models in memory",
            "Workers that have them. A model named other is one that requests asked for and the settings do not name.",
            {"A": ("Workers", "short", "sum by (model, device, compute_type) (longhand_models_loaded)")},
            labels={"model": "Model", "device": "Device", "compute_type": "Type"},
            width=12,
        ),
        bars(
            "Seconds of work for a second of audio",
            "All stages of a job together, on average, in the time that is shown.",
            query(
                "sum by (model) (increase(longhand_job_real_time_factor_sum[$__range]))"
                " / sum by (model) (increase(longhand_job_real_time_factor_count[$__range]))",
                "{{model}}", instant=True,
            ),
            unit="short",
        ),
    ],
    choices=[
        choice("queue", "Queue", "longhand_workers"),
        choice("stage", "Stage", "longhand_leases_lost_total"),
    ],
)  # fmt: skip
