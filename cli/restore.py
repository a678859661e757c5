"""`longhand restore`: put a backup back, or see that it can be. Also ``python -m cli.restore``."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from cli.backups.command import in_sentences, remade, settings_for, stages_of
from cli.backups.manifest import SECRETS
from cli.backups.progress import Counter, amount
from cli.backups.reading import Backup, BackupTrouble, find
from cli.backups.restoring import Restored, fits
from cli.backups.restoring import restore as put_back
from cli.credentials import FILE
from cli.places import Busy, Places
from config.settings import Settings
from store import open_store, standing

_FULL = "There is not enough room for what is in the backup: make some, and begin again."


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only read all of it and see that nothing is missing or has changed.")
@click.option("--replace", is_flag=True, help="Delete everything that is in this installation.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The installation's data folder (DATA_DIR; data).")
def restore(folder: Path, check: bool, replace: bool, data_dir: Path | None) -> None:
    """Restore the backup in FOLDER, or the newest of those in it, into an installation that is empty and stopped.

    Where to is what the settings say: the database may be another kind than the one that was backed up.
    """
    with in_sentences(_FULL), _by_itself():
        found = find(folder)
        made = found.manifest
        click.echo(f"{found.folder}, of {made.began_at:%Y-%m-%d %H:%M:%S} UTC, by Longhand {made.longhand}")
        settings = None if check else settings_for(data_dir)
        with _stopped(settings):
            if settings is None:
                _check(found)
            else:
                _restore(found, settings, replace=replace)


@contextlib.contextmanager
def _by_itself() -> Iterator[None]:
    try:
        yield
    except Busy as error:
        raise BackupTrouble("`longhand up` runs on this data folder: stop it first.") from error


def _stopped(settings: Settings | None) -> contextlib.AbstractContextManager[None]:
    """Keep `longhand up` away, on this machine; elsewhere the operator has to."""
    if settings is None or not Places(settings.data_dir).run.is_dir():
        return contextlib.nullcontext()
    return Places(settings.data_dir).held()


def _check(found: Backup) -> None:
    counter = Counter("Checking", found.manifest.files.bytes)
    try:
        found.check(counter)
    finally:
        counter.end()
    click.echo(f"Checked: {counter.files:,} files with {amount(counter.bytes)}, nothing is missing or changed.")


def _restore(found: Backup, settings: Settings, *, replace: bool) -> None:
    stages = [stage.name for stage in stages_of(settings) if remade(stage)]
    # Recordings and the hashes of keys will be in it.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(settings)
    counter = Counter("Restoring", found.manifest.files.bytes)
    try:
        fits(store, found, replace=replace)
        _check(found)
        restored = put_back(store, found, replace=replace, remade=stages, told=counter)
        expired = standing.expired(store.database, days=settings.retention_days) if settings.retention_days else []
    finally:
        counter.end()
        store.database.engine.dispose()
    secrets = _put_secrets(found, settings, replace=replace)
    _tell(restored, counter)
    if found.manifest.secrets and not secrets:
        click.echo(f"{FILE} is as it was: there is one already.")
    if expired:
        click.echo(
            f"{len(expired):,} jobs ended more than RETENTION_DAYS ({settings.retention_days:g}) ago and are deleted "
            "as soon as Longhand runs: to keep them, set it higher before."
        )


def _tell(restored: Restored, counter: Counter) -> None:
    click.echo(f"Restored: {restored.rows:,} rows, {counter.files:,} files with {amount(counter.bytes)}.")
    if restored.unfinished:
        click.echo(f"{restored.unfinished:,} jobs were not finished; they go on once Longhand runs.")


def _put_secrets(found: Backup, settings: Settings, *, replace: bool) -> bool:
    """Put back what `longhand up` made up, unless there is some; whether there is now what there was."""
    if found.manifest.secrets is None:
        return False
    path = settings.data_dir / FILE
    if path.exists() and not replace:
        return path.read_bytes() == (found.folder / SECRETS).read_bytes()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write((found.folder / SECRETS).read_bytes())
    aside.replace(path)
    return True


if __name__ == "__main__":
    restore()
