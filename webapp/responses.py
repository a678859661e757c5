"""Answers that several routes give."""

from flask import Response


def empty(status: int = 204) -> Response:
    """An answer without a body."""
    answer = Response(status=status)
    del answer.headers["Content-Type"]  # there is nothing to have a type
    return answer
