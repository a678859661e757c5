"""Do memory and open files of any process grow with the number of jobs?

Usage: ``python -m benchmarks.steady [--jobs 500]``. Clips of six seconds, eight in flight; every process is looked at
after the first fifth, when all of it has had its turn, and at the end. Two figures of memory: what is in memory
(resident), and what of it no other process shares: that grows without a byte more where a process and its child stop
sharing a page.
"""

import argparse
import tempfile
import time
from collections import deque
from pathlib import Path

import psutil

from benchmarks.machine import machine
from tests import recordings
from tests.stack import Stack

IN_FLIGHT = 8


def looked_at(stack: Stack) -> dict[str, tuple[float, float, int]]:
    """Process -> resident memory and memory of its own in MB, open files."""
    found = {}
    for name, process in stack.processes.items():
        parent = psutil.Process(process.pid)
        for number, one in enumerate([parent, *sorted(parent.children(), key=lambda child: child.pid)]):
            memory = one.memory_full_info()
            found[f"{name} {number}" if number else name] = (memory.rss / 2**20, memory.uss / 2**20, one.num_fds())
    return found


def work(stack: Stack, clip: Path, jobs: int) -> None:
    """Send this many and wait for them."""
    waiting: deque[str] = deque()
    for _ in range(jobs):
        if len(waiting) >= IN_FLIGHT:
            assert stack.wait(waiting.popleft())["status"] == "done"
        waiting.append(stack.post(clip)["id"])
    for job_id in waiting:
        assert stack.wait(job_id)["status"] == "done"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=500)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip.wav"
        recordings.recording(6, seed=8).write(clip)
        with Stack(Path(name), gpu_workers=1, beat=True, flower=True) as stack:
            first = chosen.jobs // 5
            work(stack, clip, first)
            before = looked_at(stack)
            began = time.perf_counter()
            work(stack, clip, chosen.jobs - first)
            seconds = time.perf_counter() - began
            after = looked_at(stack)
    print(f"{chosen.jobs - first} jobs in {seconds:.0f} s; after {first} and {chosen.jobs} jobs:")
    for process, (resident, own, files) in after.items():
        was = before.get(process, (float("nan"), float("nan"), 0))
        print(
            f"  {process:8} {was[0]:6.1f} -> {resident:6.1f} MB resident   {was[1]:6.1f} -> {own:6.1f} MB its own   "
            f"{was[2]:3} -> {files:3} files"
        )


if __name__ == "__main__":
    main()
