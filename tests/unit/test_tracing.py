"""Spans as a collector receives them, and collectors that are none."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import tracing
from config.settings import Settings
from tests.otlp_receiver import Collector, collecting
from tests.stack import ROOT, free_port, until

JOB = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


@pytest.fixture
def on() -> Iterator[None]:
    tracing.enable(Settings(_env_file=None, enable_tracing=True))
    yield
    tracing.close()
    tracing.enable(Settings(_env_file=None))


def emit(**more: Any) -> None:
    tracing.emit(**{"job_id": JOB, "name": "merge", "start": 100.0, "end": 101.0, "attributes": {"a": 1}, **more})


def python(program: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    return subprocess.run([sys.executable, "-c", program], env=own, cwd=folder, capture_output=True, text=True)


def test_a_job_s_id_is_its_trace_s(collector: Collector, on: None) -> None:
    emit(end=99.0, failed="broken", attributes={"a": 1, "none": None})
    emit(name="transcribe", own="transcribe")
    emit(name="transcribe chunk", within="transcribe")
    tracing.close()
    merge, whole, chunk = collector.of(JOB)
    assert (merge.facts, merge.failed, merge.start, merge.end) == ({"a": 1, "longhand.job": JOB}, "broken", 100, 100)
    assert chunk.parent == whole.id and whole.parent == merge.parent == f"{tracing.span_id(JOB, ''):016x}"
    assert merge.service["service.name"] == "longhand"


def test_an_id_that_is_no_trace_s_has_one_all_the_same() -> None:
    for name in ("0" * 32, "job", "x" * 32, ""):
        assert 0 < tracing.trace_id(name) < 1 << 128
    assert f"{tracing.trace_id(JOB):032x}" == JOB


def test_a_job_that_is_tried_again_keeps_its_root(collector: Collector, on: None) -> None:
    for again in (False, True):
        tracing.requested([JOB], "POST", start=1, end=2, headers={}, again=again, attributes={})
    tracing.close()
    first, second = collector.of(JOB)
    assert not first.parent and second.parent == first.id


@pytest.mark.parametrize("sent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_traceparent_that_is_none_is_none(collector: Collector, on: None, sent: str) -> None:
    tracing.requested([JOB], "POST", start=1, end=2, headers={"traceparent": sent}, attributes={})
    tracing.close()
    [root] = collector.spans
    assert root.trace == JOB and not root.links and not root.parent


def test_the_library_s_own_variables_hold(collector: Collector, on: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    tracing.requested([JOB], "POST", start=1, end=2, headers={}, attributes={})
    emit()
    tracing.close()
    assert collector.spans == []


@pytest.mark.parametrize("status", [503, 400, None])
def test_a_collector_that_is_away_holds_nobody_up(
    collector: Collector, on: None, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status is None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    else:
        collector.answer = status
    began = time.monotonic()
    for _ in range(100):
        emit()
    assert time.monotonic() - began < 2, "the first one brings the library"
    tracing.close()
    assert time.monotonic() - began < 5


def test_a_forked_process_sends_its_own_and_nothing_twice(collector: Collector, on: None) -> None:
    program = (
        "import os; from config import tracing; from config.settings import Settings;"
        "tracing.enable(Settings(enable_tracing=True)); job = os.environ['JOB'];"
        "e = lambda n: tracing.emit(job, n, start=1, end=2, attributes={});"
        "e('parent'); child = os.fork();"
        "(e('child'), tracing.close(), os._exit(0)) if not child else os.waitpid(child, 0); tracing.close()"
    )
    address = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000", "JOB": JOB}
    assert python(program, ROOT / "tests", **address).returncode == 0
    until(lambda: len(collector.spans) >= 2, 30, "both")
    assert sorted(span.name for span in collector.spans) == ["child", "parent"]


def test_off_imports_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from config import tracing; from config.settings import Settings; tracing.enable(Settings());"
        "tracing.emit('a', 'b', start=1, end=2, attributes={}); tracing.close();"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))])"
    )
    assert python(program, tmp_path).stdout == "[]\n"


def test_without_the_packages_a_sentence_says_so(tmp_path: Path) -> None:
    file = ROOT / "config" / "gunicorn.py"
    program = f"import sys, runpy; sys.modules['opentelemetry'] = None; runpy.run_path({str(file)!r})"
    said = python(program, tmp_path, ENABLE_TRACING="true").stderr
    assert "requirements/tracing.txt" in said and "Traceback" not in said


def test_another_protocol_is_refused_by_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="http/protobuf"):
        Settings(_env_file=None, enable_tracing=True)
