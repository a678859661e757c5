"""Who uses it, and how much."""

from panels import bars, choice, dashboard, lines, query, row, stat, table

_KEY = 'key_name=~"$key"'
_AUDIO = f"longhand_key_audio_seconds_total{{{_KEY}}}"
_ENDED = f"longhand_key_jobs_ended_total{{{_KEY}}}"


def _of(outcome: str) -> str:
    return f'longhand_key_jobs_ended_total{{{_KEY},outcome="{outcome}"}}'


def _ended(outcome: str) -> str:
    return f"round(sum by (key, key_name) (increase({_of(outcome)}[$__range])))"


BOARD = dashboard(
    "longhand-keys",
    "Longhand: per key",
    "What was done for whom: accounts by the name of their first key, API_KEY being the administrator's. Of more than "
    "a hundred accounts those that have had the most audio.",
    [
        stat(
            "Hours of audio", "Of the accounts that are chosen, in the time that is shown.",
            query(f"sum(increase({_AUDIO}[$__range])) / 3600", instant=True), unit="short", width=6, coloured="none",
            defaults={"decimals": 1, "noValue": "0"},
        ),
        stat(
            "Jobs", "That ended in the time that is shown.",
            query(f"round(sum(increase({_ENDED}[$__range])))", instant=True), unit="short", width=6, coloured="none",
            defaults={"noValue": "0"},
        ),
        stat(
            "Accounts that did something", "In the time that is shown.",
            query(f"sum(sum by (key) (increase({_ENDED}[$__range])) > bool 0)", instant=True), unit="short", width=6,
            coloured="none", defaults={"noValue": "0"},
        ),
        stat(
            "Hours of audio of all accounts", "In the time that is shown, whichever are chosen.",
            query("sum(increase(longhand_audio_seconds_total[$__range])) / 3600", instant=True), unit="short", width=6,
            coloured="none", defaults={"decimals": 1, "noValue": "0"},
        ),
        bars(
            "Hours of audio by account", "The twenty with the most, in the time that is shown.",
            query(
                f"sort_desc(topk(20, sum by (key, key_name) (increase({_AUDIO}[$__range])))) / 3600", "{{key_name}}",
                instant=True,
            ),
            unit="short", defaults={"decimals": 1},
        ),
        lines(
            "Hours of audio done in an hour", "By account.",
            query(f"sum by (key, key_name) (rate({_AUDIO}[$__rate_interval]))", "{{key_name}}"),
            unit="short", stacked=True,
        ),
        table(
            "Accounts",
            "In the time that is shown. The id is that of the account's first key, as in /v1/usage, which has exact "
            "figures for bills.",
            {
                "A": ("Hours of audio", "none", f"sum by (key, key_name) (increase({_AUDIO}[$__range])) / 3600"),
                "B": (
                    "Done", "short",
                    _ended("done"),
                ),
                "C": (
                    "Failed", "short",
                    _ended("failed"),
                ),
                "D": (
                    "Cancelled", "short",
                    _ended("cancelled"),
                ),
            },
            labels={"key_name": "Key", "key": "Id"},
            sort="Hours of audio",
        ),
        row("What they send"),
        lines(
            "Jobs that ended, an hour", "By outcome.",
            query(f"sum by (outcome) (rate({_ENDED}[$__rate_interval])) * 3600", "{{outcome}}"),
            unit="short", stacked=True, bars=True,
        ),
        lines(
            "Share of jobs that failed",
            "By account, within an hour each, for whatever reason. One account alone: see what it sends.",
            query(
                f"sum by (key, key_name) (increase({_of('failed')}[1h]))"
                f" / sum by (key, key_name) (increase({_ENDED}[1h]))",
                "{{key_name}}",
            ),
            unit="percentunit", most=1,
        ),
        bars(
            "Hours of audio by language", "In the time that is shown.",
            query(f"sort_desc(sum by (language) (increase({_AUDIO}[$__range]))) / 3600", "{{language}}", instant=True),
            unit="short", defaults={"decimals": 1},
        ),
        bars(
            "Hours of audio by model", "In the time that is shown.",
            query(f"sort_desc(sum by (model) (increase({_AUDIO}[$__range]))) / 3600", "{{model}}", instant=True),
            unit="short", defaults={"decimals": 1},
        ),
    ],
    choices=[choice("key", "Account", "longhand_key_jobs_ended_total", "key_name")],
    hours=24,
)  # fmt: skip
