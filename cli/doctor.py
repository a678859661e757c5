"""`longhand doctor`: what is there, what is missing, what to do."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import click
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from cli import preflight, redis_server
from cli.client import ApiError, Client, Exit
from cli.configuration import misspelt
from cli.connection import talks_to_api
from cli.credentials import kept_key
from cli.places import fits
from cli.preflight import database_trouble
from cli.storage import ownership_trouble, storage_trouble
from config.loading import explain
from config.settings import Settings
from pipelines.engines import EngineSettings, diarisers, resolve
from pipelines.errors import LonghandError

Level = Literal["ok", "note", "bad"]
_MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("BAD ", "red")}
_PACKAGES = (
    "flask",
    "gunicorn",
    "celery",
    "faster-whisper",
    "ctranslate2",
    "onnxruntime",
    "av",
    "supervisor",
    "flower",
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    """note: works, but know this; bad: `longhand up` would not work."""
    name: str
    detail: str


@click.command()
@talks_to_api
def doctor(client: Client) -> None:
    """Look at everything Longhand needs and say what is missing and what to do.

    Exit code 1 if something is bad.
    """
    console = Console(highlight=False)
    worst = Exit.FINE
    for finding in examine(client):
        mark, colour = _MARKS[finding.level]
        line = Text.assemble((mark, colour), f"  {finding.name:<10}{finding.detail}")
        console.print(line, soft_wrap=True)
        if finding.level == "bad":
            worst = Exit.FAILED
    raise SystemExit(worst)


def examine(client: Client) -> Iterator[Finding]:
    """Every finding, as it is made."""
    yield python()
    yield packages()
    try:
        settings = Settings()
    except ValidationError as error:
        yield Finding("bad", "settings", explain(error))
        return
    yield Finding("ok", "settings", f"valid; {len(settings.model_fields_set)} of them set")
    for sentence in misspelt(os.environ):
        yield Finding("note", "settings", sentence)
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...]
    checks = (ffmpeg, redis, broker, device, data, files, record, model, diariser)
    for check in checks:
        yield from check(settings)
    yield from server(client, settings)


def python() -> Finding:
    """Whether this Python is one that Longhand is tested with."""
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("ok", "Python", f"{found} on {platform.machine()}")
    return Finding("bad", "Python", f"{found}; Longhand needs 3.11 or 3.12: make the environment anew with one of them")


def packages() -> Finding:
    """Whether what has to be installed is."""
    missing = []
    for name in _PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("bad", "packages", f"{', '.join(missing)} missing: run `make setup`")
    return Finding("ok", "packages", f"faster-whisper {version('faster-whisper')}, Celery {version('celery')}")


def ffmpeg(settings: Settings) -> Iterator[Finding]:
    """Whether ffmpeg is there and runs."""
    from pipelines.media.ffmpeg import find_ffmpeg

    path = shutil.which("ffmpeg")
    try:
        said = subprocess.run(  # noqa: S603
            [find_ffmpeg(), "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError, LonghandError):
        yield Finding(
            "bad", "ffmpeg", "none that runs: install ffmpeg, or the packages of requirements/local.txt again"
        )
        return
    origin = "from the PATH" if path else "bundled (imageio-ffmpeg)"
    yield Finding("ok", "ffmpeg", f"{said[2] if len(said) > 2 else '?'}, {origin}")
    if absent := [name for name in ("prlimit", "setpriv") if shutil.which(name) is None]:
        without = (
            f"{' and '.join(absent)} (util-linux) missing: ffmpeg runs without limits of its own; install util-linux"
        )
        yield Finding("note", "limits", without)


def redis(settings: Settings) -> Iterator[Finding]:
    """Whether there is a Redis to use."""
    if "redis_url" in settings.model_fields_set:
        from store.events import Events

        try:
            Events(settings.redis_url).ping()
            yield Finding("ok", "Redis", "the one of REDIS_URL answers")
        except Exception:  # whatever the client raises, there is no Redis there
            yield Finding(
                "bad", "Redis", "the one of REDIS_URL does not answer: start it, or unset REDIS_URL to use our own"
            )
        return
    try:
        found = redis_server.find()
    except redis_server.RedisTrouble as error:
        yield Finding("bad", "Redis", str(error))
        return
    yield Finding("ok", "Redis", f"our own will be started: {'.'.join(map(str, found.version))}")


def broker(settings: Settings) -> Iterator[Finding]:
    """Whether the broker answers, where that is not Redis."""
    if settings.broker_url is None:
        return
    trouble = preflight.broker_trouble(settings)
    yield Finding("bad" if trouble else "ok", "RabbitMQ", trouble or "the one of BROKER_URL answers")


def device(settings: Settings) -> Iterator[Finding]:
    """Where models will run."""
    from pipelines.engines.device import choose

    there = len(preflight.gpus(os.environ))
    try:
        name, numbers = choose(EngineSettings(settings.whisper_device, settings.whisper_compute_type))
    except (LonghandError, ImportError) as error:
        yield Finding("bad", "device", getattr(error, "detail", str(error)))
        return
    if name == "cpu" and there and settings.whisper_device == "auto":
        yield Finding("note", "device", f"{there} GPU(s) here, but models run on the CPU: install requirements/gpu.txt")
    else:
        yield Finding(
            "ok", "device", f"models run on {'the CPU' if name == 'cpu' else f'{there or 1} GPU(s)'} in {numbers}"
        )


def diariser(settings: Settings) -> Iterator[Finding]:
    """Whether speakers can be told apart."""
    if not diarisers.installed():
        level: Level = "bad" if settings.diarisation == "on" else "note"
        detail = f"pyannote.audio is not installed, so speakers are not told apart: `{diarisers.INSTALL}` installs it"
        yield Finding(level, "speakers", detail)
        return
    try:
        choice = preflight.choose_diariser(settings)
    except preflight.Refused as error:
        yield Finding("bad", "speakers", str(error))
        return
    level = "note" if choice.model == resolve.DEMO else "ok"
    yield Finding(level, "speakers", f"told apart with {choice.model}, because {choice.reason}")


def data(settings: Settings) -> Iterator[Finding]:
    """Whether recordings and results can be kept."""
    folder = next(f for f in (settings.data_dir, *settings.data_dir.parents) if f.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("bad", "data", f"{settings.data_dir} cannot be written: set DATA_DIR to a folder that can")
        return
    free = shutil.disk_usage(folder).free
    level: Level = "ok" if free > 5 * 2**30 else "note" if free > preflight.LEAST_DISK else "bad"
    yield Finding(
        level, "data", f"{settings.data_dir}, {free / 2**30:.1f} GB free{'' if level == 'ok' else ': make room'}"
    )
    if not fits(settings.data_dir / "run" / "sockets"):
        yield Finding(
            "note", "sockets", "the data folder's path is too long for sockets; they go to a temporary folder"
        )


def files(settings: Settings) -> Iterator[Finding]:
    """Whether files can be kept, where that is not in the data folder."""
    if settings.storage_url is not None:
        trouble = storage_trouble(settings)
        yield Finding("bad" if trouble else "ok", "storage", trouble or "files can be kept where STORAGE_URL says")
    if (trouble := ownership_trouble(settings)) is not None:
        yield Finding("bad", "storage", trouble)


def record(settings: Settings) -> Iterator[Finding]:
    """Whether the database can be opened; nothing is made where there is none yet."""
    trouble = database_trouble(settings.database)
    named = "DATABASE_URL" if settings.database_url else "the one in the data folder"
    yield Finding("bad" if trouble else "ok", "database", trouble or f"{named} can be opened")


def model(settings: Settings) -> Iterator[Finding]:
    """Whether the models to load at start are there or can be fetched."""
    cache = settings.model_cache or preflight.writable_cache(os.environ, settings.data_dir)
    hub = resolve.hub_reachable(preflight.HUB_SECONDS)
    yield Finding(
        "ok" if hub else "note", "hub", "can be reached" if hub else "cannot be reached; no model can be downloaded"
    )
    named = "whisper_models" in settings.model_fields_set
    for name in settings.whisper_models:
        try:
            there = resolve.cached(settings.whisper_aliases.get(name, name), cache)
        except LonghandError as error:
            yield Finding("bad", "model", f"{name}: {error.detail}")
            continue
        if there:
            yield Finding("ok", "model", f"{name} is on this machine")
        elif hub:
            yield Finding(
                "note", "model", f"{name} will be downloaded at the first start (or now: longhand models pull {name})"
            )
        elif named:
            yield Finding(
                "bad",
                "model",
                f"{name} is not on this machine and the hub is away: set WHISPER_MODELS=demo for a trial",
            )
        else:
            yield Finding(
                "note", "model", f"{name} is not on this machine; the demo model will serve, which knows few words"
            )


def server(client: Client, settings: Settings) -> Iterator[Finding]:
    """Whether the API answers and takes the key; if not, whether its ports are free."""
    try:
        _, health = client.health()
    except ApiError:
        yield Finding("note", "API", f"nothing answers at {client.url}; `longhand up` starts it")
        for name, host, port in (
            ("port", settings.bind_host, settings.bind_port),
            ("port", settings.flower_host, settings.flower_port),
        ):
            trouble = preflight.port_trouble(host, port)
            yield Finding("bad" if trouble else "ok", name, trouble or f"{port} is free")
        return
    wrong = [check["detail"] or name for name, check in health.get("checks", {}).items() if not check["ok"]]
    loaded = ", ".join(health.get("model", {}).get("loaded_models", [])) or "none"
    yield Finding(
        "bad" if wrong else "ok", "API", "; ".join(wrong) or f"answers at {client.url}; models loaded: {loaded}"
    )
    for warning in health.get("warnings", []):
        yield Finding("note", "API", warning["detail"])
    yield _key(client, settings)


def _key(client: Client, settings: Settings) -> Finding:
    try:
        client.jobs(limit=1)
    except ApiError as error:
        return Finding("bad", "key", error.detail)
    kept = kept_key(settings.data_dir) is not None and settings.api_key is None
    return Finding("ok", "key", "the one `longhand up` made is taken" if kept else "is taken")
