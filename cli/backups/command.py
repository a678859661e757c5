"""What both commands have in common: whose installation it is, and what can go wrong, each in a sentence."""

import contextlib
import errno
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from cli.backups.reading import BackupTrouble
from config.loading import explain
from config.settings import Settings
from pipelines.stage import Stage, StageError, discover
from store import schema, snapshot
from store.file_errors import FULL, StorageAway, StorageFull, StorageRefused
from store.files import HERE


def settings_for(data_dir: Path | None) -> Settings:
    """The settings of the installation here, or of another data folder.

    Raises:
        BackupTrouble: They are not valid.
    """
    try:
        return Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        raise BackupTrouble(explain(error)) from error


def stages_of(settings: Settings) -> list[Stage]:
    """All stages.

    Raises:
        BackupTrouble: A plugin cannot be loaded.
    """
    try:
        return list(discover(settings.plugins).values())
    except (StageError, OSError, ImportError) as error:
        raise BackupTrouble(f"PLUGINS cannot be loaded: {error}") from error


def remade(stage: Stage) -> frozenset[str]:
    """Names of the files that a stage makes again from others, so that no backup needs them."""
    return frozenset(stage.temporary) & frozenset(stage.writes)


def this_version() -> str:
    """Longhand's version."""
    try:
        return version("longhand")
    except PackageNotFoundError:
        return "unknown"


def no_record_file(settings: Settings) -> bool:
    """Whether the record would be an SQLite file that is not there; nothing is made by looking."""
    with contextlib.suppress(ArgumentError):
        url = make_url(settings.database)
        return url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file()
    return False


def see_storage(settings: Settings) -> None:
    """See, before anything is made, that the disk with the recordings is there.

    Raises:
        StorageAway: It is not; what is there in its place would be taken for an empty one.
    """
    parts = urlsplit(settings.storage)
    place = Path(unquote(parts.path))
    # One that an older version has made may be without a sign.
    if parts.scheme == "file" and not (place / HERE).is_dir() and not (place.is_dir() and any(place.iterdir())):
        raise StorageAway("the place where files are kept is not there")


@contextlib.contextmanager
def in_sentences(full: str) -> Iterator[None]:
    """Tell what went wrong in one sentence each, with exit code 1.

    Args:
        full: What to say where there is no room left.
    """
    try:
        yield
    except (BackupTrouble, schema.TooNew) as error:
        raise click.ClickException(str(error)) from error
    except snapshot.NoRecord as error:
        raise click.ClickException(
            "There is no record here: give this command the DATA_DIR or DATABASE_URL of the installation."
        ) from error
    except StorageFull as error:
        raise click.ClickException(full) from error
    except StorageAway as error:
        raise click.ClickException(
            "The place where recordings are kept cannot be reached: is its disk mounted? See STORAGE_URL, and DATA_DIR."
        ) from error
    except StorageRefused as error:
        raise click.ClickException(error.detail) from error
    except (NoSuchModuleError, ImportError, ArgumentError) as error:
        raise click.ClickException(
            "DATABASE_URL or STORAGE_URL needs a package that is not installed, or is no address: see docs/operate.md."
        ) from error
    except (DataError, IntegrityError) as error:
        raise click.ClickException(
            f"The database does not take the rows ({type(error).__name__}): nothing in it was changed."
        ) from error
    except SQLAlchemyError as error:
        if "disk is full" in str(error) or "No space left" in str(error):
            raise click.ClickException(full) from error
        raise click.ClickException(
            f"The database cannot be used ({type(error).__name__}): see DATABASE_URL, and that its server runs."
        ) from error
    except OSError as error:
        if error.errno in FULL or error.errno == errno.EFBIG:
            raise click.ClickException(full) from error
        where = f" {error.filename}" if error.filename else ""
        raise click.ClickException(f"A file or folder cannot be used ({error.strerror or error}){where}.") from error
