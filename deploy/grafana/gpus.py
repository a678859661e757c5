"""Whether the GPUs are worth what they cost."""

from panels import BAD, GOOD, WARN, choice, dashboard, lines, query, row, stat, steps, table

_GPU = 'host=~"$host"'
_USED = f"longhand_gpu_memory_used_bytes{{{_GPU}}}"
_ALL = f"longhand_gpu_memory_total_bytes{{{_GPU}}}"
_NAMES = "{{host}} {{gpu}}"

BOARD = dashboard(
    "longhand-gpu",
    "Longhand: GPUs",
    "How busy they are, what fills their memory, and how fast they transcribe. Empty without a GPU, and without the "
    "package nvidia-ml-py.",
    [
        stat(
            "GPUs", "Of the machines with gpu or diarise workers.", query(f"count({_ALL})"),
            unit="short", coloured="none", defaults={"noValue": "none"},
        ),
        stat(
            "Busy",
            "Share of the time in which they worked, on average. Low while work waits: too few workers for each GPU, "
            "or the work before it (queue cpu) is slow.",
            query(f"avg(longhand_gpu_utilisation_ratio{{{_GPU}}})"),
            unit="percentunit", coloured="none", defaults={"noValue": "not told"},
        ),
        stat(
            "Fullest memory",
            "Of the GPU with the least room. Full is no fault by itself: programs keep what they once took.",
            query(f"max({_USED} / {_ALL})"),
            unit="percentunit", thresholds=steps((0.9, WARN), (0.98, BAD)), defaults={"noValue": "not told"},
        ),
        stat(
            "Out of memory",
            "Pieces of work of the last hour that were begun again because memory ran out.",
            query('round(sum(increase(longhand_stage_retries_total{reason="out_of_memory"}[1h])))'),
            unit="short", thresholds=steps((1, WARN), (3, BAD)),
        ),
        stat(
            "Waits for a GPU",
            "Messages on the queue gpu.",
            query('sum(longhand_queue_messages{queue="gpu"})'),
            unit="short", coloured="none", link="longhand-queues",
        ),
        stat(
            "Workers",
            "Of the queue gpu. Red: nobody transcribes.",
            query('max(longhand_workers{queue="gpu"})'),
            unit="short", thresholds=steps((1, GOOD), first=BAD), link="longhand-queues",
        ),
        row("Each GPU"),
        lines(
            "How busy",
            "Share of the time in which it worked, by its driver. One that is cut into parts (MIG) does not tell.",
            query(f"longhand_gpu_utilisation_ratio{{{_GPU}}}", _NAMES),
            unit="percentunit", most=1,
        ),
        lines(
            "Memory that is taken",
            "By whatever program. The line is where it is nearly full.",
            query(f"{_USED} / {_ALL}", _NAMES),
            unit="percentunit", most=1, limit=0.98,
        ),
        table(
            "GPUs",
            "As they are now.",
            {
                "A": ("Busy", "percentunit", f"max by (host, gpu, model) (longhand_gpu_utilisation_ratio{{{_GPU}}})"),
                "B": ("Memory taken", "bytes", f"max by (host, gpu, model) ({_USED})"),
                "C": ("Memory", "bytes", f"max by (host, gpu, model) ({_ALL})"),
            },
            labels={"host": "Machine", "gpu": "Number", "model": "GPU"},
        ),
        row("What they do"),
        lines(
            "Seconds of transcription for a second of audio",
            "Of the jobs that were done, the work on their chunks alone: half of them needed less than the first line "
            "says, 95 of 100 less than the second. It includes workers without a GPU.",
            query(
                "histogram_quantile(0.5, sum by (model, le) "
                "(rate(longhand_transcription_real_time_factor_bucket[$__rate_interval])))", "{{model}}, half",
            ),
            query(
                "histogram_quantile(0.95, sum by (model, le) "
                "(rate(longhand_transcription_real_time_factor_bucket[$__rate_interval])))", "{{model}}, 95 %",
            ),
            unit="short",
        ),
        lines(
            "Hours of audio done in an hour",
            "By model.",
            query("sum by (model) (rate(longhand_audio_seconds_total[$__rate_interval]))", "{{model}}"),
            unit="short", stacked=True,
        ),
        lines(
            "Workers that have a model in memory",
            "By model, device and type of numbers; a diariser is one that tells speakers apart.",
            query(
                "sum by (model, device, compute_type) (longhand_models_loaded)",
                "{{model}}, {{device}} {{compute_type}}",
            ),
            query("sum(longhand_diarisers_loaded)", "diariser"),
            unit="short",
        ),
        lines(
            "Out of memory",
            "Pieces of work begun again for want of memory, of a GPU or of the machine, in the time of each bar.",
            query(
                'sum by (stage) (increase(longhand_stage_retries_total{reason="out_of_memory"}[$__rate_interval])) > 0',
                "{{stage}}",
            ),
            unit="short", bars=True, stacked=True,
        ),
    ],
    choices=[choice("host", "Machine", "longhand_gpu_memory_total_bytes")],
)  # fmt: skip
