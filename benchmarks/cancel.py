"""How soon does a cancel stop ffmpeg and the decoder, and free the worker?

Usage: ``python -m benchmarks.cancel [--hours 5] [--rounds 5]``. A long recording is cancelled in the middle of each
stage that takes long; the clock runs from the cancel's answer to the moment when no scratch folder of the job is left,
which is when its run has ended. Then a clip must go through: the worker is free.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine
from tests import recordings
from tests.stack import Stack, until

STAGES = ("normalise", "chunk", "transcribe")


def cancelled(stack: Stack, path: Path, stage: str) -> float:
    """Seconds from the cancel of a job in this stage to the end of its run."""
    job_id = stack.post(path, language="en")["id"]

    def runs() -> bool:
        steps = stack.client.get(f"/v1/jobs/{job_id}").json()["steps"]
        return any(step["stage"] == stage and step["status"] == "running" for step in steps)

    until(runs, 300, f"{stage} to begin", every=0.01)
    scratch = stack.folder / "data" / "scratch"
    until(lambda: list(scratch.glob(f"{job_id}-{stage}-*")), 30, "its scratch folder", every=0.01)
    time.sleep(0.5)  # well into it
    assert stack.client.post(f"/v1/jobs/{job_id}/cancel").is_success
    began = time.perf_counter()
    until(lambda: not list(scratch.glob(f"{job_id}-*")), 60, "the run to end", every=0.01)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name, Stack(Path(name), gpu_workers=1) as stack:
        part = recordings.recording(600, seed=77)
        path = part.write(Path(name) / "long.flac", times=round(chosen.hours * 3600 / part.duration))
        clip = recordings.recording(6, seed=8).write(Path(name) / "clip.wav")
        for stage in STAGES:
            seconds = [cancelled(stack, path, stage) for _ in range(chosen.rounds)]
            assert stack.run(clip)["status"] == "done"
            middle = statistics.median(seconds)
            print(f"{stage}: {middle:.2f} s after the cancel (median of {chosen.rounds}), {max(seconds):.2f} s at most")


if __name__ == "__main__":
    main()
