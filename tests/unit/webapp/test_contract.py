"""The API document against the running server, by a program that knows nothing but the document."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import KEY, ROOT, WEBHOOK_SECRET, RedisServer
from tests.unit.webapp.test_gunicorn import Server, start

SEED = "20260101"
# Without workers a synchronous call ends only when its patience does; tests of their own cover them.
AT_ONCE = "^/(transcribe|v1/audio)"


@pytest.fixture
def server(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    settings = {"SYNC_TIMEOUT_SECONDS": 1, "WEBHOOK_SECRET": WEBHOOK_SECRET}
    running = start(tmp_path, f"{redis_server.url}?db=5", **settings)
    yield running
    running.process.terminate()
    assert running.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "phases"),
    [(["-H", f"Authorization: Bearer {KEY}"], "examples,coverage,fuzzing,stateful"), ([], "examples,coverage")],
    ids=["with a key", "without a key"],
)
def test_the_document_is_true(server: Server, tmp_path: Path, headers: list[str], phases: str) -> None:
    config = ["--config-file", str(ROOT / "schemathesis.toml")]
    command = [sys.executable, "-m", "schemathesis.cli", *config, "run", f"{server.url}/openapi.json", *headers]
    command += [
        "--checks",
        "all",
        "--phases",
        phases,
        "--max-examples",
        "2",
        "--seed",
        SEED,
        "--generation-deterministic",
    ]
    command += ["--request-timeout", "2", "--exclude-path-regex", AT_ONCE, "--no-color"]
    # It keeps what it found in the folder it runs in.
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
