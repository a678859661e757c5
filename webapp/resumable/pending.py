"""How much may be announced and not be there yet: by one account, and by all together for the disk."""

from store import uploads
from store.models import ResumableUpload
from webapp.errors import Problem
from webapp.services import Services

MOST_UPLOADS = 100
"""Unfinished uploads of one account."""
_WAIT_SECONDS = 60


def check(s: Services, upload: ResumableUpload) -> None:
    """Refuse an upload that is too much with the others there are; it is among them, so that two cannot both be last.

    Raises:
        Problem: 429 too many uploads are unfinished, or too many bytes of them are announced.
        store.file_errors.StorageFull: The disk has no room for all that is announced.
    """
    largest = s.settings.max_upload_bytes
    found = uploads.pending(s.store.database, upload.owner, largest=largest)
    if found.uploads > MOST_UPLOADS:
        detail = f"{MOST_UPLOADS} uploads are unfinished already; finish or delete some before you begin another."
        raise Problem(429, detail, code="rate_limited", headers={"Retry-After": str(_WAIT_SECONDS)})
    # One upload is always possible, however large the operator lets it be.
    most = max(s.settings.max_pending_upload_bytes, largest)
    if found.bytes > most:
        detail = (
            f"Unfinished uploads may have {most >> 20} MB together, each without a length counting as "
            f"{largest >> 20} MB; finish or delete some before you begin another."
        )
        raise Problem(429, detail, code="rate_limited", headers={"Retry-After": str(_WAIT_SECONDS)})
    check_disk(s)


def check_disk(s: Services, more: int = 0) -> None:
    """Refuse bytes for which the disk has no room once all that is announced has come.

    Args:
        s: The services.
        more: Bytes that are about to be announced.

    Raises:
        store.file_errors.StorageFull: There is less room.
    """
    s.store.files.check_room(uploads.missing(s.store.database) + more)
