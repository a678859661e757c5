"""How jobs are shown: in words, in a list, and while they are at work."""

import io
import json

import pytest
from rich.console import Console

from cli.jobs import listing
from cli.screen import FilesDisplay, size
from tests.unit.cli.conftest import ScriptedServer
from tests.unit.cli.test_commands import FAILED, JOB, a_folder_of_its_own, run

__all__ = ["a_folder_of_its_own"]  # a fixture for every test here

LATER = {"stage": "merge", "status": "cancelled", "done": 0, "total": 1, "attempts": 0, "seconds": None, "progress": 0}


def test_nobody_cancelled_what_a_failure_left_undone(server: ScriptedServer) -> None:
    server.says(200, FAILED | {"steps": [JOB["steps"][0] | {"status": "failed"}, LATER]})
    said = run("jobs", "show", "j1", url=server.url).stdout
    assert "not reached" in said
    assert "cancelled" not in said
    server.answers[:] = []
    server.says(200, JOB | {"status": "cancelled", "steps": [LATER]})
    assert "not reached" not in run("jobs", "show", "j1", url=server.url).stdout


def test_a_job_may_be_named_by_the_beginning_of_its_id(server: ScriptedServer) -> None:
    ids = ["43044ff1" * 4, "43044ff2" * 4]
    server.says(200, {"jobs": [JOB | {"id": found} for found in ids], "next_cursor": None})
    result = run("jobs", "show", "43044ff", url=server.url)
    assert result.exit_code == 2
    assert result.stderr == "Error: 2 jobs begin with 43044ff: give more of the id.\n"
    server.answers.append((200, {}, json.dumps(JOB).encode()))
    assert run("jobs", "show", "43044FF2", url=server.url).exit_code == 0
    assert server.asked[-1][1] == f"/v1/jobs/{ids[1]}"
    # Too short, whole, or none of ours: the server says what it thinks of it, and no list is asked for.
    for name in ("43044", ids[0], "talk.mp3"):
        asked = len(server.asked)
        run("jobs", "show", name, url=server.url)
        assert [path for _, path, _, _ in server.asked[asked:]] == [f"/v1/jobs/{name}"]


@pytest.mark.parametrize("width", [60, 80, 119])
def test_a_list_fits_a_narrow_terminal(width: int) -> None:
    running = {"status": "running", "eta_seconds": 185, "steps": [{"stage": "transcribe", "status": "running"}]}
    named = [JOB["source"] | {"name": name} for name in ("long name " * 40, "長い名前" * 60)]
    found = [JOB | running | {"id": "43044ff1" * 4, "source": source} for source in named]
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    screen.print(listing(found, width))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is the StringIO
    assert len(lines) == 1 + 2 * 4
    for line in (lines[1], lines[5]):
        assert line.startswith("43044ff1  transcribe  ")
        assert line.rstrip().endswith("1 min 5 s  01-02 03:04")
    assert lines[4].rstrip().endswith("…")


def test_a_failure_leaves_the_rows_of_the_others_as_they_are() -> None:
    screen = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None, legacy_windows=False)
    with FilesDisplay(screen) as display:
        rows = [display.add(f"an-interview-with-a-rather-long-name-{number}.mp3") for number in range(2)]
        display.show(rows[0], JOB | {"status": "running", "progress": 0.5, "eta_seconds": 185, "steps": []})
        display.finish(rows[1], "x", "A sentence that says at some length what to do about it. " * 3, well=False)
    last = [line for line in screen.file.getvalue().splitlines() if "an-interview" in line][-2:]  # type: ignore[attr-defined]
    assert "━━━━━━━━ " in last[0]  # half of the bar
    begins = [line.index("an-interview") for line in last]  # after what moves the cursor
    assert last[0].index("50 %") - begins[0] == last[1].index(" 0 %") - begins[1]
    assert "running, about 3 min 5 s" in last[0]
    assert last[1].rstrip().endswith("failed")


@pytest.mark.parametrize(
    ("value", "shown"), [(7, "7 bytes"), (9_900, "9.9 kB"), (44_210, "44 kB"), (100_000, "0.1 MB"), (2e9, "2000.0 MB")]
)
def test_sizes(value: float, shown: str) -> None:
    assert size(value) == shown
