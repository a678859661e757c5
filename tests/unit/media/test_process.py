"""A program is always ended: by its own end, by its time, by us, or by our death."""

import signal
import subprocess
import sys
import time
import tracemalloc

import psutil
import pytest
from listening import quiet
from media_samples import SAMPLES

from pipelines.errors import Cancelled, ToolError
from pipelines.media import normalise, process
from pipelines.media.process import LINE_BYTES, Bounds, Lines, OutOfTime, run
from pipelines.stage import Limits

BOUNDS = Bounds(seconds=30, file_bytes=1 << 20)


def ignore(_) -> None:
    pass


def start(*arguments: str, bounds: Bounds = BOUNDS, on_output=ignore, on_error=ignore, tick=ignore) -> int:
    return run(arguments, bounds=bounds, on_output=on_output, on_error=on_error, tick=tick)


def gone(pid: int, seconds: float = 30) -> bool:
    """Whether a process ends (a zombie of somebody else's has)."""
    try:
        process = psutil.Process(pid)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        return True
    return False


def test_lines_and_status():
    out, err = [], []
    status = start(
        "sh", "-c", "echo one; printf 'two\\nthree'; echo four >&2; exit 3", on_output=out.append, on_error=err.append
    )
    assert (status, out, err) == (3, ["one", "two", "three"], ["four"])


def test_no_shell_no_input_and_none_of_our_secrets(monkeypatch):
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("FFREPORT", "file=/nowhere")
    out = []
    start("sh", "-c", 'cat; printf "%s\\n" "$0"; env', "$(echo shell); *", on_output=out.append)
    assert out[0] == "$(echo shell); *"
    names = {line.partition("=")[0] for line in out[1:]}
    assert "PATH" in names
    assert not names & {"API_KEY", "FFREPORT", "HOME"}


def test_a_program_that_is_not_there():
    with pytest.raises(ToolError) as caught:
        status = start("/nonexistent/program")
        raise ToolError("not started") if status in (126, 127) else AssertionError(status)
    assert "nonexistent" not in caught.value.detail


def test_time_runs_out_also_for_one_that_closed_its_output_and_ignores_signals():
    for script in ("sleep 60", "exec >&- 2>&-; sleep 60", "trap '' TERM INT HUP; while :; do sleep 1; done", "yes"):
        started = time.monotonic()
        with pytest.raises(OutOfTime):
            start("sh", "-c", script, bounds=Bounds(seconds=0.3, file_bytes=1))
        assert time.monotonic() - started < 30


def test_what_a_tick_raises_ends_the_whole_session():
    pids = []

    def tick(pid: int) -> None:
        pids.extend([pid, *(child.pid for child in psutil.Process(pid).children())])
        raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        start("sh", "-c", "sleep 60 & sleep 60; :", tick=tick)
    assert len(pids) == 3
    assert not psutil.pid_exists(pids[0])  # waited for, no zombie
    assert all(gone(pid) for pid in pids)


def test_it_dies_with_us():
    """A worker's child that is killed leaves no program running."""
    program = (
        "from pipelines.media.process import Bounds, run\n"
        "ignore = lambda line: None\n"
        "run(['sleep', '60'], bounds=Bounds(seconds=60, file_bytes=1), on_output=ignore, on_error=ignore,\n"
        "    tick=lambda pid: print(pid, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert psutil.Process(pid).name() == "sleep"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert gone(pid)


def test_limits_are_set_before_the_program_starts():
    out = []
    bounds = Bounds(seconds=30, file_bytes=123 * 512, memory_bytes=1 << 30)
    start("sh", "-c", "ulimit -t; ulimit -f; ulimit -v; ulimit -c", bounds=bounds, on_output=out.append)
    assert out == ["70", "123", str(1 << 20), "0"]


def test_a_file_cannot_outgrow_its_limit(tmp_path):
    path = tmp_path / "big"
    status = start("dd", "if=/dev/zero", f"of={path}", "bs=4096", "count=1000")
    assert status != 0
    assert path.stat().st_size <= BOUNDS.file_bytes


def test_a_flood_without_a_line_break_is_not_held():
    lengths = []
    tracemalloc.start()
    try:
        status = start(
            "sh", "-c", "head -c 40000000 /dev/zero >&2; echo end >&2", on_error=lambda line: lengths.append(len(line))
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status == 0
    assert lengths == [LINE_BYTES]
    assert peak < 2_000_000


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_lines_are_the_same_however_they_arrive(size):
    data = b"one\r\ntwo\n\nthr\xc3\xa9e\n" + b"x" * 10000 + b"\nlast"
    out = []
    lines = Lines(out.append)
    for at in range(0, len(data), size):
        lines.feed(data[at : at + size])
    lines.feed(b"")
    assert out == ["one", "two", "thrée", "x" * LINE_BYTES, "last"]


@pytest.fixture
def no_tools(monkeypatch):
    """A machine without util-linux."""
    monkeypatch.setattr(process, "_wrappers", lambda: None)


class TestWithoutUtilLinux:
    """The same limits, set by a Python program that becomes the other."""

    def test_limits_are_set(self, no_tools):
        out = []
        bounds = Bounds(seconds=30, file_bytes=123 * 512, memory_bytes=1 << 30)
        start(
            *("sh", "-c", "ulimit -t; ulimit -f; ulimit -v; ulimit -c; ulimit -n; grep NoNewPrivs /proc/$$/status"),
            bounds=bounds,
            on_output=out.append,
        )
        assert out == ["70", "123", str(1 << 20), "0", str(process.OPEN_FILES), "NoNewPrivs:\t1"]

    def test_a_program_that_is_not_there(self, no_tools):
        heard = []
        assert start("/nonexistent/program", on_error=heard.append) == 127
        assert heard == ["No such file or directory"]

    def test_arguments_and_environment_arrive_as_they_are(self, no_tools, monkeypatch):
        monkeypatch.setenv("PYTHONSTARTUP", "secret")
        out = []
        start("sh", "-c", 'printf "%s\\n" "$@"; env', "sh", "--", "-x", "a b", "", on_output=out.append)
        assert out[:3] == ["--", "-x", "a b"]
        assert not [line for line in out if "secret" in line]

    def test_a_recording_is_read(self, no_tools, tmp_path):
        media = normalise(SAMPLES / "p001.ogg", tmp_path / "audio.wav", limits=Limits(), progress=quiet)
        assert media.duration == pytest.approx(9, abs=0.1)

    def test_it_dies_with_us(self, no_tools):
        program = (
            "from pipelines.media import process\n"
            "process._wrappers = lambda: None\n"
            "ignore = lambda line: None\n"
            "process.run(['sleep', '60'], bounds=process.Bounds(seconds=60, file_bytes=1), on_output=ignore,\n"
            "    on_error=ignore, tick=lambda pid: print(pid, flush=True))\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            pid = int(worker.stdout.readline())
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            assert gone(pid)


def test_no_privileges_are_gained_and_few_files_opened():
    out = []
    start("sh", "-c", "ulimit -n; grep NoNewPrivs /proc/$$/status", on_output=out.append)
    assert out == [str(process.OPEN_FILES), "NoNewPrivs:\t1"]
