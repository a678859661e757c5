"""Waiting for what the loop of a library does in a thread of its own, so that whoever is interrupted ends it."""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

_END_SECONDS = 3.0
"""How long to wait for the end of what is not wanted any more."""


class _Looping(Protocol):
    loop: Any


_Self = TypeVar("_Self", bound=_Looping)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def waiting(
    function: Callable[Concatenate[_Self, _P], Awaitable[_T]],
) -> Callable[Concatenate[_Self, _P], _T]:
    """A method to be called from any thread, out of a coroutine that runs in its object's loop.

    The library's own way lets it run on when a signal (a time limit, say) interrupts who waits for it: a file would be
    there after all, when everything of its job has been deleted.
    """

    def call(self: _Self, *given: _P.args, **named: _P.kwargs) -> _T:
        return wait(self.loop, functools.partial(function, self, *given, **named))

    return cast(Callable[Concatenate[_Self, _P], _T], functools.wraps(function)(call))


def wait(loop: asyncio.AbstractEventLoop, function: Callable[[], Awaitable[_T]]) -> _T:
    """Run a coroutine in another thread's loop and wait for its result."""
    over = threading.Event()

    async def run() -> _T:
        try:
            return await function()
        finally:
            over.set()

    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            over.wait(_END_SECONDS)
        raise
