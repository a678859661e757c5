"""Start an external program so that it can always be ended, whatever it does and whatever happens to us.

The limits are set by ``prlimit`` and ``setpriv`` (util-linux), which become the program by exec: code of our own
between fork and exec is not safe in a process that has threads, and limits set after the start come too late for a
program that is quick to misbehave. Together they cost about two milliseconds. Where they are missing, ``launch`` does
the same in twenty.
"""

import contextlib
import functools
import logging
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ToolError

TICK_SECONDS = 0.25
"""How often the caller is asked whether to go on."""
LINE_BYTES = 4096
"""A longer line is cut: nothing we look for is longer, and a hostile file can make a program print one without end."""

OPEN_FILES = 64
"""As many as a program may have open; ffmpeg has about ten."""

_READ_BYTES = 1 << 16
_LAUNCH = Path(__file__).with_name("launch.py")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
"""Of our environment. The rest holds keys and passwords, which a program that reads hostile files need not know."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bounds:
    """What a program may use."""

    seconds: float
    """Of wall-clock time. Of processor time twice as much, for the case that nobody is left to look at the clock."""
    file_bytes: int
    """Size of the largest file it may write."""
    memory_bytes: int = 2 << 30
    """Of address space, several times what is really used: ffmpeg needs 0.3 GB to start, and 1 GB for an hour's gap."""


class OutOfTime(Exception):
    """The program was ended because its wall-clock time was over."""


def run(
    arguments: Sequence[str],
    *,
    bounds: Bounds,
    on_output: Callable[[str], None],
    on_error: Callable[[str], None],
    tick: Callable[[int], None],
) -> int:
    """Run a program to its end, handing over what it prints line by line; no line is kept here.

    It has no input, a session of its own, and is killed with everything it started if this function is left in any
    other way than by returning, or if this process dies.

    Args:
        arguments: The program and its arguments; no shell sees them.
        bounds: What it may use.
        on_output: Called with each line of standard output.
        on_error: Called with each line of standard error.
        tick: Called with the process id every ``TICK_SECONDS`` or more often; what it raises ends the program.

    Returns:
        Exit status; negative: the signal that ended it.

    Raises:
        OutOfTime: It took more than ``bounds.seconds``.
        ToolError: It could not be started.
    """
    deadline = time.monotonic() + bounds.seconds
    with _started(arguments, bounds) as process:
        try:
            _follow(process, deadline, on_output, on_error, tick)
            return _wait(process, deadline, tick)
        finally:
            _kill(process)


def _started(arguments: Sequence[str], bounds: Bounds) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - an argument list, whose program is chosen by our own code
            [*_bounded(bounds), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=_environment(os.environ),
        )
    except OSError as error:
        raise ToolError(f"A program the server needs could not be started: {error.strerror}.") from error


def _follow(
    process: subprocess.Popen[bytes],
    deadline: float,
    on_output: Callable[[str], None],
    on_error: Callable[[str], None],
    tick: Callable[[int], None],
) -> None:
    """Read both streams until the program closes them."""
    with selectors.DefaultSelector() as selector:
        for stream, listener in ((process.stdout, on_output), (process.stderr, on_error)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, Lines(listener))
        ticked = time.monotonic()
        while selector.get_map():
            for key, _ in selector.select(TICK_SECONDS):
                data = os.read(key.fd, _READ_BYTES)
                key.data.feed(data)
                if not data:
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if now > deadline:
                raise OutOfTime
            if now - ticked >= TICK_SECONDS:
                ticked = now
                tick(process.pid)


def _wait(process: subprocess.Popen[bytes], deadline: float, tick: Callable[[int], None]) -> int:
    """Exit status of a program that has closed its output but may still run."""
    while True:
        try:
            return process.wait(timeout=TICK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise OutOfTime from None
            tick(process.pid)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program's whole session unless it has been waited for (its number may belong to another by then)."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Lines:
    """Cuts a stream of bytes into lines for a listener, holding no more than ``LINE_BYTES``."""

    def __init__(self, listener: Callable[[str], None]) -> None:
        self._listener = listener
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; empty ones are the end."""
        *whole, rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if not data:
            whole, rest = [*whole, rest], b""
        self._rest = rest[:LINE_BYTES]
        for line in whole:
            if line:
                self._listener(line[:LINE_BYTES].decode("utf-8", "replace"))


@functools.cache
def _wrappers() -> tuple[str, str] | None:
    """Where ``prlimit`` and ``setpriv`` are; None unless both are there."""
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    if prlimit and setpriv:
        return prlimit, setpriv
    log.info("prlimit or setpriv (util-linux) is missing: limits are set by Python, which takes a little longer")
    return None


def _bounded(bounds: Bounds) -> list[str]:
    """The command that sets limits for what follows it, has it die with us, and never gain privileges."""
    limits = {
        "cpu": _allowed(resource.RLIMIT_CPU, int(bounds.seconds * 2) + 10),
        "as": _allowed(resource.RLIMIT_AS, bounds.memory_bytes),
        "fsize": _allowed(resource.RLIMIT_FSIZE, bounds.file_bytes),
        "nofile": _allowed(resource.RLIMIT_NOFILE, OPEN_FILES),
        "core": 0,
    }
    found = _wrappers()
    if found is None:
        settings = [f"{name}={limit}" for name, limit in limits.items()]
        return [sys.executable, "-I", "-S", str(_LAUNCH), *settings, "--"]
    prlimit, setpriv = found
    settings = [f"--{name}={limit}" for name, limit in limits.items()]
    return [prlimit, *settings, setpriv, "--pdeathsig", "KILL", "--no-new-privs"]


def _allowed(kind: int, wanted: int) -> int:
    """A limit no higher than our own, which only root may raise."""
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {"LC_ALL": "C"} | {name: ours[name] for name in _PASSED_ON if name in ours}
