"""What can be wrong with the place where files are kept, told from what is wrong with a file."""

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from typing import Literal

from pipelines.errors import LonghandError, TransientError
from store import s3_answers

log = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AWAY = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT,
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETUNREACH,
    }
)  # fmt: skip
"""What a disk says that is pulled out, or a server of files that is not there."""
_OURS: tuple[type[Exception], ...] = (
    FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, TypeError,
    NotImplementedError, AttributeError, AssertionError, MemoryError,
)  # fmt: skip
"""What is no outage: waiting does not help."""
_THEIRS = frozenset({"aiobotocore", "aiohttp", "asyncio", "botocore", "concurrent", "fsspec", "s3fs", "urllib3"})
"""Libraries whose errors can be an outage. Those of others (a time limit, a worker that stops) are no storage's."""


_REFUSED = "The storage refuses a file of this recording ({}); the operator must look at it."
_DAMAGED = (
    "The recording in storage is not the one that was sent: its bytes have changed there. Send it again, and tell the "
    "operator."
)


class StorageFull(Exception):
    """No space is left where files are kept."""


class StorageAway(Exception):
    """The place where files are kept cannot be reached; they are there again once it can."""


class StorageRefused(TransientError):
    """The storage works, but not with this file; tried again a few times only."""

    code = "internal"


class ScratchFull(TransientError):
    """The worker's own disk has no room for what it has in the making; the storage is not to blame."""

    code = "storage_full"

    def __init__(self, detail: str = "A worker's own disk (DATA_DIR) is full; the operator must make room.") -> None:
        super().__init__(detail)


class Damaged(LonghandError):
    """A file in storage has other bytes than were put there."""

    def __init__(self, detail: str = _DAMAGED) -> None:
        super().__init__(detail)


@contextlib.contextmanager
def noticing(away: Callable[[], bool], *, remote: bool, sound: Callable[[], bool]) -> Iterator[None]:
    """Tell a full and an absent storage from other errors.

    Args:
        away: Looks whether the storage is absent; asked only when something went wrong.
        remote: Whether it is a server, whose libraries have errors of their own for its absence.
        sound: Whether files can be kept there at all; asked only when a server refuses something.

    Raises:
        StorageFull: The disk is full.
        StorageAway: The storage cannot be reached, or refuses everything: that is waited for, until it is mended.
        StorageRefused: It refuses this alone.
    """
    try:
        yield
    except (StorageFull, StorageAway, LonghandError):
        raise
    except Exception as error:
        if remote and (said := s3_answers.told(error)) is not None:
            _server_said(said, error, away, sound)
            raise
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL:
            raise StorageFull("no space is left where files are kept") from error
        absent = number in _AWAY or (remote and _of_library(error))
        # A file that is missing may be there on a disk that is missing.
        if absent or (isinstance(error, OSError) and away()):
            raise StorageAway("the place where files are kept cannot be reached") from error
        raise


def _server_said(
    said: s3_answers.Answer, error: Exception, away: Callable[[], bool], sound: Callable[[], bool]
) -> None:
    """Raise what an answer means, unless that is what the library made of it: a file that is not there."""
    kind: Literal["full", "away", "missing", "refused"] = said.kind
    if kind == "full":
        raise StorageFull("no space is left where files are kept") from error
    if kind == "missing" and not away():
        return
    if kind == "refused" and sound():
        log.error("the storage refuses %s: %s", said.operation or "a request", said.code)
        raise StorageRefused(_REFUSED.format(said.code)) from error
    raise StorageAway("the place where files are kept cannot be reached") from error


def _of_library(error: Exception) -> bool:
    if isinstance(error, _OURS):
        return False
    # A session that is closed, a stream that ends too soon.
    return isinstance(error, OSError | RuntimeError | EOFError) or type(error).__module__.split(".")[0] in _THEIRS
