"""`longhand jobs`: what the server has to do and has done."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client import ApiError, Client, Exit, Job
from cli.connection import talks_to_api
from cli.screen import for_tables, job_state, plain, seconds, state_of

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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("job", "state", "recording", "length", "made"):
        table.add_column(name, no_wrap=name != "recording", overflow="fold")
    for job in found:
        made = job["created_at"].replace("T", " ")[:16]
        cells = (job["id"], job_state(job), job["source"]["name"], seconds(job["source"]["duration"]), made)
        table.add_row(*(Text(cell) for cell in cells))
    for_tables().print(table)


@jobs.command(cls=ApiCommand)
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@talks_to_api
def show(client: Client, job_id: str, as_json: bool) -> None:
    """One job with its stages."""
    job = client.job(job_id)
    if as_json:
        click.echo(json.dumps(job, ensure_ascii=False, indent=2))
        return
    for line in described(job):
        plain(Console(highlight=False), line)


def described(job: Job) -> list[str]:
    """A job for people, line by line."""
    source = job["source"]
    about = ", ".join(filter(None, [source["format"], seconds(source["duration"]), f"{source['bytes'] / 1e6:.1f} MB"]))
    lines = [f"{job['id']}  {job_state(job)}", f"  {source['name']} ({about})"]
    for step in job["steps"]:
        more = {"done": state_of(step), "running": f"{100 * (step.get('progress') or 0):.0f} %"}
        lines.append(f"  {step['stage']:<16}{step['status']:<10}{more.get(step['status'], '')}".rstrip())
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
    raise SystemExit(_each(job_ids, lambda job_id: f"{job_id}: {client.cancel(job_id)['status']}"))


@jobs.command(cls=ApiCommand)
@click.argument("job_ids", metavar="JOB…", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@talks_to_api
def delete(client: Client, job_ids: tuple[str, ...], yes: bool) -> None:
    """Delete jobs with their recordings and results."""
    if not yes:
        click.confirm(f"Delete {len(job_ids)} job(s) with recordings and results?", abort=True)

    def one(job_id: str) -> str:
        client.delete(job_id)
        return f"{job_id}: deleted"

    raise SystemExit(_each(job_ids, one))


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
