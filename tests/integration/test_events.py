"""Following a real job: text comes while the work goes on, and is the transcript's to the letter."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import recordings
from tests.stack import Stack


@contextlib.contextmanager
def events(stack: Stack, job_id: str, last: str | None = None) -> Iterator[Iterator[tuple[str | None, str, Any]]]:
    """Id, name and data of each event of a stream, as they come."""
    headers = {"Last-Event-ID": last} if last is not None else {}

    def read(lines: Iterator[str]) -> Iterator[tuple[str | None, str, Any]]:
        fields: dict[str, str] = {}
        for line in lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                if "event" in fields:
                    yield fields.get("id"), fields["event"], json.loads(fields["data"])
                fields = {}

    with stack.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        yield read(answer.iter_lines())


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recordings.recording(150, seed=83).write(tmp_path_factory.mktemp("events") / "long.flac")


def test_segments_come_while_the_job_runs_and_a_lost_stream_goes_on(stack: Stack, long: Path) -> None:
    job_id = stack.post(long, chunk_seconds=30, language="en")["id"]
    found: list[Any] = []
    with events(stack, job_id) as first:
        assert next(first)[1] == "job"
        for number, name, data in first:
            if name == "segment":
                found.append(data)
                last = number
                break
        # The line is cut here, in the middle of the job.
    seen: list[str] = []
    running_after_text = False
    with events(stack, job_id, last) as second:
        for _, name, data in second:
            seen.append(name)
            if name == "segment":
                found.append(data)
            running_after_text |= name == "progress" and "segment" in seen and data["status"] == "running"
    assert seen[0] == "job" and seen[-1] == "done"
    assert running_after_text, "text came before the job's end"
    transcript = stack.transcript(job_id)
    assert found == transcript["segments"]
    assert [s["id"] for s in found] == list(range(len(found)))
    assert sum(step["total"] for step in data["steps"] if step["stage"] == "transcribe") >= 4
    # Whoever comes after the end gets the same.
    with events(stack, job_id) as late:
        assert [data for _, name, data in late if name == "segment"] == found
