"""`longhand transcribe`: recordings in, transcripts and subtitles out, over the API."""

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cli.client import ApiError, Client, Exit, Job
from cli.connection import talks_to_api
from cli.results import check_targets, name_targets, write_aside
from cli.screen import FilesDisplay, plain, seconds
from cli.signals import Stopped, heard
from cli.sources import Address, Source, SourceType, in_full
from pipelines.formats import FORMATS

INTERRUPTED = "interrupted"
AT_ONCE = 4
"""Recordings that are uploaded or waited for at the same time."""
DEFAULT_FORMATS = "srt,vtt,txt"


class _Interrupted(Exception):
    """Ctrl-C was pressed while this recording was at work."""


@dataclass
class Outcome:
    """What became of one recording."""

    source: Source
    exit_code: Exit
    sentence: str
    job: Job | None = None
    written: list[Path] = field(default_factory=list)
    text: str = ""
    silent: bool = False
    """It has no speech, so that its results are empty."""


def _formats(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    found = list(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
    for part in found:
        if part not in FORMATS:
            raise click.BadParameter(f"there is no format {part!r}; there are {', '.join(FORMATS)}.")
    return found or None


def _pairs(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in value:
        name, sign, content = text.partition("=")
        if not sign or not name.strip():
            raise click.BadParameter(f"write NAME=VALUE, not {text!r}.")
        found[name.strip()] = content
    return found


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILES_OR_ADDRESSES...", type=SourceType())
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the results.")
@click.option(
    "-f", "--format", "formats", callback=_formats, metavar="NAMES", help="srt,vtt,txt,tsv,json; commas between."
)
@click.option("--overwrite", is_flag=True, help="Replace results that are already there.")
@click.option("-m", "--model", help="Model: a size, a hub id or an alias of the server.")
@click.option("-l", "--language", help="Language spoken, such as en; found out if not given.")
@click.option("--languages", metavar="CODES", help="Languages to choose from, commas between.")
@click.option("--task", type=click.Choice(["transcribe", "translate"]), help="translate: into English.")
@click.option("--prompt", help="Text that comes before, for style and spelling.")
@click.option("--hotwords", help="Names and words to expect.")
@click.option("--temperature", type=click.FloatRange(0, 1), help="0: the likeliest text.")
@click.option("--beam-size", type=click.IntRange(1, 20), help="Candidates followed at once.")
@click.option("--no-vad", "vad_filter", flag_value="false", default=None, help="Also look at what sounds like silence.")
@click.option("--diarise", flag_value="true", default=None, help="Tell speakers apart.")
@click.option("--num-speakers", type=click.IntRange(1, 50), help="How many people speak, with --diarise.")
@click.option("--min-speakers", type=click.IntRange(1, 50), help="At least so many people speak.")
@click.option("--max-speakers", type=click.IntRange(1, 50), help="At most so many people speak.")
@click.option("--channels", type=click.Choice(["mix", "split"]), help="split: each channel is a speaker by itself.")
@click.option("--max-line-width", type=click.IntRange(10, 200), help="Characters a subtitle line.")
@click.option("--max-lines", type=click.IntRange(1, 4), help="Lines a subtitle.")
@click.option("--max-cps", type=click.FloatRange(5, 100), help="Characters a second a subtitle may ask to read.")
@click.option("--min-cue-seconds", type=click.FloatRange(0, 10), help="Shortest time a subtitle stands.")
@click.option("--max-cue-seconds", type=click.FloatRange(1, 60), help="Longest time a subtitle stands.")
@click.option("--subtitle-preset", help="A named set of these.")
@click.option("--chunk-seconds", type=click.FloatRange(30, 1800), help="Length of the pieces a recording is cut into.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="Who goes first.")
@click.option(
    "--option", "further", multiple=True, callback=_pairs, metavar="NAME=VALUE", help="Any further field of the API."
)
@click.option("--json", "as_json", is_flag=True, help="Print each finished job as a line of JSON instead of its text.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@talks_to_api
def transcribe(client: Client, files: tuple[Source, ...], **options: Any) -> None:
    """Transcribe recordings and wait for the results.

    A recording is a file, or an address (http or https) from which the server fetches it.

    The text of one recording is printed; results of several, or in several formats, go to the folder of -o.

    Exit codes: 0 all well, 1 some failed, 2 wrong usage, 3 no server there, 4 the key was refused, 130 interrupted.
    """
    request = _request(files, options)
    console = Console(stderr=True, highlight=False)
    batch = Batch(client, request, FilesDisplay(console, quiet=options["quiet"]))
    with heard(lambda: os._exit(Exit.INTERRUPTED)):
        try:
            outcomes = batch.run()
        except Stopped:
            outcomes = batch.stop()
            for outcome in outcomes:
                if outcome.sentence != INTERRUPTED:
                    _report(outcome, console, options)
            plain(console, interruption(outcomes))
            raise SystemExit(Exit.INTERRUPTED) from None
    for outcome in outcomes:
        _report(outcome, console, options)
    raise SystemExit(worst(outcomes))


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    files: list[Source]
    fields: dict[str, str]
    """Of POST /v1/jobs."""
    formats: list[str]
    targets: dict[Source, dict[str, Path]]
    """Recording -> format -> where it goes; empty: to the terminal."""


_EMPTY = {"txt": b"", "srt": b"", "vtt": b"WEBVTT"}
"""What a recording without speech gives."""
_OURS = {"output", "formats", "overwrite", "further", "as_json", "quiet"}


def _request(files: Sequence[Source], options: Mapping[str, Any]) -> Request:
    """The request, checked before anything is sent.

    Raises:
        click.UsageError: The results have nowhere to go.
    """
    counts = [name for name in ("num_speakers", "min_speakers", "max_speakers") if options[name] is not None]
    if counts and not options["diarise"]:
        raise click.UsageError(f"--{counts[0].replace('_', '-')} says how many speakers to tell apart: add --diarise.")
    recordings = list(dict.fromkeys(files))
    fields = {name: str(value) for name, value in options.items() if name not in _OURS and value is not None}
    folder: Path | None = options["output"]
    formats = options["formats"] or (DEFAULT_FORMATS.split(",") if folder else ["txt"])
    if folder is None:
        if (len(recordings) > 1 or len(formats) > 1) and not options["as_json"]:
            raise click.UsageError("Several results need a folder to go to: add -o DIR.")
        targets: dict[Source, dict[str, Path]] = {}
    else:
        targets = name_targets(recordings, folder, formats)
        check_targets(targets, overwrite=options["overwrite"])
    return Request(recordings, fields | {"formats": ",".join(formats)} | options["further"], formats, targets)


class Batch:
    """Several recordings on their way.

    Args:
        client: Of the server.
        request: What was asked for.
        display: Shows how far they are.
    """

    def __init__(self, client: Client, request: Request, display: FilesDisplay) -> None:
        self._client = client
        self._request = request
        self._display = display
        self._interrupted = threading.Event()
        self._futures: list[Future[Outcome]] = []
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="transcribe")

    def run(self) -> list[Outcome]:
        """Transcribe them; what became of each, in their order."""
        with self._display:
            rows = [(path, self._display.add(path.name)) for path in self._request.files]
            for path, row in rows:
                self._futures.append(self._pool.submit(self._one, path, row))
            outcomes = [future.result() for future in self._futures]
        self._pool.shutdown()
        return outcomes

    def stop(self) -> list[Outcome]:
        """Cancel every job that was made; what became of those recordings that were begun."""
        self._interrupted.set()
        self._pool.shutdown(cancel_futures=True)
        return [future.result() for future in self._futures if not future.cancelled()]

    def _one(self, path: Source, row: Any) -> Outcome:
        outcome = self._transcribed(path, row)
        self._display.finish(row, path.name, outcome.sentence, well=outcome.exit_code == Exit.FINE)
        return outcome

    def _transcribed(self, path: Source, row: Any) -> Outcome:
        job: Job | None = None

        def sent(done: int, total: int) -> None:
            self._go_on()
            self._display.sent(row, done, total)

        try:
            if isinstance(path, Address):
                job = self._client.submit_address(path.url, self._request.fields)
            else:
                job = self._client.submit(path, self._request.fields, sent=sent)
            for job in self._client.follow(job["id"]):  # noqa: B020  # the last one counts
                self._go_on()
                self._display.show(row, job)
            return self._kept(path, job)
        except _Interrupted:
            return self._cancelled(path, job)
        except ApiError as error:
            return Outcome(path, error.exit_code, error.detail, job)
        except OSError as error:
            return Outcome(path, Exit.FAILED, f"{error.filename or path}: {error.strerror or error}.", job)

    def _go_on(self) -> None:
        if self._interrupted.is_set():
            raise _Interrupted

    def _cancelled(self, path: Source, job: Job | None) -> Outcome:
        sentence = INTERRUPTED
        if job is not None:
            try:
                self._client.cancel(job["id"])
            except ApiError as error:
                sentence = f"interrupted, but its job could not be cancelled: {error.detail}"
        return Outcome(path, Exit.INTERRUPTED, sentence, job)

    def _kept(self, path: Source, job: Job) -> Outcome:
        """Fetch and write the results of a job that has ended."""
        if job["status"] != "done":
            error = job["error"] or {"detail": "The job was cancelled."}
            return Outcome(path, Exit.FAILED, error["detail"], job)
        outcome = Outcome(path, Exit.FINE, f"done in {seconds(_duration(job))}", job)
        targets = self._request.targets.get(path)
        for name in self._request.formats:
            content = self._client.result(job["id"], name)
            outcome.silent |= content.strip() == _EMPTY.get(name)
            if not targets:
                outcome.text = content.decode("utf-8")
            else:
                write_aside(targets[name], content)
                outcome.written.append(targets[name])
        return outcome


def _report(outcome: Outcome, console: Console, options: Mapping[str, Any]) -> None:
    """Results to standard output, everything else beside it."""
    if options["as_json"]:
        found = {
            "file": in_full(outcome.source),
            "job": outcome.job,
            "written": [str(path) for path in outcome.written],
        }
        if outcome.exit_code != Exit.FINE:
            found["error"] = outcome.sentence
        click.echo(json.dumps(found, ensure_ascii=False))
    elif outcome.exit_code == Exit.FINE and not outcome.written:
        sys.stdout.write(outcome.text if outcome.text.endswith("\n") or not outcome.text else outcome.text + "\n")
    if outcome.exit_code != Exit.FINE:
        plain(console, f"{outcome.source}: {outcome.sentence}")
    if options["quiet"]:
        return
    for path in outcome.written:
        plain(console, f"  {path}")
    if outcome.silent:
        plain(console, f"{outcome.source.name}: no speech was found")
    for warning in (outcome.job or {}).get("warnings", []):
        plain(console, f"{outcome.source.name}: warning: {warning['detail']}")


def interruption(outcomes: Sequence[Outcome]) -> str:
    """What Ctrl-C came to."""
    cancelled = sum(outcome.sentence == INTERRUPTED and outcome.job is not None for outcome in outcomes)
    done = [outcome for outcome in outcomes if outcome.exit_code == Exit.FINE]
    parts = [f"{cancelled} {'job was' if cancelled == 1 else 'jobs were'} cancelled"]
    if done:
        saved = " and saved" if all(outcome.written for outcome in done) else ""
        parts.append(f"{len(done)} {'was' if len(done) == 1 else 'were'} done{saved}")
    return f"Interrupted; {', '.join(parts)}."


def worst(outcomes: Sequence[Outcome]) -> Exit:
    """The exit code for all: their common one, or "some failed"."""
    codes = {outcome.exit_code for outcome in outcomes}
    return codes.pop() if len(codes) == 1 else Exit.FAILED


def _duration(job: Job) -> float | None:
    if not job["finished_at"] or not job["created_at"]:
        return None
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
