"""Options that every command shares that talks to the API: its address and the key."""

import functools
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from cli.client import Client
from cli.credentials import kept_key
from config.settings import Settings, is_loopback


def settings_or_none() -> Settings | None:
    """The settings of this folder and environment; None if not valid (a client needs them for defaults only)."""
    try:
        return Settings()
    except ValidationError:
        return None


def default_url(settings: Settings | None) -> str:
    """Where `longhand up` in this folder serves."""
    return f"http://127.0.0.1:{settings.bind_port if settings else 8081}"


def find_key(url: str, settings: Settings | None) -> str | None:
    """The key to use when none was given: API_KEY, or, for a server on this machine, the one `longhand up` made."""
    if settings is None:
        return os.environ.get("API_KEY") or None
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    # A key that was made for this machine's server is not shown to another's.
    return kept_key(settings.data_dir) if is_loopback(urlsplit(url).hostname or "") else None


def connect(url: str | None, key: str | None) -> Client:
    """A client for the server that was asked for."""
    settings = settings_or_none()
    chosen = url or default_url(settings)
    return Client(chosen, key or find_key(chosen, settings))


def talks_to_api(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --url and --key, and a client as its first argument."""

    @click.option(
        "--url", envvar="LONGHAND_URL", metavar="URL", help="The server (LONGHAND_URL; http://127.0.0.1:8081)."
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
