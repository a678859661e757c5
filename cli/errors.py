"""What the API says when it says no: one sentence, with an exit code."""

import contextlib
from enum import IntEnum
from typing import Any

import httpx

_PASSING = {409, 423, 429, 503}
"""Statuses that a server gives for the moment, if it says when to come again."""


class Exit(IntEnum):
    """Exit codes of `longhand`."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    """The key is missing or wrong."""
    INTERRUPTED = 130


class ApiError(Exception):
    """The server said no, or nothing; the message is one sentence that says what to do.

    Args:
        detail: The sentence.
        code: The API's stable code, or `unreachable`.
        exit_code: What the command ends with.
        retry_after: Seconds after which to try again, if the server says so.
        status: What the server answered; None: nothing.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        exit_code: Exit,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.exit_code = exit_code
        self.retry_after = retry_after
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether it may be over in a moment: the server is away, or says itself when to come again."""
        return self.exit_code == Exit.UNREACHABLE or self.retry_after is not None


def problem(answer: httpx.Response) -> ApiError:
    """An answer that is an error, as the sentence it carries."""
    content: Any = None
    with contextlib.suppress(ValueError):
        content = answer.json()
    content = content if isinstance(content, dict) else {}
    detail = content.get("detail") or f"The server answered {answer.status_code} {answer.reason_phrase}."
    pause: float | None = None
    with contextlib.suppress(ValueError):
        pause = max(0.0, float(answer.headers.get("Retry-After", "")))
    refused = content.get("code") in {"missing_key", "invalid_key"} or answer.status_code == 401
    if refused:
        detail = f"{detail} Give it with --key or LONGHAND_KEY." if "--key" not in detail else detail
    exit_code = Exit.REFUSED if refused else Exit.FAILED
    retry = pause if answer.status_code in _PASSING else None
    code, status = str(content.get("code", "internal")), answer.status_code
    return ApiError(str(detail), code=code, exit_code=exit_code, retry_after=retry, status=status)
