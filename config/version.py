"""Which version of this program runs."""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version


@lru_cache(maxsize=1)
def program_version() -> str:
    """The version that is installed; 0 for a checkout that is not."""
    try:
        return version("longhand")
    except PackageNotFoundError:
        return "0"
