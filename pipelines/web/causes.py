"""What lies behind the errors of a library that wraps those of others."""

from typing import TypeVar

_Error = TypeVar("_Error", bound=BaseException)


def cause(error: BaseException | None, kind: type[_Error]) -> _Error | None:
    """The first error of a kind among an error and those that it came from."""
    while error is not None:
        if isinstance(error, kind):
            return error
        error = error.__cause__ or error.__context__
    return None
