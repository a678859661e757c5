"""What has to be true before the stack is started, each with a sentence that says what to do."""

import contextlib
import errno
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from config.settings import Settings, is_loopback
from pipelines.engines import pyannote_files, resolve
from pipelines.engines.diarisers import DiariserSettings
from pipelines.errors import LonghandError

DEFAULT_MODEL = "small"
HUB_SECONDS = 4.0
DATABASE_SECONDS = 5
LEAST_DISK = 500 * 1024 * 1024


class Refused(Exception):
    """The stack cannot be started; the message is a sentence that says what to do."""


@dataclass(frozen=True)
class Choice:
    """The model that serves when the operator named none, and why."""

    model: str
    reason: str


def choose_model(cache: Path | None) -> Choice:
    """`small` if it is on this machine or can be fetched, else the demo model; known after some 4 s at most."""
    if resolve.cached(DEFAULT_MODEL, cache):
        return Choice(DEFAULT_MODEL, "it is on this machine")
    if resolve.hub_reachable(HUB_SECONDS):
        return Choice(DEFAULT_MODEL, "the model hub can be reached")
    return Choice(resolve.DEMO, f"the model {DEFAULT_MODEL} is not on this machine and the model hub cannot be reached")


def choose_diariser(settings: Settings) -> Choice:
    """The diariser that was set, or the default if it is on this machine or can be fetched, else the demo.

    Raises:
        Refused: There is no such model.
    """
    name = settings.diarisation_model
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        if pyannote_files.on_this_machine(DiariserSettings(name, token=token, model_cache=settings.model_cache)):
            return Choice(name, "it is on this machine")
    except LonghandError as error:
        raise Refused(error.detail) from error
    if "diarisation_model" in settings.model_fields_set:
        return Choice(name, "DIARISATION_MODEL says so")
    if token is None:
        return Choice(resolve.DEMO, f"{name} is given out on request only: accept its terms on the hub, set HF_TOKEN")
    if not resolve.hub_reachable(HUB_SECONDS):
        return Choice(resolve.DEMO, f"{name} is not on this machine and the model hub cannot be reached")
    return Choice(name, "the model hub can be reached")


def missing_models(settings: Settings) -> list[str]:
    """Those of the models to load at start that have to be downloaded first.

    Raises:
        Refused: One of them does not exist.
    """
    names = [settings.whisper_aliases.get(name, name) for name in settings.whisper_models]
    try:
        return [name for name in dict.fromkeys(names) if not resolve.cached(name, settings.model_cache)]
    except LonghandError as error:
        raise Refused(error.detail) from error


def check_ports(settings: Settings) -> None:
    """Refuse ports that somebody has.

    Raises:
        Refused: One is taken or may not be used.
    """
    wanted = [
        (settings.bind_host, settings.bind_port, "--port"),
        (settings.flower_host, settings.flower_port, "--flower-port"),
    ]
    if settings.bind_port == settings.flower_port:
        raise Refused(f"The API and Flower cannot both use port {settings.bind_port}: choose another --flower-port.")
    for host, port, option in wanted:
        if (trouble := port_trouble(host, port)) is not None:
            raise Refused(
                f"{trouble}: stop it, or choose another port with {option}." if "taken" in trouble else trouble
            )


