"""`longhand models`: which models there are, and getting one onto this machine."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import announcement, preflight
from cli.client import ApiError, Client, Exit
from cli.connection import talks_to_api
from cli.screen import download, for_tables, plain
from config.loading import explain
from config.settings import Settings
from pipelines.engines import resolve
from pipelines.errors import LonghandError, ModelUnavailable

NO_HUB = (
    "It is not on this machine and the model hub cannot be reached: see to the network (HTTPS_PROXY, HF_ENDPOINT) and "
    "try again, or fetch the model's files on another machine and give their folder in WHISPER_MODELS."
)


@click.group()
def models() -> None:
    """List models and download them."""


@dataclass(frozen=True)
class Row:
    """What is known of one model."""

    name: str
    use: str
    here: str
    loaded: bool


@models.command("list")
@talks_to_api
def list_(client: Client) -> None:
    """The models that requests may use, and every size there is."""
    settings = _settings()
    console = for_tables()
    loaded, known = _served(client, console)
    if known is not None:
        settings = settings.model_copy(update=known)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "use", "on this machine", "loaded"):
        table.add_column(name, no_wrap=True)
    for row in rows(settings, loaded or []):
        # What a server elsewhere allows is not for the settings of this shell to say.
        use = row.use if loaded is None or known is not None else ""
        cells = (row.name, use, row.here, "?" if loaded is None else "yes" if row.loaded else "")
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    if resolve.DEMO in (settings.whisper_models if loaded is None else loaded):
        plain(console, "\nThe demo model knows a few hundred words of synthetic speech and recognises nothing else.")


def _served(client: Client, console: Console) -> tuple[list[str] | None, dict[str, Any] | None]:
    """Says whose models are listed: those in the server's memory, and its settings if it is this user's own."""
    try:
        _, health = client.health()
    except ApiError:
        plain(console, f"No server answers at {client.url}: these are the settings of this machine and this shell.\n")
        return None, None
    loaded = list(health.get("model", {}).get("loaded_models", []))
    running = announcement.find(os.environ)
    if running is None or running.url != client.url:
        plain(console, f"The server at {client.url} tells what it has loaded, not what else it allows.\n")
        return loaded, None
    plain(console, f"The server at {client.url}:\n")
    known = {
        "whisper_models": running.models,
        "whisper_aliases": running.aliases,
        "allowed_models": running.allowed,
    }
    return loaded, known


def rows(settings: Settings, loaded: list[str]) -> list[Row]:
    """What is known of every model: those with a use here first, then the sizes."""
    cache = _cache(settings)
    found = []
    for name in dict.fromkeys([*loaded, *settings.model_names, resolve.DEMO, *resolve.SIZES]):
        target = settings.whisper_aliases.get(name, name)
        found.append(Row(name, _use(settings, name, target), _here(target, cache), bool({name, target} & set(loaded))))
    return found


def _use(settings: Settings, name: str, target: str) -> str:
    if settings.model_for(None) == target and name in (settings.whisper_models[0], target):
        return "default"
    if name in settings.whisper_models:
        return "loaded at start"
    if name in settings.whisper_aliases:
        return f"another name of {target}"
    return "on demand" if settings.model_for(name) else "not allowed"


def _here(target: str, cache: Path | None) -> str:
    try:
        found = resolve.resolve(target)
        if found.kind == "demo":
            return "yes, comes with Longhand"
        return "yes" if resolve.cached(target, cache) else "no"
    except LonghandError as error:
        return error.detail


@models.command()
@click.argument("names", metavar="MODEL…", nargs=-1, required=True)
def pull(names: tuple[str, ...]) -> None:
    """Download models, so that they can be used without the network.

    Those on the server's machine; run it there.
    """
    settings = _settings()
    console = Console(stderr=True, highlight=False)
    code = Exit.FINE
    hub: bool | None = None
    for name in names:
        target = settings.whisper_aliases.get(name, name)
        try:
            if not resolve.cached(target, _cache(settings)):
                hub = resolve.hub_reachable(preflight.HUB_SECONDS) if hub is None else hub
                if not hub:
                    raise ModelUnavailable(NO_HUB)
            with download(console, name) as told:
                resolve.pull(target, told, cache=_cache(settings))
            click.echo(f"{name}: on this machine")
        except LonghandError as error:
            click.echo(f"{name}: {error.detail}", err=True)
            code = Exit.FAILED
    raise SystemExit(code)


def _cache(settings: Settings) -> Path | None:
    """Where `longhand up` keeps models."""
    return settings.model_cache or preflight.writable_cache(os.environ, settings.data_dir)


def _settings(**given: Any) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        raise click.ClickException(explain(error)) from error
