"""Whether files can be kept where STORAGE_URL says, and if not, what to do."""

from config.settings import Settings
from store.file_errors import StorageAway, StorageFull
from store.files import Storage

REFUSED = (
    "The S3 of STORAGE_URL refuses us: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, what the key may do "
    "(docs/operate.md has a policy), and this machine's clock."
)
NO_BUCKET = "There is no such bucket as STORAGE_URL names: make it, or check the name and AWS_REGION."
NO_KEY = "There is no key for the S3 of STORAGE_URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
AWAY = "The S3 of STORAGE_URL does not answer: check AWS_ENDPOINT_URL, AWS_REGION and that its server runs."
FULL = "No space is left where STORAGE_URL keeps files: make room."
NO_FOLDER = "The folder of STORAGE_URL cannot be written: check that it is there, mounted, and this user's."


def storage_trouble(settings: Settings) -> str | None:
    """What stands in the way of keeping files; None if nothing does. A small one is written, read and deleted."""
    if settings.storage_url is None:
        return None  # the data folder, which is looked at as a whole
    storage = Storage(settings.storage)
    try:
        storage.ping()
    except StorageFull:
        return FULL
    except (StorageAway, OSError) as error:
        return _s3_trouble(error.__cause__ or error) if storage.s3 else NO_FOLDER
    return None


def _s3_trouble(error: BaseException) -> str:
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return NO_KEY
    if isinstance(error, PermissionError):
        return REFUSED
    return NO_BUCKET if isinstance(error, FileNotFoundError) else AWAY
