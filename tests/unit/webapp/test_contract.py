"""The API document against the running server, by a program that knows nothing but the document."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.stack import KEY, ROOT, WEBHOOK_SECRET, RedisServer
from tests.unit.webapp.conftest import AUTH
from tests.unit.webapp.test_gunicorn import Server, start

# Without workers these wait in vain; tests/integration/test_contract.py looks at them.
AT_ONCE = ["--exclude-path-regex", "^/(transcribe|v1/audio)"]
# Every edge of every field of every kind of body: by far the most of all requests, and the slowest.
FORMS = 'include-path = "/v1/jobs"\n'
# An installation without workers is not well.
WITHOUT_WORKERS = """
[[operations]]
include-path = ["/health", "/health/ready"]
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"""


def check(url: str, folder: Path, options: Sequence[str], *, more: str = "") -> None:
    """Let schemathesis find nothing.

    Args:
        url: Of the server.
        folder: Of the test; it keeps there what it found.
        options: Further ones of its command line.
        more: To be added to its configuration.
    """
    config = folder / "schemathesis.toml"
    text = (ROOT / "schemathesis.toml").read_text()
    assert FORMS in text
    config.write_text(text.replace(FORMS, f"{FORMS}phases.coverage.enabled = false\n") + more)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json"]
    command += ["--checks", "all", "--seed", "20260101", "--generation-deterministic", "--no-color", *options]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    env |= {"SCHEMATHESIS_HOOKS": "tests.unit.webapp.fresh_keys"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


@pytest.fixture
def server(tmp_path: Path, redis_server: RedisServer) -> Iterator[Server]:
    settings = {"SYNC_TIMEOUT_SECONDS": 1, "WEBHOOK_SECRET": WEBHOOK_SECRET}
    running = start(tmp_path, redis_server.empty(), **settings)
    yield running
    running.process.terminate()
    assert running.process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("who", "phases"),
    [
        ("administrator", ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "2"]),
        ("reader", ["--phases", "fuzzing", "--max-examples", "1"]),
        ("nobody", ["--phases", "fuzzing", "--max-examples", "1"]),
    ],
)
def test_the_document_is_true(server: Server, tmp_path: Path, who: str, phases: list[str]) -> None:
    key = {"administrator": KEY, "nobody": None}.get(who)
    if who == "reader":
        new = httpx.post(f"{server.url}/v1/keys", headers=AUTH, json={"name": who, "scopes": ["read"]})
        key = new.raise_for_status().json()["key"]
    headers = ["-H", f"Authorization: Bearer {key}"] if key else []
    check(server.url, tmp_path, [*headers, *phases, *AT_ONCE], more=WITHOUT_WORKERS)
