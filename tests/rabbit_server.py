"""A private RabbitMQ for the tests that need one."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from amqp import Connection
from amqp.exceptions import AMQPError

from tests.stack import free_port, until


def rabbit_executable() -> str | None:
    """The server's own script: the one on the PATH of some systems insists on their service's user and folders."""
    found = [shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin"), shutil.which("rabbitmq-server")]
    return next(filter(None, found), None)


class RabbitServer:
    """A RabbitMQ of our own: node, ports, cookie and folders are nobody else's."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lh-rabbit-"))
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.process: subprocess.Popen[bytes] | None = None
        self.directory: subprocess.Popen[bytes] | None = None
        (self.folder / "conf").write_text("log.console = false\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"longhand{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            # Smaller tables than a real server's: it is there sooner.
            "RABBITMQ_SERVER_ERL_ARGS": "+S 1",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
        }

    def start(self) -> Self:
        self.launch()
        self.wait()
        return self

    def launch(self) -> None:
        executable = rabbit_executable()
        assert executable is not None, "rabbitmq-server is not installed"
        null = subprocess.DEVNULL
        if self.directory is None:
            # Erlang's directory of nodes; RabbitMQ would start one in the background and leave it there.
            self.directory = subprocess.Popen(["epmd"], env=self.env, stdout=null, stderr=null, stdin=null)
        self.process = subprocess.Popen(
            [executable], env=self.env, cwd=self.folder, stdout=null, stderr=null, stdin=null, start_new_session=True
        )

    def wait(self) -> None:
        def answers() -> bool:
            assert self.process is not None and self.process.poll() is None, "our RabbitMQ ended"
            with Connection(f"127.0.0.1:{self.port}", connect_timeout=2) as connection:
                return bool(connection.connected)

        until(answers, 60, "our RabbitMQ", (OSError, AMQPError))

    def kill(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def wipe(self) -> None:
        """Forget every queue and message; call it between ``kill`` and ``start``."""
        shutil.rmtree(self.folder / "data")

    def close(self) -> None:
        self.kill()
        if self.directory:
            self.directory.kill()
            self.directory.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
