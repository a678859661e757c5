"""What a person sees while work goes on: bars on a terminal, plain lines where the output is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Column
from rich.text import Text

from cli.client import Job

_DONE = {"done": "done", "failed": "failed", "cancelled": "cancelled"}


def seconds(value: float | None) -> str:
    """A duration for people: 0.42 s, 12 s, 3 min 5 s, 2 h 1 min."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.2g} s" if value >= 0.1 else f"{value:.2f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def size(value: float) -> str:
    """A number of bytes for people: 7 bytes, 44 kB, 1.3 MB."""
    if value < 1000:
        return f"{value:.0f} bytes"
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.{0 if value >= 1e4 else 1}f} kB"


def plain(console: Console, text: str = "") -> None:
    """A line as it is: nothing in it is taken for markup, coloured or cut."""
    console.print(Text(text), soft_wrap=True)


def for_tables() -> Console:
    """Standard output; where it is no terminal with a width, lines are as long as they need to be."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=1000)


class StageDisplay:
    """One job, a row for each stage.

    Args:
        console: Where it is shown; lines instead of bars if that is no terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("  {task.description:<16}", markup=False),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._rows: dict[str, TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def sent(self, done: int, total: int) -> None:
        """How much of the recording is on its way."""
        self._row("upload", done / total if total else 1.0, f"{size(done)} of {size(total)}")
        if done >= total:
            self._line("upload", size(total))

    def show(self, job: Job) -> None:
        """How far each stage is."""
        for step in job["steps"]:
            state = state_of(step, failed=job["status"] == "failed")
            self._row(step["stage"], 1.0 if step["status"] == "done" else step.get("progress") or 0.0, state)
            if step["status"] in _DONE:
                self._line(step["stage"], state)

    def _row(self, name: str, share: float, state: str) -> None:
        if name not in self._rows:
            self._rows[name] = self._bars.add_task(name, total=1.0, state=state)
        self._bars.update(self._rows[name], completed=share, state=state)

    def _line(self, name: str, state: str) -> None:
        if not self._console.is_terminal and name not in self._said:
            self._said.add(name)
            plain(self._console, f"  {name:<16}{state}")


def state_of(step: dict[str, Any], *, failed: bool = False) -> str:
    """A stage's state in a few words; ``failed``: its job has, so that nobody cancelled what comes after."""
    pieces = f"{step['done']} of {step['total']}" if (step.get("total") or 1) > 1 else ""
    again = f"attempt {step['attempts']}" if step.get("attempts", 0) > 1 else ""
    status = step["status"]
    if status == "done":
        parts = [pieces, seconds(step.get("seconds"))]
    elif status == "running":
        parts = [pieces or "running", again]
    else:
        parts = ["" if status == "pending" else "not reached" if failed and status == "cancelled" else status]
    return "  ".join(part for part in parts if part)


class FilesDisplay:
    """Several jobs, a row for each recording. Safe to use from several threads.

    Args:
        console: Where it is shown; lines instead of bars if that is no terminal.
        quiet: Show nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        # A long name or state is cut, so that every recording keeps its one line with a bar in it.
        name = Column(no_wrap=True, overflow="ellipsis", max_width=max(12, console.width * 3 // 10))
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=max(8, min(28, console.width // 5))),
            TextColumn("{task.percentage:>3.0f} %", table_column=Column(no_wrap=True, min_width=5)),
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def add(self, name: str) -> TaskID:
        """A row for a recording."""
        return self._bars.add_task(name, total=1.0, state="waiting")

    def sent(self, row: TaskID, done: int, total: int) -> None:
        """How much of it is on its way."""
        self._bars.update(row, completed=done / total if total else 1.0, state="uploading")

    def show(self, row: TaskID, job: Job) -> None:
        """How far its job is."""
        self._bars.update(row, completed=job.get("progress") or 0.0, state=job_state(job))

    def finish(self, row: TaskID, name: str, sentence: str, *, well: bool) -> None:
        """How it ended."""
        # Why it failed is told at the end, where there is room for a sentence.
        self._bars.update(row, state="done" if well else "failed", completed=1.0 if well else None)
        if well and not self._quiet and not self._console.is_terminal:
            plain(self._console, f"{name}: {sentence}")


def job_state(job: Job) -> str:
    """A job's state in a few words."""
    if job["status"] == "queued":
        return f"queued, {job['queue_position']} in line" if job.get("queue_position") else "queued"
    if job["status"] != "running":
        return str(job["status"])
    at_work = [step["stage"] for step in job["steps"] if step["status"] == "running"]
    left = f", about {seconds(job['eta_seconds'])} left" if job.get("eta_seconds") else ""
    return f"{', '.join(at_work) or 'running'}{left}"


@contextmanager
def download(console: Console, name: str) -> Iterator[Any]:
    """A bar for a download; gives a function that is told bytes done and bytes in all."""
    columns = [
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=32),
        DownloadColumn(),
        TransferSpeedColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        row = bars.add_task(name, total=None)

        def told(done: float, total: float) -> None:
            bars.update(row, completed=done, total=total or None)

        yield told
