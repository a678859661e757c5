"""Whether files can be kept where STORAGE_URL says, and if not, what to do."""

import contextlib
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from cli.backups.command import no_record_file
from config.loading import load
from config.settings import Settings
from pipelines.errors import LonghandError
from store.database import Database
from store.file_errors import StorageAway, StorageFull
from store.files import HERE
from store.open import open_files
from store.ownership import stranger
from store.s3_answers import told

REFUSED = (
    "The S3 of STORAGE_URL refuses us ({}: {}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, what the key may do "
    "(docs/operate.md has a policy), and this machine's clock."
)
NO_BUCKET = "There is no such bucket as STORAGE_URL names: make it, or check the name and AWS_REGION."
NO_KEY = "There is no key for the S3 of STORAGE_URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
AWAY = "The S3 of STORAGE_URL does not answer: check AWS_ENDPOINT_URL, AWS_REGION and that its server runs."
TLS = (
    "The S3 of STORAGE_URL cannot prove that it is who it says: check AWS_ENDPOINT_URL, and AWS_CA_BUNDLE if its "
    "certificate is by an authority of your own."
)
ANSWERED = "The S3 of STORAGE_URL does not do {} ({}): {}."
WRONG_REGION = "its bucket is in another region, check AWS_REGION"
MISSING = "it lacks something that is needed, docs/operate.md tells what"
SEE_SERVER = "see what its documentation says of that"
FULL = "No space is left where STORAGE_URL keeps files: make room."
NO_FOLDER = "The folder of STORAGE_URL cannot be written: check that it is there, mounted, and this user's."


_REGION = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301"})


def storage_trouble(settings: Settings) -> str | None:
    """What stands in the way of keeping files; None if nothing does. All that will be done is done with a small one."""
    if settings.storage_url is None:
        return None  # the data folder, which is looked at as a whole
    storage = open_files(settings)
    try:
        storage.ping()
    except StorageFull:
        return FULL
    except (StorageAway, OSError) as error:
        return _s3_trouble(error.__cause__ or error) if storage.s3 else NO_FOLDER
    return None


def ownership_trouble(settings: Settings) -> str | None:
    """Why the files would not be swept; None if they would, or if that cannot be seen. Nothing is made by looking."""
    folder = Path(unquote(urlsplit(settings.storage).path)) / HERE
    if no_record_file(settings) or (settings.storage.startswith("file:") and not folder.is_dir()):
        return None
    database = None
    with contextlib.suppress(SQLAlchemyError, StorageAway, StorageFull, LonghandError, OSError, ImportError):
        try:
            database = Database(settings.database)
            return stranger(database, open_files(settings))
        finally:
            if database:
                database.engine.dispose()
    return None  # what is wrong with them is said of each


def _s3_trouble(error: BaseException) -> str:
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError, SSLError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return NO_KEY
    if isinstance(error, SSLError):
        return TLS
    if (said := told(error)) is None:
        return AWAY
    if said.code == "NoSuchBucket" or isinstance(error, FileNotFoundError):
        return NO_BUCKET
    if said.code in _REGION:
        return ANSWERED.format(said.operation, said.code, WRONG_REGION)
    if said.status in {401, 403}:
        return REFUSED.format(said.operation, said.code)
    if said.status >= 500 and said.status != 501:
        return f"{AWAY} It said {said.code}."
    return ANSWERED.format(said.operation, said.code, MISSING if said.status == 501 else SEE_SERVER)


def main() -> int:
    """``python -m cli.storage``, for containers, which have no ``longhand doctor``; 0 only if all is well."""
    settings = load()
    settings = settings.model_copy(update={"storage_url": settings.storage})  # the data folder is looked at like others
    trouble = [found for found in (storage_trouble(settings), ownership_trouble(settings)) if found]
    sys.stdout.write("\n".join(trouble or [f"Files can be kept in {settings.storage}."]) + "\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
