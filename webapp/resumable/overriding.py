"""Methods that some clients cannot send: they say in a header of a POST which one they mean."""

from collections.abc import Callable, Iterable
from typing import Any

HEADER = "X-HTTP-Method-Override"
_METHODS = frozenset({"PATCH", "DELETE"})


class Overriding:
    """Takes the header for the method.

    Args:
        application: What it is called for.
        below: Where the addresses begin at which that is done.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], below: str) -> None:
        self._application = application
        self._below = below

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer (WSGI)."""
        if environ["REQUEST_METHOD"] == "POST" and environ.get("PATH_INFO", "").startswith(self._below):
            method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", "").strip().upper()
            if method in _METHODS:
                environ["REQUEST_METHOD"] = method
        return self._application(environ, start_response)
