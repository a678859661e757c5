"""A private PostgreSQL for the tests that need one."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psutil
from sqlalchemy.engine import make_url

from tests.stack import until

USER = "longhand"
SWIFT = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "autovacuum=off", "logging_collector=off")
"""Nobody's data: it need not outlive the machine."""


def postgres_folder() -> Path | None:
    """Where the server's programs are: some systems do not put them on the PATH."""
    places = [Path(found).resolve().parent for found in [shutil.which("initdb"), shutil.which("postgres")] if found]
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        places += sorted(Path("/usr").glob(pattern), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def postgres_lacks() -> str | None:
    """Why there can be no PostgreSQL here; None: there can."""
    if importlib.util.find_spec("psycopg") is None:
        return "needs PostgreSQL's driver: pip install -c requirements/constraints.txt -r requirements/postgres.txt"
    if postgres_folder() is None or _account() is None:
        return "needs PostgreSQL: install postgresql (Debian, Ubuntu) and run it again"
    return None


def _account() -> str | None:
    """Whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    known = {one.pw_name for one in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


class PostgresServer:
    """A PostgreSQL of our own, on a socket in a folder of our own."""

    def __init__(self) -> None:
        # Socket paths must be short, and pytest's folders are not.
        self.folder = Path(tempfile.mkdtemp(prefix="lh-postgres-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.made = 0
        self.template = ""

    def start(self) -> Self:
        """Start it, for the first time or again."""
        if not self.data.exists():
            self._make()
        options = [f"unix_socket_directories={self.folder}", "listen_addresses=", *SWIFT]
        self.process = self._run("postgres", "-D", str(self.data), *(f"--{option}" for option in options))
        until(self._answers, 60, f"our PostgreSQL; its log is {self.log}")
        return self

    def url(self, database: str = "postgres") -> str:
        """What goes into DATABASE_URL."""
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def create(self, *, migrated: bool = False) -> str:
        """Address of a database that is new: empty, or with the tables of the record."""
        if migrated and not self.template:
            from store.database import Database

            self.template = "record"
            self.say(f"CREATE DATABASE {self.template}")
            record = Database(self.url(self.template))
            record.upgrade()
            record.engine.dispose()
        self.made += 1
        name = f"d{self.made}"
        self.say(f"CREATE DATABASE {name} {f'TEMPLATE {self.template}' if migrated else ''}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever is connected."""
        self.say(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def say(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the owner of everything; its rows."""
        import psycopg

        address = f"host={self.folder} user={USER} dbname={database} connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT closes all connections and tidies up, SIGQUIT does not tidy up."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """SIGKILL it and each of its processes, at once."""
        if self.process is not None:
            main = psutil.Process(self.process.pid)
            main.suspend()  # so that it starts no others meanwhile
            for one in [*main.children(recursive=True), main]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        account = _account()
        if os.geteuid() == 0 and account is not None:
            shutil.chown(self.folder, account, pwd.getpwnam(account).pw_gid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        made = self._run("initdb", "-D", str(self.data), "-U", USER, *options)
        assert made.wait(60) == 0, self.log.read_text()

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        folder, account = postgres_folder(), _account()
        assert folder is not None and account is not None, "PostgreSQL is not installed"
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(folder / program), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.folder, env={"PATH": os.environ["PATH"], "TZ": "UTC"}, start_new_session=True, **other,
            )  # fmt: skip

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, f"our PostgreSQL ended: {self.log.read_text()}"
        import psycopg

        with contextlib.suppress(psycopg.OperationalError, FileNotFoundError):
            # Its own: the file of one that was killed before is there until the new one has written it anew.
            first = (self.data / "postmaster.pid").read_text().split()[0]
            return int(first) == self.process.pid and self.say("SELECT 1") == [(1,)]
        return False
