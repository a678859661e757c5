"""`longhand jobs`: what the server has to do and has done."""

import json
import re
from typing import Any

import click
from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import ApiError, Client, Exit, Job
from cli.connection import talks_to_api
from cli.screen import for_tables, job_state, plain, seconds, size, state_of

NARROW = 120
"""Columns of a terminal under which the beginning of an id has to do."""
SHORT = 8
NAME_LINES = 4
"""Lines a recording's name may take."""
LEAST_ROOM = 12
GAPS = 8
"""Columns between the five."""
SHORTEST = 6
"""Characters of an id that are enough to name a job."""
NEWEST = 200
"""Jobs among which the beginning of an id is looked up."""
STATUSES = ["queued", "running", "done", "failed", "cancelled"]


class ApiCommand(click.Command):
    """A command whose errors of the API end it with one sentence and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except ApiError as error:
            click.echo(f"Error: {error.detail}", err=True)
            raise SystemExit(error.exit_code) from error


@click.group()
def jobs() -> None:
    """List, show, cancel and delete jobs."""


@jobs.command("list", cls=ApiCommand)
@click.option("--status", type=click.Choice(STATUSES), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one job a line.")
@talks_to_api
def list_(client: Client, status: str | None, limit: int, as_json: bool) -> None:
    """The newest jobs."""
    found = client.jobs(status=status, limit=limit)
    if as_json:
        for job in found:
            click.echo(json.dumps(job, ensure_ascii=False))
        return
    if not found:
        click.echo("There are no jobs." if status is None else f"There are no jobs that are {status}.")
        return
    console = for_tables()
    console.print(listing(found, console.width))


def listing(found: list[Job], width: int) -> Table:
    """Jobs as a table for so many columns; what does not fit is shortened, and nothing is wrapped but names."""
    narrow = width < NARROW
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("job", "state", "recording", "length", "made"):
        table.add_column(name, no_wrap=name != "recording", overflow="fold")
    rows = [
        (
            job["id"][:SHORT] if narrow else job["id"],
            job_state(job).partition(",")[0] if narrow else job_state(job),
            job["source"]["name"],
            seconds(job["source"]["duration"]),
            job["created_at"].replace("T", " ")[5 if narrow else 0 : 16],
        )
        for job in found
    ]
    taken = sum(max(6, *(cell_len(row[column]) for row in rows)) for column in (0, 1, 3, 4))
    room = max(LEAST_ROOM, width - taken - GAPS)
    for row in rows:
        table.add_row(*(Text(_folded(cell, room) if column == 2 else cell) for column, cell in enumerate(row)))
    return table


def _folded(name: str, width: int) -> str:
    """A name on as many lines as it may have."""
    lines = chop_cells(name, width)
    if len(lines) > NAME_LINES:
        lines[NAME_LINES - 1] = f"{set_cell_size(lines[NAME_LINES - 1], width - 1).rstrip()}…"
    return "\n".join(lines[:NAME_LINES])


@jobs.command(cls=ApiCommand)
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@talks_to_api
def show(client: Client, job_id: str, as_json: bool) -> None:
    """One job with its stages."""
    job = client.job(whole_id(client, job_id))
    if as_json:
        click.echo(json.dumps(job, ensure_ascii=False, indent=2))
        return
    for line in described(job):
        plain(Console(highlight=False), line)


def described(job: Job) -> list[str]:
    """A job for people, line by line."""
    source = job["source"]
    about = ", ".join(filter(None, [source["format"], seconds(source["duration"]), size(source["bytes"])]))
    lines = [f"{job['id']}  {job_state(job)}", f"  {source['name']} ({about})"]
    for step in job["steps"]:
        more = {"done": state_of(step), "running": f"{100 * (step.get('progress') or 0):.0f} %"}
        status = step["status"]
        if job["status"] == "failed" and status == "cancelled":
            status = "not reached"  # nobody cancelled anything
        lines.append(f"  {step['stage']:<16}{status:<10}{more.get(status, '')}".rstrip())
    if job["error"]:
        lines.append(f"  failed: {job['error']['detail']}")
    lines += [f"  warning: {warning['detail']}" for warning in job["warnings"]]
    if job["status"] == "done":
        lines += [f"  {name}  {job['links'][name]}" for name in ("txt", "srt", "vtt")]
    return lines


@jobs.command(cls=ApiCommand)
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@talks_to_api
def cancel(client: Client, job_ids: tuple[str, ...]) -> None:
    """Cancel jobs that have not ended."""
    raise SystemExit(_each(job_ids, lambda job_id: f"{job_id}: {client.cancel(whole_id(client, job_id))['status']}"))


@jobs.command(cls=ApiCommand)
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@talks_to_api
def delete(client: Client, job_ids: tuple[str, ...], yes: bool) -> None:
    """Delete jobs with their recordings and results."""
    if not yes:
        click.confirm(f"Delete {len(job_ids)} job(s) with recordings and results?", abort=True)

    def one(job_id: str) -> str:
        client.delete(whole_id(client, job_id))
        return f"{job_id}: deleted"

    raise SystemExit(_each(job_ids, one))


def whole_id(client: Client, text: str) -> str:
    """The id that begins with ``text``, if that is part of one; the server says what it thinks of anything else.

    Raises:
        ApiError: Several jobs' ids begin so.
    """
    if not re.fullmatch(rf"[0-9a-fA-F]{{{SHORTEST},31}}", text):
        return text
    found = [job["id"] for job in client.jobs(limit=NEWEST) if job["id"].startswith(text.lower())]
    if len(found) > 1:
        sentence = f"{len(found)} jobs begin with {text}: give more of the id."
        raise ApiError(sentence, code="ambiguous", exit_code=Exit.USAGE)
    return found[0] if found else text


def _each(job_ids: tuple[str, ...], action: Any) -> Exit:
    """Do something with each; one that fails does not keep the others from it."""
    code = Exit.FINE
    for job_id in job_ids:
        try:
            click.echo(action(job_id))
        except ApiError as error:
            click.echo(f"{job_id}: {error.detail}", err=True)
            code = error.exit_code if code in {Exit.FINE, error.exit_code} else Exit.FAILED
    return code
