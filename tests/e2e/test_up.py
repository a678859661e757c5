"""`longhand up` as a person starts it: real processes, the demo model, and nothing left behind."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.stack import ROOT, free_port, until

SAMPLE = ROOT / "models" / "demo" / "sample.flac"
READY_SECONDS = 120

pytestmark = pytest.mark.slow


def processes_of(data: Path) -> list[psutil.Process]:
    """Every process of a stack: all inherit the environment, and Redis, which writes over its own, has its folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.environ().get("LONGHAND_TEST") == str(data) or Path(process.cwd()).is_relative_to(data)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def command_of(process: psutil.Process) -> list[str]:
    """The command line; empty for one that ends while we look."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


LOOK_SECONDS = 0.25
"""Between two looks at all processes of the machine, which take as much as the stack does in that time."""


def wait_until_gone(data: Path, seconds: float = 40) -> None:
    left = f"the end of {[command_of(p) for p in processes_of(data)]}"
    until(lambda: not processes_of(data), seconds, left, every=LOOK_SECONDS)


@dataclass
class Up:
    """A running `longhand up`."""

    data: Path
    process: "subprocess.Popen[str]"
    port: int
    flower_port: int
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            return "Ctrl-C stops" in self.said()

        until(ready, READY_SECONDS, "the stack")

    @property
    def client(self) -> httpx.Client:
        key = json.loads((self.data / "secrets.json").read_text())["api_key"]
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60, trust_env=False)

    def program(self, word: str) -> psutil.Process:
        """The parent of a worker, told by its node name."""
        found = [p for p in processes_of(self.data) if any(word in part for part in command_of(p))]
        parents = [p for p in found if p.ppid() not in {other.pid for other in found}]
        assert len(parents) == 1, parents
        return parents[0]


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "with space ;and 100%"
    yield folder
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


@contextlib.contextmanager
def started(data: Path, *arguments: str, **variables: str) -> Iterator[Up]:
    port, flower_port = free_port(), free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "SSL_CERT_FILE"}}
    home = data.parent / "home"  # there if a test makes it
    environment = kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "LONGHAND_TEST": str(data)}
    # What tells speakers apart is one more process, and takes libraries that are not everywhere.
    environment |= {"WHISPER_MODELS": "demo", "DIARISATION": "off", **variables}
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(data)]
    command += ["--port", str(port), "--flower-port", str(flower_port), *arguments]
    data.parent.mkdir(parents=True, exist_ok=True)
    output = data.parent / "output"
    with output.open("w") as out:
        process = subprocess.Popen(
            command, env=environment, cwd=data.parent, stdout=out, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield Up(data, process, port, flower_port, output)
    finally:
        process.kill()
        process.wait()


def missing(said: str) -> set[str]:
    """The words of the sample that were not printed."""
    expected = json.loads(SAMPLE.with_suffix(".json").read_text())["text"]
    heard, shown = (set(re.findall(r"[a-z]+", text.lower())) for text in (expected, said))
    return heard - shown


def test_one_command_from_recording_to_subtitles(data: Path) -> None:
    # A module of the user's that is named like one of ours is not ours.
    data.parent.joinpath("tasks.py").write_text("raise SystemExit('the wrong tasks')")
    home = data.parent / "home"
    home.mkdir()
    with started(data, "--send", str(SAMPLE), "--once", DIARISATION="auto") as up:
        assert up.process.wait(READY_SECONDS + 60) == 0, up.said()
        said = up.said()
    assert not missing(said), said
    assert "demo model" in said
    assert "/v1/jobs/" not in said  # the server is gone
    for name in ("srt", "vtt"):
        found = re.search(rf"^  {name.upper()}  (.*\.{name})$", said, re.MULTILINE)
        assert found
        assert Path(found[1]).stat().st_size > 20
    assert not (home / ".cache" / "Microsoft").exists()  # where onnxruntime keeps what it tells its makers
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert f"http://127.0.0.1:{up.flower_port}" in said
    assert "\x1b" not in said
    for stage in ("normalise", "transcribe", "merge", "export"):
        assert re.search(rf"^  {stage}\s", said, re.MULTILINE)
    assert not processes_of(data)
    secrets = json.loads((data / "secrets.json").read_text())
    assert all(secret in said for secret in secrets.values())
    assert (data / "secrets.json").stat().st_mode & 0o077 == 0
    logs = "".join(path.read_text(errors="replace") for path in (data / "logs").iterdir())
    assert not any(secret in logs for secret in secrets.values())


def test_a_recording_that_cannot_be_used_is_exit_code_1(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no sound at all")
    with started(data, "--send", str(tmp_path / "text.mp3"), "--once") as up:
        assert up.process.wait(READY_SECONDS + 60) == 1, up.said()
        assert "That did not work" in up.said()
        assert "Traceback" not in up.said()
    assert not processes_of(data)


def found_from_anywhere(up: Up, home: Path) -> None:
    """A client in another folder needs neither address nor key; nobody else can read them."""
    assert (home / ".local" / "state" / "longhand" / "server.json").stat().st_mode & 0o077 == 0
    command = [sys.executable, "-m", "cli", "jobs", "list", "--json"]
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)}
    said = subprocess.run(command, env=kept, cwd=home, capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout.splitlines()[0])["links"]["self"].startswith(f"http://127.0.0.1:{up.port}/")


def pasted(said: str) -> str:
    """What the last lines, pasted into a shell, print."""
    lines = [line.strip() for line in said.splitlines() if re.match(r"  (export KEY=|curl )", line)]
    assert len(lines) == 2
    curl = f"curl() {{ {shlex.quote(sys.executable)} -c 'import sys; print(sys.argv[1:])' \"$@\"; }}"
    return subprocess.run(
        ["/bin/sh", "-c", "\n".join([curl, *lines])], capture_output=True, text=True, check=True
    ).stdout


def test_what_dies_comes_back_and_ctrl_c_leaves_nothing(data: Path) -> None:
    home = data.parent / "home"
    home.mkdir(parents=True)
    with started(data, "--gpu-workers", "2", "--send", str(SAMPLE)) as up:
        up.wait_ready()
        found_from_anywhere(up, home)
        key = json.loads((data / "secrets.json").read_text())["api_key"]
        assert f"'Authorization: Bearer {key}', 'http://127.0.0.1:{up.port}/v1/jobs/" in pasted(up.said())
        secrets = json.loads((data / "secrets.json").read_text())
        for process in processes_of(data):
            assert not any(secret in part for secret in secrets.values() for part in command_of(process))
        flower_is_closed(up, secrets["flower_password"])
        one_at_a_time(up)
        for word in ("gpu1@", "net@", "redis-server", "gunicorn"):
            killed = up.program(word)
            killed.kill()
            until(
                lambda word=word, killed=killed: up.program(word).pid != killed.pid,
                30, f"the restart of {word}", (AssertionError, psutil.Error), LOOK_SECONDS,
            )  # fmt: skip
        with up.client as client:
            until(lambda: client.get("/health/ready").status_code == 200, 60, "ready again", (httpx.HTTPError,))
            job = client.post("/v1/jobs", files={"file": ("s.flac", SAMPLE.read_bytes())}).raise_for_status().json()
            end = client.get(f"/v1/jobs/{job['id']}", params={"wait": 60}).json()
            assert end["status"] == "done", end
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(40) == 0
        assert not processes_of(data)
        assert not [path for path in home.rglob("server.json*")]


def flower_is_closed(up: Up, password: str) -> None:
    """Tasks may be started and read through Flower, so nothing but its sign of life is for everybody."""
    url = f"http://127.0.0.1:{up.flower_port}"
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        until(lambda: client.get("/healthcheck").text == "OK", 60, "Flower", (httpx.HTTPError,))
        for path in ("/", "/tasks", "/workers", "/broker", "/api/tasks", "/api/workers", "/metrics"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, auth=("longhand", "wrong")).status_code == 401, path
        assert client.post("/api/task/async-apply/job.upkeep", json={"args": []}).status_code in {401, 403}
        for path in ("/", "/tasks", "/api/tasks", "/metrics"):
            assert client.get(path, auth=("longhand", password)).status_code == 200, path


def one_at_a_time(up: Up) -> None:
    """A second `up` on the same folder, or on the same ports, is told what to do."""
    command = [sys.executable, "-m", "cli", "up", "--port", str(up.port), "--data-dir"]
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "WHISPER_MODELS": "demo"}
    for folder, sentence in ((up.data, "--data-dir"), (up.data.with_name("other"), "another Longhand")):
        second = subprocess.run([*command, str(folder)], env=kept, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        assert sentence in second.stderr


def test_killed_without_a_chance_to_clean_up_it_leaves_nothing_and_starts_again(data: Path) -> None:
    with started(data) as up:
        up.wait_ready()
        assert len(processes_of(data)) >= 8
        up.process.kill()
        up.process.wait()
        wait_until_gone(data)
    with started(data, "--send", str(SAMPLE)) as up:
        up.wait_ready()
        assert not missing(up.said()), up.said()
        # Nor does it leave anything when the process manager is killed.
        up.program("cli.supervised").kill()
        assert up.process.wait(40) == 1
        assert not processes_of(data)
        assert "process manager has ended" in up.said()
        assert str(data / "logs" / "supervisord.log") in up.said().replace("\n", "")


def test_a_second_signal_does_not_wait(data: Path) -> None:
    with started(data) as up:
        until(lambda: "still missing" in up.said(), READY_SECONDS, "the start")
        up.process.send_signal(signal.SIGTERM)
        until(lambda: "Stopping" in up.said(), 60, "the first signal to be heard")
        began = time.monotonic()
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(20)
        assert time.monotonic() - began < 10
        wait_until_gone(data, 5)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": "sqlite:////proc/none/x.db"}, "DATABASE_URL"),
        ({"DATABASE_URL": "no address"}, "DATABASE_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL"),
        ({"WHISPER_MODELS": "./no-such-model"}, "no-such-model"),
        ({"WHISPER_ENGINE": "none", "LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
    ],
)
def test_what_cannot_start_says_so_in_a_sentence(data: Path, variables: Mapping[str, str], sentence: str) -> None:
    with started(data, **variables) as up:
        assert up.process.wait(60) == 1, up.said()
        assert sentence in up.said()
        assert "Traceback" not in up.said()
    assert not processes_of(data)
