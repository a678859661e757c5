"""Options that every command shares that talks to the API: its address and the key."""

import functools
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from cli import announcement
from cli.announcement import Announcement
from cli.client import Client
from cli.credentials import kept_key
from config.settings import Settings, is_loopback


def settings_or_none() -> Settings | None:
    """The settings of this folder and environment; None if not valid (a client needs them for defaults only)."""
    try:
        return Settings()
    except ValidationError:
        return None


def default_url(settings: Settings | None, running: Announcement | None = None) -> str:
    """Where `longhand up` serves: the one that runs, unless this folder chose a port for another."""
    chosen = settings is not None and "bind_port" in settings.model_fields_set
    if running is not None and not (chosen and settings and running.data_dir != settings.data_dir):
        return running.url
    return f"http://127.0.0.1:{settings.bind_port if settings else 8081}"


def find_key(url: str, settings: Settings | None, running: Announcement | None = None) -> str | None:
    """The key to use when none was given: API_KEY, or, for a server on this machine, the one `longhand up` made."""
    if settings is not None and settings.api_key is not None:
        return settings.api_key.get_secret_value()
    if settings is None and os.environ.get("API_KEY"):
        return os.environ["API_KEY"]
    if running is not None and running.key and running.url == url.rstrip("/"):
        return running.key
    if settings is None:
        return None
    # A key that was made for this machine's server is not shown to another's.
    return kept_key(settings.data_dir) if is_loopback(urlsplit(url).hostname or "") else None


def connect(url: str | None, key: str | None) -> Client:
    """A client for the server that was asked for."""
    settings, running = settings_or_none(), announcement.find(os.environ)
    chosen = url or default_url(settings, running)
    return Client(chosen, key or find_key(chosen, settings, running))


def talks_to_api(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --url and --key, and a client as its first argument."""

    @click.option(
        "--url", envvar="LONGHAND_URL", metavar="URL", help="The server (LONGHAND_URL; else the one that runs here)."
    )
    @click.option("--key", envvar="LONGHAND_KEY", metavar="KEY", help="The API key (LONGHAND_KEY; else API_KEY).")
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, key: str | None, **options: Any) -> Any:
        client = connect(url, key)
        try:
            return command(client, *args, **options)
        finally:
            client.close()

    return wrapped
