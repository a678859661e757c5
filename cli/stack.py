"""Which programs make up the stack, and what they are told through their environment."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

import config
from config.secret_files import SECRETS, SUFFIX
from config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
TETHER = Path(__file__).with_name("tether.py")
WEB_STOP_SECONDS = 12
"""A little longer than gunicorn's graceful_timeout."""
SILENT = {
    "ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYANNOTE_METRICS_ENABLED": "0", "DO_NOT_TRACK": "1",
}  # fmt: skip
"""Libraries that would tell their makers what they are used for must know this before they are imported."""


@dataclass(frozen=True)
class Program:
    """One process that the process manager keeps alive."""

    name: str
    arguments: tuple[str, ...]
    stop_signal: str = "TERM"
    """Asks it to stop; also what the kernel sends if the process manager itself is killed."""
    stop_seconds: int = 10
    """Killed, with all its children, if it takes longer."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """For this one only."""

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments, tethered to the process manager."""
        return (sys.executable, "-IS", str(TETHER), f"SIG{self.stop_signal}", *self.arguments)


def programs(
    settings: Settings, *, cpu_workers: int, gpu_workers: int, gpus: list[str], diarise: bool = False
) -> list[Program]:
    """Everything but Redis: the API, the workers, beat and Flower.

    Args:
        settings: What the operator chose.
        cpu_workers: Tasks that need no model and run at once.
        gpu_workers: Processes that hold models; each is a worker of its own, so that each can have its own GPU.
        gpus: The GPUs there are, as CUDA_VISIBLE_DEVICES names them.
        diarise: Whether speakers are told apart, which takes a worker of its own: a long recording must not hold up
            the transcription of others.
    """
    configured = Path(config.__file__).parent
    # A worker that is told QUIT ends within seconds and hands its work back; TERM would wait for hours of it. For the
    # API it is the other way round: TERM lets running requests end (graceful_timeout), QUIT breaks them off.
    web = ("gunicorn", "-c", str(configured / "gunicorn.py"), "webapp.main:app")
    found = [
        Program("web", _module(*web), stop_seconds=WEB_STOP_SECONDS),
        Program("cpu", _worker(settings, "cpu", "cpu", cpu_workers), stop_signal="QUIT"),
        Program("net", _worker(settings, "net", "net", settings.net_threads, pool="threads"), stop_signal="QUIT"),
    ]
    for number in range(1, gpu_workers + 1):
        seen = {"CUDA_VISIBLE_DEVICES": gpus[(number - 1) % len(gpus)]} if len(gpus) > 1 else {}
        worker = _worker(settings, f"gpu{number}", "gpu", 1)
        found.append(Program(f"gpu{number}", worker, stop_signal="QUIT", variables=seen))
    if diarise:
        last = {"CUDA_VISIBLE_DEVICES": gpus[-1]} if len(gpus) > 1 else {}
        worker = _worker(settings, "diarise", "diarise", 1)
        found.append(Program("diarise", worker, stop_signal="QUIT", variables=last))
    flower = (*_celery("flower"), f"--conf={configured / 'flower.py'}")
    return [
        *found,
        Program("beat", (*_celery("beat"), "-s", "beat-schedule", "--pidfile=", "-l", settings.log_level)),
        Program("flower", flower),
    ]


def _worker(settings: Settings, name: str, queue: str, concurrency: int, *, pool: str = "prefork") -> tuple[str, ...]:
    size = ("--pool", pool, "--concurrency", str(concurrency))
    # Workers that ask each other who is there and what was revoked start slower; the record knows both.
    quick = ("--without-mingle", "--without-gossip")
    return (*_celery("worker"), "-Q", queue, *size, "-n", f"{name}@%h", *quick, "-l", settings.log_level)


def _celery(command: str) -> tuple[str, ...]:
    return _module("celery", "-A", "tasks.main", command)


def _module(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of the stack.

    They run in a folder of their own (Celery imports from its working folder, and that must not be the user's), so what
    the user's folder said (``.env``, relative paths) is spelt out here.

    Args:
        settings: All that was set is handed on, whether by environment, ``.env`` or command line.
        inherited: This process's own environment.
    """
    # What came from a file of secrets is handed on by itself, and its file with it would be one too many.
    names = {name.upper() for name in (*Settings.model_fields, *(secret + SUFFIX for secret in SECRETS))}
    # Not a setting of ours, but perhaps one of a library's: HF_HOME, CUDA_VISIBLE_DEVICES, OMP_NUM_THREADS.
    found = SILENT | {name: value for name, value in dotenv_values(".env").items() if value} | dict(inherited)
    found = {name: value for name, value in found.items() if name.upper() not in names}
    for name in sorted(settings.model_fields_set):
        value = _as_variable(name, getattr(settings, name))
        if value is not None:
            found[name.upper()] = value
    if (ROOT / "pyproject.toml").is_file():  # a checkout works whether it was installed or not
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), found.get("PYTHONPATH")]))
    return found | {"PYTHONUNBUFFERED": "1"}


def _as_variable(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return json.dumps({key: _absolute(target) for key, target in value.items()})
    if isinstance(value, list):
        return ",".join(str(part.resolve()) if isinstance(part, Path) else _absolute(str(part)) for part in value)
    if isinstance(value, Path):
        return str(value.expanduser().resolve())
    if isinstance(value, bool):
        return str(value).lower()
    if name == "diarisation_model":
        return _absolute(str(value))
    return _absolute_database(value) if name == "database_url" else str(value)


def _absolute(model: str) -> str:
    """A model's folder by its full path; any other name as it is."""
    return str(Path(model).expanduser().resolve()) if model.startswith(("./", "../", "~/")) else model


def _absolute_database(url: str) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError:
        return url  # whoever opens it will say what is wrong with it
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return url
    return parsed.set(database=str(Path(parsed.database).resolve())).render_as_string(hide_password=False)
