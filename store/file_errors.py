"""What can be wrong with the place where files are kept, told from what is wrong with a file."""

import contextlib
import errno
from collections.abc import Callable, Iterator

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_AWAY = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EAGAIN, errno.ETIMEDOUT,
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETDOWN, errno.ENETUNREACH,
    }
)  # fmt: skip
"""What a disk says that is pulled out, or a server of files that is not there. Object stores speak of 5xx as EIO or
EBUSY."""
_OURS: tuple[type[Exception], ...] = (
    FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError, TypeError,
    NotImplementedError, AttributeError, AssertionError, MemoryError,
)  # fmt: skip
"""What is no outage: waiting does not help."""


class StorageFull(Exception):
    """No space is left where files are kept."""


class StorageAway(Exception):
    """The place where files are kept cannot be reached; they are there again once it can."""


@contextlib.contextmanager
def noticing(away: Callable[[], bool], *, remote: bool) -> Iterator[None]:
    """Tell a full and an absent storage from other errors.

    Args:
        away: Looks whether the storage is absent; asked only when something went wrong.
        remote: Whether it is a server, whose libraries have errors of their own for its absence.

    Raises:
        StorageFull: The disk is full.
        StorageAway: The storage cannot be reached.
    """
    try:
        yield
    except (StorageFull, StorageAway):
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL:
            raise StorageFull("no space is left where files are kept") from error
        # A server that refuses us does so until its operator has mended the key: that is waited for as well.
        absent = number in _AWAY or (remote and (isinstance(error, PermissionError) or not isinstance(error, _OURS)))
        # A file that is missing may be there on a disk that is missing.
        if absent or (isinstance(error, OSError) and away()):
            raise StorageAway("the place where files are kept cannot be reached") from error
        raise
