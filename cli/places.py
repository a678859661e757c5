"""What `longhand up` keeps in the data folder: run/, logs/, redis/, and who uses it."""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_BYTES = 107
"""Longest path of a unix socket on Linux."""
_SOCKET_NAME_BYTES = len("/supervisor.sock.4194304")  # supervisord makes its socket under this name first
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


class Busy(Exception):
    """Another `longhand up` uses this data folder; the message says what to do."""


@dataclass(frozen=True)
class Places:
    """The folders of one stack.

    Args:
        data: The data folder.
    """

    data: Path

    @property
    def run(self) -> Path:
        """What only matters while the stack runs."""
        return self.data / "run"

    @property
    def logs(self) -> Path:
        """A log for each process."""
        return self.data / "logs"

    @property
    def redis(self) -> Path:
        """What the embedded Redis keeps."""
        return self.data / "redis"

    def make(self) -> None:
        """Make the folders, for this user only.

        Raises:
            OSError: The data folder cannot be written.
        """
        for folder in (self.data, self.run, self.logs, self.redis):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.data):
            pass  # a folder that exists may still be read-only

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only `longhand up` on this data folder.

        Raises:
            Busy: Another is.
        """
        with (self.run / "lock").open("a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise Busy(
                    f"Another `longhand up` (process {holder}) uses this data folder: use that one, stop it, "
                    "or choose another folder with --data-dir."
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @contextmanager
    def sockets(self) -> Iterator[Path]:
        """A folder for unix sockets, private to this user; emptied afterwards.

        In run/ if the path is short and plain enough, else a temporary one: the kernel allows 107 bytes, and a socket's
        path stands in addresses, where ``?`` and ``%`` have a meaning.
        """
        self._clear_stale_sockets()
        folder = self.run / "sockets"
        own = fits(folder)
        if own:
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            folder = _short_folder()
        (self.run / "sockets-at").write_text(str(folder), "utf-8")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            (self.run / "sockets-at").unlink(missing_ok=True)

    def last_sockets(self) -> Path | None:
        """Where the sockets of an earlier run that was killed still are."""
        with contextlib.suppress(OSError, UnicodeError):
            folder = Path((self.run / "sockets-at").read_text("utf-8"))
            information = folder.lstat()
            if stat.S_ISDIR(information.st_mode) and information.st_uid == os.getuid():
                return folder
        return None

    def _clear_stale_sockets(self) -> None:
        if (folder := self.last_sockets()) is not None:
            for socket in folder.iterdir():
                if stat.S_ISSOCK(socket.lstat().st_mode):
                    socket.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty: then it is not ours alone
                folder.rmdir()


def fits(folder: Path) -> bool:
    """Whether sockets can be made in a folder."""
    return (
        len(os.fsencode(folder)) + _SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES and _PLAIN.fullmatch(str(folder)) is not None
    )


def _short_folder() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108  # mkdtemp makes it private
        if fits(Path(parent) / "longhand-12345678"):
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="longhand-", dir=parent))
    raise OSError("there is no temporary folder with a short path")
