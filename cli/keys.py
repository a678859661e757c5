"""`longhand keys`: who may use the server, and how much."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from cli.client import ApiError, Client, Exit, Key
from cli.connection import talks_to_api
from cli.jobs import NARROW, SHORT, SHORTEST, ApiCommand
from cli.screen import for_tables

SCOPES = ["read", "transcribe", "admin"]
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "y": 365.0}
_SPAN = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([hdwy])")
_HOUR = 3600.0


class Expiry(click.ParamType[dict[str, Any]]):
    """A time from now such as 90d, or a date."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The field of POST /v1/keys that says it."""
        if found := _SPAN.fullmatch(value.strip().lower()):
            return {"expires_in_days": float(found[1]) * _DAYS[found[2]]}
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time from now such as 12h, 90d, 8w or 1y nor a date such as 2040-01-31.")
        return {"expires_at": (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()}


@click.group()
def keys() -> None:
    """Make, list and revoke API keys (with an administrating key)."""


@keys.command(cls=ApiCommand)
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may; repeat it. Else read, transcribe."
)
@click.option("--rate", type=click.IntRange(1, 1_000_000), metavar="N", help="Requests a minute; else RATE_LIMIT.")
@click.option(
    "--audio-hours-per-day",
    "hours",
    type=click.FloatRange(0, min_open=True),
    metavar="HOURS",
    help="Audio it may have transcribed a day (UTC); else any.",
)
@click.option(
    "--account",
    metavar="ID",
    help="A key whose jobs it is to see and share, or admin for the operator's; else its own.",
)
@click.option("--expires", type=Expiry(), help="90d, 12h, 8w, 1y or a date (UTC); else never.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@talks_to_api
def create(
    client: Client,
    name: str,
    scopes: tuple[str, ...],
    rate: int | None,
    hours: float | None,
    account: str | None,
    expires: dict[str, Any] | None,
    as_json: bool,
) -> None:
    """Make a key called NAME and print it: this is the only time it can be seen."""
    asked: dict[str, Any] = {"name": name, **(expires or {})}
    if scopes:
        asked["scopes"] = list(dict.fromkeys(scopes))
    if rate is not None:
        asked["requests_per_minute"] = rate
    if hours is not None:
        asked["audio_seconds_per_day"] = hours * _HOUR
    if account is not None:
        asked["account"] = _whole_id(client, account)
    made = client.create_key(asked)
    if as_json:
        click.echo(json.dumps(made, ensure_ascii=False))
        return
    # On its own, so that KEY=$(longhand keys create …) works.
    click.echo(made["key"])
    click.echo(f"Key {made['id']} ({', '.join(made['scopes'])}); keep it safe, it is not shown again.", err=True)
    if made["webhook_secret"] is not None:
        click.echo(f"Its webhooks are signed with {made['webhook_secret']}; keep that as well.", err=True)


@keys.command("list", cls=ApiCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one key a line.")
@talks_to_api
def list_(client: Client, as_json: bool) -> None:
    """All keys, newest first."""
    found = client.api_keys()
    if as_json:
        for key in found:
            click.echo(json.dumps(key, ensure_ascii=False))
        return
    if not found:
        click.echo("There are no keys but API_KEY; make one with `longhand keys create NAME`.")
        return
    console = for_tables()
    console.print(listing(found, console.width))


@keys.command(cls=ApiCommand)
@click.argument("key_ids", metavar="ID…", nargs=-1, required=True)
@talks_to_api
def revoke(client: Client, key_ids: tuple[str, ...]) -> None:
    """End keys at once and for good; their jobs stay."""
    code = Exit.FINE
    for key_id in key_ids:
        try:
            client.revoke_key(_whole_id(client, key_id))
            click.echo(f"{key_id}: revoked")
        except ApiError as error:
            click.echo(f"{key_id}: {error.detail}", err=True)
            code = error.exit_code if code in {Exit.FINE, error.exit_code} else Exit.FAILED
    raise SystemExit(code)


def listing(found: list[Key], width: int) -> Table:
    """Keys as a table for so many columns; on narrow screens without what matters least."""
    narrow = width < NARROW
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ["id", "name", "account", "begins", "state", "scopes", "a minute", "audio a day", "expires", "used"]
    shown = [
        name for name in columns if not (narrow and name in {"account", "begins", "a minute", "audio a day", "used"})
    ]
    for name in shown:
        table.add_column(name, no_wrap=name != "name", overflow="fold")
    for key in found:
        row = {
            "id": key["id"][:SHORT] if narrow else key["id"],
            "name": key["name"],
            "account": "" if key["account"] == key["id"] else key["account"][:SHORT],
            "begins": f"{key['hint']}…",
            "state": state(key, datetime.now(UTC)),
            "scopes": ",".join(key["scopes"]),
            "a minute": str(key["requests_per_minute"] or ""),
            "audio a day": _hours(key["audio_seconds_per_day"]),
            "expires": (key["expires_at"] or "never")[:10],
            "used": (key["used_at"] or "never").replace("T", " ")[:16],
        }
        table.add_row(*(Text(row[name]) for name in shown))
    return table


def state(key: Key, at: datetime) -> str:
    """Whether a key still opens."""
    if key["revoked_at"]:
        return "revoked"
    expires = key["expires_at"] and datetime.fromisoformat(key["expires_at"])
    return "expired" if expires and expires <= at else "active"


def _hours(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / _HOUR:.4g} h"


def _whole_id(client: Client, text: str) -> str:
    """The id that begins with ``text``, if that is part of one; the server says what it thinks of anything else."""
    if not re.fullmatch(rf"[0-9a-fA-F]{{{SHORTEST},31}}", text):
        return text
    found = [key["id"] for key in client.api_keys() if key["id"].startswith(text.lower())]
    if len(found) > 1:
        raise ApiError(f"{len(found)} keys begin with {text}: give more.", code="ambiguous", exit_code=Exit.USAGE)
    return found[0] if found else text
