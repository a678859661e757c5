"""Where the results of recordings go."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cli.sources import Source


def name_targets(recordings: Sequence[Source], folder: Path, formats: Sequence[str]) -> dict[Source, dict[str, Path]]:
    """Where results go: talk.mp3 -> talk.srt; talk.mp3 and talk.wav -> talk.mp3.srt, talk.wav.srt; then by number."""
    stems = Counter(path.stem.casefold() for path in recordings)
    taken: set[str] = set()
    targets = {}
    for path in recordings:
        wanted = path.stem if stems[path.stem.casefold()] == 1 else path.name
        chosen, number = wanted, 1
        while chosen.casefold() in taken:
            number += 1
            chosen = f"{wanted}-{number}"
        taken.add(chosen.casefold())
        targets[path] = {name: folder / f"{chosen}.{name}" for name in formats}
    return targets


def check_targets(targets: Mapping[Source, Mapping[str, Path]], *, overwrite: bool) -> None:
    """Refuse to write over what is there.

    Raises:
        click.UsageError: A result would replace a recording, or an earlier result unasked.
    """
    inputs = {path.resolve() for path in targets if isinstance(path, Path)}
    for target in (target for by_format in targets.values() for target in by_format.values()):
        if target.resolve() in inputs:
            raise click.UsageError(f"{target} is one of the recordings: choose another folder with -o.")
        if target.exists() and not overwrite:
            raise click.UsageError(f"{target} is already there: add --overwrite, or choose another folder with -o.")


def write_aside(target: Path, content: bytes) -> None:
    """Write a file under another name first, so that nobody ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
