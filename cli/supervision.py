"""The process manager: its configuration, its start and end, and what it says about its processes."""

import contextlib
import os
import re
import subprocess
import sys
import time
import xmlrpc.client
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.places import Places
from cli.processes import descendants, kill_all
from cli.stack import Program

GROUP = "longhand"
"""Everything but Redis: stopped together, and before it."""
FIRST, LAST = 100, 900
"""Who is started first is stopped last."""
RETRIES = 100_000
"""Starts of a process that dies at once; each waits a second longer than the last, so this is for ever."""
STOP_SECONDS = 25.0
LOG_BYTES = "10MB"
LOGS_KEPT = 3
# Paths are relative to run/, where supervisord is started: it would expand a % in them, and cut them at a ;.
_SECTION = """\
[program:{name}]
command={command}
{variables}stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
stopasgroup=false
killasgroup=true
autostart={autostart}
priority={priority}
autorestart=true
startsecs=2
startretries={retries}
redirect_stderr=true
stdout_logfile=../logs/{name}.log
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups={logs_kept}
"""
_HEAD = """\
; Made anew by every `longhand up`.
[supervisord]
nodaemon=true
silent=true
umask=077
pidfile=supervisord.pid
logfile=../logs/supervisord.log
logfile_maxbytes={log_bytes}
logfile_backups={logs_kept}
childlogdir=.

[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


class SupervisorTrouble(Exception):
    """The process manager did not start or has ended; the message says what to do."""


@dataclass(frozen=True)
class Process:
    """What the process manager knows of one process."""

    name: str
    state: str
    """RUNNING, STARTING, BACKOFF (died at once, tried again soon), FATAL, STOPPED …"""
    pid: int | None
    started: int
    stopped: int
    """Seconds of the clock at which it last started and last ended; 0: never."""


def configuration(programs: Sequence[Program], *, socket: Path, redis: Program | None) -> str:
    """Supervisord's configuration file.

    Args:
        programs: Started on demand, once Redis is there.
        socket: Where supervisord listens; a plain path (``places.fits``).
        redis: Started at once; None if Redis is somebody else's.
    """
    sections = [_HEAD.format(socket=socket, log_bytes=LOG_BYTES, logs_kept=LOGS_KEPT)]
    if redis is not None:
        sections.append(_section(redis, autostart=True))
    sections += [_section(program, autostart=False) for program in programs]
    # Groups are stopped from the highest priority to the lowest, one after the other; the members of one all at once.
    names = ",".join(program.name for program in programs)
    return "\n".join([*sections, f"[group:{GROUP}]\nprograms={names}\npriority={LAST}\n"])


def _section(program: Program, *, autostart: bool) -> str:
    variables = ",".join(f'{name}="{value}"' for name, value in program.variables.items())
    return _SECTION.format(
        name=program.name,
        command=quoted(program.command),
        variables=f"environment={variables}\n" if variables else "",
        stop_signal=program.stop_signal,
        stop_seconds=program.stop_seconds,
        autostart=str(autostart).lower(),
        priority=FIRST if autostart else LAST,
        retries=RETRIES,
        log_bytes=LOG_BYTES,
        logs_kept=LOGS_KEPT,
    )


def quoted(arguments: Sequence[str]) -> str:
    r"""A command line as supervisord reads it back: comments cut at `` ;`` even inside quotes, and ``%`` expands.

    Raises:
        ValueError: An argument has a line break, which no quoting can carry.
    """
    if any(mark in argument for argument in arguments for mark in "\n\r\0"):
        raise ValueError("a path with a line break in it cannot be used")
    words = [re.sub(r"([^\w@%+=:,./-])", r"\\\1", argument) or '""' for argument in arguments]
    return " ".join(words).replace("%", "%%")


class Supervisor:
    """A running supervisord and the processes under it.

    Args:
        places: Where it keeps its files.
        sockets: Folder for its socket.
        environment: Of every process.
    """

    def __init__(self, places: Places, sockets: Path, environment: Mapping[str, str]) -> None:
        self._places = places
        self._socket = sockets / "supervisor.sock"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, programs: Sequence[Program], *, redis: Program | None) -> None:
        """Start supervisord, and Redis under it.

        Raises:
            SupervisorTrouble: It did not start.
        """
        written = self._places.run / "supervisord.conf"
        written.write_text(configuration(programs, socket=self._socket, redis=redis), "utf-8")
        command = [sys.executable, "-m", "cli.supervised", str(os.getpid()), str(written)]
        with (self._places.logs / "supervisord.out").open("wb") as out:
            # A session of its own: Ctrl-C is for us to hear, who then stop everything in order.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._places.run,
                start_new_session=True,
            )
        end = time.monotonic() + 20
        while time.monotonic() < end and self.alive():
            with contextlib.suppress(OSError, xmlrpc.client.Error):
                self._call("getState")
                return
            time.sleep(0.03)
        raise SupervisorTrouble(f"The process manager did not start:\n{tail(self._places.logs / 'supervisord.out')}")

    def ended(self) -> SupervisorTrouble:
        """What to say when supervisord is no more."""
        log = self._places.logs / "supervisord.log"
        return SupervisorTrouble(
            f"The process manager has ended, and everything with it: see {log} for the reason, and start again."
        )

    def start_group(self) -> None:
        """Start everything but Redis; returns before it has started."""
        self._call("startProcessGroup", GROUP, False)

    def alive(self) -> bool:
        """Whether supervisord itself runs."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[Process]:
        """The processes and their states.

        Raises:
            SupervisorTrouble: supervisord does not answer.
        """
        try:
            found: Any = self._call("getAllProcessInfo")
        except (OSError, xmlrpc.client.Error) as error:
            raise self.ended() from error
        return [Process(p["name"], p["statename"], p["pid"] or None, p["start"], p["stop"]) for p in found]

    def pid(self, name: str) -> int | None:
        """Process id of a program; None while it does not run."""
        return next((p.pid for p in self.processes() if p.name == name), None)

    def stop(self) -> None:
        """End everything in order: what works first, Redis after it; and kill what does not listen."""
        try:
            if self.alive() and self._process is not None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        """End everything at once."""
        if self._process is not None and self._process.poll() is None:
            below = descendants(self._process.pid)
            self._process.kill()
            kill_all(below)
            self._process.wait()

    @property
    def logs(self) -> Path:
        """The folder with a log for each process."""
        return self._places.logs

    def log_tail(self, name: str) -> str:
        """The end of a process's log."""
        return tail(self._places.logs / f"{name}.log")

    def _call(self, method: str, *arguments: object) -> object:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def tail(path: Path, *, lines: int = 15) -> str:
    """The last lines of a text file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            return "\n".join(deque(file.read().decode("utf-8", "replace").splitlines(), lines))
    except OSError:
        return ""
