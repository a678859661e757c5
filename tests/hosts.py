"""Machines that share nothing but a network: namespaces with an address, processes and a disk of their own."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.stack import until

_NETWORK = 0x40000000  # CLONE_NEWNET
_HUB = "10.99.0.1"
_NULL = subprocess.DEVNULL


def hosts_lack() -> str | None:
    """Why there can be no such machines here; None: there can."""
    if missing := [name for name in ("ip", "unshare", "nsenter", "mount") if shutil.which(name) is None]:
        return f"needs {', '.join(missing)}: install iproute2 and util-linux"
    tried = ["unshare", "--net", "--mount", "--pid", "--fork", "ip", "link", "add", "type", "veth"]
    if os.geteuid() != 0 or subprocess.run(tried, stdout=_NULL, stderr=_NULL, stdin=_NULL, check=False).returncode:
        return "needs namespaces: run it as root, where they are allowed"
    return None


class Hub:
    """The network between the machines, and the servers that can be reached in it; nobody else can be."""

    def __init__(self) -> None:
        # It lives as long as somebody holds its input, so it does not outlive us.
        self.process = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=_NULL)
        self.seen: dict[str, set[str]] = defaultdict(set)
        """Whoever has called, by server."""
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        own = Path("/proc/self/ns/net").readlink()
        there = Path(f"/proc/{self.process.pid}/ns/net")
        until(lambda: there.readlink() != own, 60, "a network", (OSError,))
        for command in ("link add br0 type bridge", f"addr add {_HUB}/24 dev br0", "link set br0 up"):
            self.ip(command)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)

    def ip(self, command: str) -> None:
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", "ip", *command.split()], check=True, stdin=_NULL)

    def offer(self, name: str, server: Path | int) -> str:
        """Let the machines reach a server of this one, by its socket or its port; the address for them."""
        found: list[socket.socket] = []

        def listen() -> None:
            # A socket stays in the network it was made in, and a thread alone can go there.
            with Path(f"/proc/{self.process.pid}/ns/net").open("rb") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _NETWORK):
                    raise OSError(ctypes.get_errno(), "no way into the network")
            found.append(socket.create_server((_HUB, 0)))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        port = found[0].getsockname()[1]

        async def serve() -> None:
            self._servers.append(
                await asyncio.start_server(lambda r, w: self._pass_on(name, server, r, w), sock=found[0])
            )

        asyncio.run_coroutine_threadsafe(serve(), self._loop).result(20)
        return f"{_HUB}:{port}"

    async def _pass_on(
        self, name: str, server: Path | int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.seen[name].add(writer.get_extra_info("peername")[0])
        try:
            if isinstance(server, Path):
                ours, theirs = await asyncio.open_unix_connection(server)
            else:
                ours, theirs = await asyncio.open_connection("127.0.0.1", server)
            try:
                await asyncio.gather(_pump(reader, theirs), _pump(ours, writer))
            finally:
                theirs.close()
        except (OSError, asyncio.CancelledError):
            return  # the end of the server, or of us
        finally:
            writer.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was closed ends in the next rounds of the loop


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
        writer.close()


class Host:
    """A machine.

    Args:
        hub: The network it is in.
        number: 1, 2 …: the end of its address.
        disk: Where its own disk is; the folder is the same for all, and what is in it is not.
        hidden: Folders of this machine that it must not see.
    """

    def __init__(self, hub: Hub, number: int, *, disk: Path, hidden: Sequence[Path]) -> None:
        self.address = f"10.99.0.{number + 1}"
        self.disk = disk
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "cat"]
        self._process = subprocess.Popen(apart, stdin=subprocess.PIPE, stdout=_NULL)
        self._first: psutil.Process = until(self._started, 60, "a machine", (IndexError, psutil.Error))
        hub.ip(f"link add h{number} type veth peer name eth0 netns {self._first.pid}")
        hub.ip(f"link set h{number} master br0 up")
        for command in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            self.run("ip", *command.split())
        for folder in (*hidden, disk):
            self.run("mount", "-t", "tmpfs", "-o", "size=256m", "none", str(folder))

    def _started(self) -> psutil.Process | None:
        first = psutil.Process(self._process.pid).children()[0]
        return first if first.name() == "cat" else None

    def command(self, *command: str) -> list[str]:
        """A command as it is run there."""
        return ["nsenter", "-t", str(self._first.pid), "-n", "-m", "-p", *command]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*command), check=check, stdin=_NULL, capture_output=True, text=True)

    def start_worker(self, name: str, queue: str, *, env: Mapping[str, str], log: Path) -> None:
        """A worker there, with one child."""
        size = ["--pool", "prefork", "--concurrency", "1", "--without-mingle", "--without-gossip"]
        worker = [sys.executable, "-m", "celery", "-A", "tasks.main", "worker", "-Q", queue, "-n", name, *size]
        with log.open("ab") as out:
            self._worker = subprocess.Popen(
                self.command(*worker), env=dict(env), cwd=self.disk.parent, stdout=out, stderr=out, stdin=_NULL
            )

    def kill(self) -> None:
        """Pull the plug: every process there ends at once, and its disk is gone."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        if worker := self.__dict__.pop("_worker", None):
            worker.wait(20)

    @property
    def on(self) -> bool:
        return self._process.poll() is None
