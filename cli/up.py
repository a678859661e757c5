"""`longhand up`: the whole stack on one machine."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
from pydantic import SecretStr, ValidationError
from rich.console import Console

from cli import credentials, preflight
from cli.announcement import Announcement, announced
from cli.client import ApiError, Client, Exit, Job
from cli.configuration import misspelt
from cli.launch import Workers, running, wait_until_ready
from cli.places import Busy, Places
from cli.preflight import Refused
from cli.processes import end_descendants
from cli.screen import StageDisplay, download, plain, seconds
from cli.signals import Stopped, heard
from cli.supervision import Supervisor, SupervisorTrouble
from config.loading import explain
from config.settings import Settings
from pipelines.engines import diarisers, resolve
from pipelines.errors import LonghandError, ModelUnavailable

Port = click.IntRange(1, 65535)
DEMO_SENTENCE = (
    "The demo model serves: it knows a few hundred words of synthetic speech and recognises nothing else. "
    "Set WHISPER_MODELS (to small, say) and see that the model hub can be reached."
)


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address the API listens on (BIND_HOST; 127.0.0.1).")
@click.option("--port", type=Port, help="Port of the API (BIND_PORT; 8081).")
@click.option("--flower-port", type=Port, help="Port of Flower (FLOWER_PORT; 5555).")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder for everything that is kept (DATA_DIR; data)."
)
@click.option("--cpu-workers", type=click.IntRange(1, 256), help="Tasks at once that need no model.")
@click.option("--gpu-workers", type=click.IntRange(1, 64), help="Processes with models; one for each GPU if not given.")
@click.option(
    "--send", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Transcribe this file at once."
)
@click.option("--once", is_flag=True, help="With --send: stop after it; exit code 0 only if it succeeded.")
def up(**options: Any) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    if options["once"] and options["send"] is None:
        raise click.UsageError("--once needs --send FILE.")
    console = Console(highlight=False)
    try:
        for sentence in misspelt(os.environ):
            plain(console, f"Warning: {sentence}")
        settings, workers = chosen(options, console)
        raise SystemExit(_serve(settings, workers, options["send"], once=options["once"], console=console))
    except (Refused, Busy, SupervisorTrouble, credentials.Unreadable, ApiError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        sentence = f"The data folder cannot be used ({error.strerror or error}): choose another with --data-dir."
        raise click.ClickException(sentence) from error


def chosen(options: dict[str, Any], console: Console) -> tuple[Settings, Workers]:
    """The settings of environment, ``.env`` and command line; what was left open is decided here.

    Raises:
        Refused: They are not valid.
    """
    named = {"host": "bind_host", "port": "bind_port", "flower_port": "flower_port", "data_dir": "data_dir"}
    given = {field: options[option] for option, field in named.items() if options[option] is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise Refused(explain(error)) from error
    gpus = preflight.gpus(os.environ)
    workers = Workers(cpu=options["cpu_workers"] or 2, gpu=options["gpu_workers"] or max(1, len(gpus)), gpus=gpus)
    decided: dict[str, Any] = {"data_dir": settings.data_dir}
    if settings.diarisation == "on" and not diarisers.installed():
        raise Refused(f"DIARISATION is on, but pyannote.audio is not installed: install it with `{diarisers.INSTALL}`.")
    if settings.diarisation == "auto" and diarisers.installed():
        decided["diarisation"] = "on"
    if not settings.whisper_cpu_threads:
        decided["whisper_cpu_threads"] = max(1, len(os.sched_getaffinity(0)) // workers.gpu)
    if settings.model_cache is None:
        decided["model_cache"] = preflight.writable_cache(os.environ, settings.data_dir)
    return settings.model_copy(update=decided), workers


def _serve(settings: Settings, workers: Workers, send: Path | None, *, once: bool, console: Console) -> int:
    """Run the stack to its end; the exit code."""
    began = time.monotonic()
    places = Places(settings.data_dir)
    places.make()
    with places.held():
        preflight.check_disk(places.data)
        preflight.check_ports(settings)
        settings, made_up = _with_secrets(settings)
        settings = _with_models(settings, console)
        with _stack(settings, places, workers, console) as supervisor:
            client = Client(preflight.address(settings.bind_host, settings.bind_port), _secret(settings.api_key))
            with contextlib.closing(client), announced(_announcement(settings, made_up, client.url), os.environ):
                _wait(supervisor, client, console)
                plain(console, f"Longhand is ready after {seconds(time.monotonic() - began)}.")
                _addresses(console, settings, made_up, client.url)
                shown = Shown(console, settings, key_made_up="api_key" in made_up, once=once)
                well = _transcribe(client, send, shown) if send else True
                if not once:
                    _stay(supervisor, console)
        return Exit.FINE if well else Exit.FAILED


@contextlib.contextmanager
def _stack(settings: Settings, places: Places, workers: Workers, console: Console) -> Iterator[Supervisor]:
    """The running stack; a signal ends it and the command, in order."""
    started: list[Supervisor] = []

    def at_once() -> None:
        for supervisor in started:
            supervisor.kill()
        end_descendants(os.getpid())
        os._exit(Exit.INTERRUPTED)

    with heard(at_once):
        try:
            with running(settings, places, workers) as supervisor:
                started.append(supervisor)
                try:
                    yield supervisor
                finally:
                    with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone
                        plain(console, "Stopping…")
        except Stopped as stopped:
            raise SystemExit(128 + stopped.number) from stopped


def _stay(supervisor: Supervisor, console: Console) -> None:
    """Wait for Ctrl-C, which is how it is meant to end."""
    plain(console, "Ctrl-C stops everything.")
    try:
        while supervisor.alive():
            time.sleep(0.5)
    except Stopped:
        return
    raise supervisor.ended()


def _with_secrets(settings: Settings) -> tuple[Settings, set[str]]:
    """The settings with a key, a password and what signs webhooks, and which of them we made up."""
    made_up = vars(credentials.keep(settings.data_dir))
    made_up = {name: value for name, value in made_up.items() if getattr(settings, name) is None}
    return settings.model_copy(update={name: SecretStr(value) for name, value in made_up.items()}), set(made_up)


def _with_models(settings: Settings, console: Console) -> Settings:
    """The settings with models that are on this machine."""
    free = "whisper_models" not in settings.model_fields_set
    if free:
        choice = preflight.choose_model(settings.model_cache)
        plain(console, f"Model: {choice.model}, because {choice.reason}.")
        settings = settings.model_copy(update={"whisper_models": [choice.model]})
    for name in preflight.missing_models(settings):
        plain(console, f"Downloading the model {name} (once).")
        try:
            with download(console, name) as told:
                resolve.pull(name, told, cache=settings.model_cache)
        except ModelUnavailable as error:
            if not free:
                raise Refused(error.detail) from error
            plain(console, error.detail)
            settings = settings.model_copy(update={"whisper_models": [resolve.DEMO]})
        except LonghandError as error:
            raise Refused(error.detail) from error
    if resolve.DEMO in settings.whisper_models:
        plain(console, DEMO_SENTENCE)
    if settings.diarisation == "on":
        choice = preflight.choose_diariser(settings)
        plain(console, f"Speakers are told apart with {choice.model}, because {choice.reason}.")
        settings = settings.model_copy(update={"diarisation_model": choice.model})
    return settings


def _wait(supervisor: Supervisor, client: Client, console: Console) -> None:
    with console.status("Starting") as status:
        said = ""

        def show(missing: str) -> None:
            nonlocal said
            status.update(f"Starting; still missing: {missing}")
            if missing != said and not console.is_terminal:
                plain(console, f"Starting; still missing: {missing}")
            said = missing

        wait_until_ready(supervisor, client, show)


def _addresses(console: Console, settings: Settings, made_up: set[str], url: str) -> None:
    key = _secret(settings.api_key) if "api_key" in made_up else "the one in API_KEY"
    password = _secret(settings.flower_password) if "flower_password" in made_up else "the one in FLOWER_PASSWORD"
    plain(console, f"  API     {url}  (documentation: {url}/docs)")
    plain(console, f"  key     {key}")
    plain(console, f"  Flower  {preflight.address(settings.flower_host, settings.flower_port)}")
    plain(console, f"          user {settings.flower_user}, password {password}")
    if "webhook_secret" in made_up:
        plain(console, f"  signs   webhooks with {_secret(settings.webhook_secret)}")
    plain(console, f"  models  {', '.join(settings.whisper_models)}")
    plain(console, f"  data    {settings.data_dir} (logs in {settings.data_dir / 'logs'})")
    if preflight.open_to_network(settings):
        plain(console, "  Other machines reach the API; without the key it refuses them.")


def _announcement(settings: Settings, made_up: set[str], url: str) -> Announcement:
    return Announcement(
        url=url,
        key=_secret(settings.api_key) if "api_key" in made_up else None,
        data_dir=settings.data_dir,
        process=os.getpid(),
        models=settings.whisper_models,
        aliases=settings.whisper_aliases,
        allowed=settings.allowed_models,
    )


@dataclass(frozen=True)
class Shown:
    """How the result of --send is shown."""

    console: Console
    settings: Settings
    key_made_up: bool
    """By us, so that it may be shown."""
    once: bool
    """The server stops afterwards: links to it would lead nowhere."""


def _transcribe(client: Client, file: Path, shown: Shown) -> bool:
    """Send a recording and show what comes of it; whether it succeeded."""
    console = shown.console
    plain(console, f"\nTranscribing {file.name}")
    began = time.monotonic()
    try:
        with StageDisplay(console) as display:
            job = client.submit(file, {}, sent=display.sent)
            for job in client.follow(job["id"], every=0.5):  # noqa: B020  # the last one is the one to show
                display.show(job)
    except ApiError as error:
        plain(console, f"That did not work: {error.detail}")
        return False
    if job["status"] != "done":
        failure = job["error"] or {"detail": "the job was cancelled."}
        plain(console, f"That did not work: {failure['detail']}")
        return False
    _show_result(client, job, shown, took=time.monotonic() - began)
    return True


def _show_result(client: Client, job: Job, shown: Shown, *, took: float) -> None:
    console, length = shown.console, job["source"]["duration"] or 0.0
    plain(console, f"\nDone: {seconds(length)} of audio in {seconds(took)}.\n")
    plain(console, client.result(job["id"], "txt").decode("utf-8").strip() or "(no speech was found)")
    plain(console)
    for warning in job["warnings"]:
        plain(console, f"Warning: {warning['detail']}")
    for name in ("srt", "vtt"):
        path = exported(shown.settings, job["id"], name)
        places = [job["links"][name], *([path] if path else [])] if not shown.once else [path or "kept in STORAGE_URL"]
        for label, where in zip((name.upper(), ""), places, strict=False):
            plain(console, f"  {label:<5}{where}")
    if not shown.once:
        variable = "KEY" if shown.key_made_up else "API_KEY"
        if shown.key_made_up:
            plain(console, f"\n  export KEY={client.key}")
        plain(console, f'  curl -H "Authorization: Bearer ${variable}" {shlex.quote(job["links"]["srt"])}\n')


def exported(settings: Settings, job_id: str, name: str) -> Path | None:
    """Where a job's subtitles are on this machine; None if they are elsewhere."""
    parts = urlsplit(settings.storage)
    if parts.scheme != "file":
        return None
    return next(iter(sorted((Path(unquote(parts.path)) / job_id / "exports").glob(f"*.{name}"))), None)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
