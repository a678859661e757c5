"""`longhand backup`: everything that cannot be made again, while Longhand runs. Also ``python -m cli.backup``."""

from pathlib import Path

import click

from cli.backups.command import in_sentences, no_record_file, remade, see_storage, settings_for, stages_of, this_version
from cli.backups.progress import Counter, amount
from cli.backups.reading import BackupTrouble
from cli.backups.taking import Order, Taken, prune, take
from cli.credentials import FILE
from config.settings import Settings
from store import open_store, snapshot


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Delete all backups in FOLDER but the newest N.")
@click.option("--with-secrets", is_flag=True, help="Take along what `longhand up` made up: key, passwords.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The installation's data folder (DATA_DIR; data).")
def backup(folder: Path, keep: int | None, with_secrets: bool, data_dir: Path | None) -> None:
    """Back up record, recordings and results into a new folder in FOLDER, while Longhand runs.

    What the newest backup in FOLDER has already takes no more room: unchanged files are hard links. Whatever interrupts
    it, nothing in FOLDER is ever taken for a whole backup that is none.
    """
    full = "The disk with the backups is full: make room, or keep fewer of them. Nothing of this backup was kept."
    counter = Counter("Copying")
    with in_sentences(full):
        settings = settings_for(data_dir)
        try:
            taken = _take(settings, folder, with_secrets=with_secrets, counter=counter)
        finally:
            counter.end()
        _tell(taken, settings, with_secrets=with_secrets)
        if taken.bare:
            raise BackupTrouble(
                f"{len(taken.bare):,} finished jobs have no files, such as {taken.bare[0]}: is the disk with the "
                "recordings the right one? The backup was kept, and no older one was deleted. Jobs whose files are "
                "lost for good can be deleted (`longhand jobs delete`)."
            )
        if keep is not None and (deleted := prune(taken.folder, keep=keep)):
            click.echo(f"Older backups deleted: {deleted}.")


def _take(settings: Settings, folder: Path, *, with_secrets: bool, counter: Counter) -> Taken:
    if no_record_file(settings):
        raise snapshot.NoRecord
    see_storage(settings)
    secrets = settings.data_dir / FILE if with_secrets else None
    if secrets is not None and not secrets.is_file():
        raise BackupTrouble(
            "There are no made-up secrets in the data folder: keep your .env, and leave --with-secrets."
        )
    left_out = frozenset[str]().union(*(remade(stage) for stage in stages_of(settings)))
    store = open_store(settings)
    try:
        return take(store, Order(folder, this_version(), left_out, secrets), told=counter)
    finally:
        store.database.engine.dispose()


def _tell(taken: Taken, settings: Settings, *, with_secrets: bool) -> None:
    manifest = taken.manifest
    rows = sum(one.count for one in manifest.tables.values())
    seconds = (manifest.ended_at - manifest.began_at).total_seconds()
    click.echo(str(taken.folder))
    click.echo(
        f"{manifest.tables['jobs'].count:,} jobs, {rows:,} rows, {manifest.files.count:,} files with "
        f"{amount(manifest.files.bytes)} ({amount(taken.new_bytes)} of it new), {seconds:.1f} s."
    )
    if manifest.deleted:
        click.echo(f"Left out, since they were deleted meanwhile: {len(manifest.deleted)} jobs.")
    secrets = "" if with_secrets else f"{FILE} and other " if (settings.data_dir / FILE).is_file() else ""
    click.echo(f"Not in it: {secrets}secrets of your own, .env, models, logs, and Redis, which needs no backup.")


if __name__ == "__main__":
    backup()
