"""`longhand restore`: put a backup back, or see that it can be. Also ``python -m cli.restore``."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click
from redis import RedisError
from sqlalchemy.engine import make_url

from cli.backups.command import in_sentences, remade, settings_for, stages_of
from cli.backups.manifest import SECRETS
from cli.backups.progress import Counter, amount
from cli.backups.reading import Backup, BackupTrouble, find
from cli.backups.restoring import DAMAGED, Asked, Restored, fits
from cli.backups.restoring import restore as put_back
from cli.credentials import FILE
from cli.places import Busy, Places
from config.settings import Settings
from store import Store, open_store, standing
from store.events import PRESENCE_SECONDS

_FULL = "There is not enough room for what is in the backup: make some, and begin again."


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Only read all of it and see that nothing is missing or has changed.")
@click.option("--replace", is_flag=True, help="Delete everything that is in this installation.")
@click.option("--skip-damaged", is_flag=True, help="Restore a damaged backup, without the files that are damaged.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The installation's data folder (DATA_DIR; data).")
def restore(folder: Path, check: bool, replace: bool, skip_damaged: bool, data_dir: Path | None) -> None:
    """Restore the backup in FOLDER, or the newest of those in it, into an installation that is empty and stopped.

    Where to is what the settings say: the database may be another kind than the one that was backed up. What was
    interrupted goes on where it was when the same is asked for again.
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
                _restore(found, settings, replace=replace, skip_damaged=skip_damaged)


@contextlib.contextmanager
def _by_itself() -> Iterator[None]:
    try:
        yield
    except Busy as error:
        raise BackupTrouble("`longhand up`, or another restore, uses this data folder: stop it first.") from error


def _stopped(settings: Settings | None) -> contextlib.AbstractContextManager[None]:
    """Keep `longhand up` away, on this machine; elsewhere the operator has to."""
    if settings is None:
        return contextlib.nullcontext()
    # Recordings and the hashes of keys will be in it.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = Places(settings.data_dir)
    # Also where nothing is yet: a service manager starts again what has ended.
    places.run.mkdir(mode=0o700, exist_ok=True)
    return places.held()


def _nobody_works(store: Store) -> None:
    # A Redis that is not there, or not yet, has nobody on it.
    with contextlib.suppress(RedisError):
        if workers := store.events.workers():
            raise BackupTrouble(
                f"Workers are running ({', '.join(one.name for one in workers[:3])}): stop everything that uses this "
                f"installation, and see that REDIS_URL is its own. One that was killed is forgotten after "
                f"{PRESENCE_SECONDS} s."
            )


def _damaged(name: str) -> None:
    click.echo(f"Damaged: {name}", err=True)


def _check(found: Backup) -> None:
    found.check_record()
    if lost := _check_files(found):
        raise BackupTrouble(
            f"The backup is damaged: {lost:,} files, named above, are missing or have changed; the rest is sound. "
            "Delete them where they are, and the next backup has them again, if the installation has."
        )


def _check_files(found: Backup) -> int:
    counter, lost = Counter("Checking", found.manifest.files.bytes), list[str]()

    def damaged(name: str) -> None:
        counter.end()
        lost.append(name)
        _damaged(name)

    try:
        found.check_files(counter, damaged)
    finally:
        counter.end()
    if not lost:
        click.echo(f"Checked: {counter.files:,} files with {amount(counter.bytes)}, nothing is missing or changed.")
    return len(lost)


def _restore(found: Backup, settings: Settings, *, replace: bool, skip_damaged: bool) -> None:
    stages = [stage.name for stage in stages_of(settings) if remade(stage)]
    store = open_store(settings)
    counter = Counter("Restoring", found.manifest.files.bytes)
    click.echo(f"Into {make_url(settings.database).render_as_string()} and {settings.storage}")
    try:
        _nobody_works(store)
        fits(store, found, replace=replace)
        found.check_record()
        # Before anything is deleted. Where there is nothing yet, each file is looked at when it is copied.
        if replace and not skip_damaged and (lost := _check_files(found)):
            raise BackupTrouble(DAMAGED.format(lost))
        asked = Asked(replace, skip_damaged, stages)
        restored = put_back(store, found, asked, told=counter, damaged=_damaged)
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
    if restored.lost:
        click.echo(f"Damaged in the backup, so not restored: {restored.lost:,} files.")
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