def port_trouble(host: str, port: int) -> str | None:
    """What stands in the way of listening on a port; None if nothing does."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return f"There is no address {host} on this machine: choose another --host."
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            return _port_sentence(host, port, error.errno)
    return None


def _port_sentence(host: str, port: int, number: int | None) -> str:
    if number == errno.EADDRINUSE:
        return f"Port {port} is taken by {_who(host, port)}"
    if number == errno.EACCES:
        return f"Port {port} is for the administrator only: choose one from 1024 up."
    if number == errno.EADDRNOTAVAIL:
        return f"There is no address {host} on this machine: choose another --host."
    return f"Port {port} cannot be used ({os.strerror(number or 0)}): choose another."


def _who(host: str, port: int) -> str:
    """Who could be listening, told by how it answers."""
    try:
        answer = httpx.get(f"http://{local_address(host)}:{port}/health/live", timeout=2, trust_env=False)
    except (httpx.HTTPError, ValueError):
        return "another program"
    if "X-Request-ID" in answer.headers:
        return "another Longhand"
    return "a Flower" if "Tornado" in answer.headers.get("Server", "") else "another web server"


def local_address(host: str) -> str:
    """How this machine reaches a server that listens on ``host``, as it stands in an address."""
    if host in {"0.0.0.0", ""}:  # noqa: S104  # compared, not bound to
        return "127.0.0.1"
    if host in {"::", "[::]"}:
        return "[::1]"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def address(host: str, port: int) -> str:
    """The web address of a server that listens on ``host``, for this machine."""
    return f"http://{local_address(host)}:{port}"


def open_to_network(settings: Settings) -> bool:
    """Whether others than this machine reach the API."""
    return not is_loopback(settings.bind_host)


def check_disk(folder: Path) -> None:
    """Refuse a disk that is as good as full.

    Raises:
        Refused: Less than 500 MB are free.
    """
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise Refused(
            f"Only {free // 2**20} MB are free where the data folder is: make room, or choose another with --data-dir."
        )


def database_trouble(url: str) -> str | None:
    """What stands in the way of opening a database; None if nothing does. An SQLite file is not made for it."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_trouble(Path(parsed.database)) if parsed.database else None
        patience = {"connect_timeout": DATABASE_SECONDS} if parsed.get_backend_name() == "postgresql" else {}
        engine = create_engine(parsed, connect_args=patience)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except (NoSuchModuleError, ImportError):
        return "DATABASE_URL names a database that no driver is installed for: see docs/operate.md, or use another."
    except ArgumentError:
        return "DATABASE_URL is no database address: write one such as postgresql+psycopg://user:password@host/name."
    except (SQLAlchemyError, OSError):
        return "The database of DATABASE_URL does not answer: check the address and that its server runs."
    return None


def broker_trouble(settings: Settings) -> str | None:
    """What stands in the way of using the RabbitMQ of BROKER_URL; None if nothing does."""
    from kombu.exceptions import OperationalError

    from tasks import rabbit
    from tasks.app import make_app

    try:
        rabbit.ask(make_app(settings, {}, sends_only=True))
    except OperationalError:
        return "The RabbitMQ of BROKER_URL does not answer, or refuses user or vhost: check address and server."
    return None


def _sqlite_trouble(path: Path) -> str | None:
    path = path.absolute()
    if not path.exists():
        folder = next(folder for folder in path.parents if folder.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):  # permissions are not all that can be in the way
                return None
        except OSError:
            return "The database file cannot be made: see DATABASE_URL, or DATA_DIR if that is not set."
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return f"The database file {path.name} cannot be read ({error}): see DATABASE_URL, or restore it."
    return (
        None if os.access(path, os.W_OK) else f"The database file {path.name} cannot be written: see its permissions."
    )


def writable_cache(environ: Mapping[str, str], data: Path) -> Path | None:
    """Where models are to be kept if the hub library's own folder cannot be written; None if it can."""
    if environ.get("HF_HOME") or environ.get("HF_HUB_CACHE"):
        return None
    home = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/nonexistent") / ".cache")
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), Path("/"))
    return None if os.access(existing, os.W_OK | os.X_OK) else data / "models"


def gpus(environ: Mapping[str, str]) -> list[str]:
    """The NVIDIA GPUs that may be used, as CUDA_VISIBLE_DEVICES names them."""
    if (visible := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [part.strip() for part in visible.split(",") if part.strip() and part.strip() != "-1"]
    known = list(Path("/proc/driver/nvidia/gpus").glob("*")) or list(Path("/dev").glob("nvidia[0-9]*"))
    return [str(number) for number in range(len(known))]
