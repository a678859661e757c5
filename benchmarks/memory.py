"""How much memory a large upload and a long recording take.

Usage: ``python -m benchmarks.memory [--upload-mb 2000] [--hours 10]``. The peak of every process is read from the
kernel (VmHWM), which is asked to begin anew before each part.
"""

import argparse
import tempfile
import time
import wave
from pathlib import Path

import psutil

from benchmarks.machine import forget_peak, machine, peak_mb
from tests import recordings
from tests.stack import Stack


def upload(stack: Stack, folder: Path, megabytes: int) -> None:
    """Send a large file and say how much the web processes grew."""
    path = folder / "large.wav"
    frames = megabytes * 1024 * 1024 // 2 - 1000
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(48_000)
        w.setnframes(frames)
        w.writeframesraw(b"")
    with path.open("r+b") as stream:
        stream.truncate(44 + frames * 2)
    web = psutil.Process(stack.processes["web"].pid)
    pids = [web.pid, *(child.pid for child in web.children())]
    before = {pid: psutil.Process(pid).memory_info().rss / 2**20 for pid in pids}
    for pid in pids:
        forget_peak(pid)
    started = time.perf_counter()
    with path.open("rb") as stream:
        answer = stack.client.post("/v1/jobs", files={"file": ("large.wav", stream)}, timeout=600)
    seconds = time.perf_counter() - started
    assert answer.status_code == 202, answer.text
    stack.client.post(f"/v1/jobs/{answer.json()['id']}/cancel")
    grown = max(peak_mb(pid) - before[pid] for pid in pids)
    print(f"upload of {path.stat().st_size / 1e9:.2f} GB in {seconds:.1f} s: a web process grew by {grown:.1f} MB")
    path.unlink()


def recording(stack: Stack, folder: Path, hours: float) -> None:
    """A recording of one chunk, then one of many hours: what the second took beyond the first."""
    part = recordings.recording(600, seed=77)
    one = part.write(folder / "one.flac")
    long = part.write(folder / "long.flac", times=round(hours * 3600 / part.duration))
    workers = {name: [p.pid for p in stack.children(name)] for name in ("cpu", "gpu1")}
    for _ in range(4):  # every child has had its turn
        assert stack.run(one, seconds=600, language="en")["status"] == "done"
    first = {name: max(peak_mb(pid) for pid in pids) for name, pids in workers.items()}
    started = time.perf_counter()
    done = stack.run(long, seconds=3 * 3600, language="en")
    assert done["status"] == "done", done
    minutes = (time.perf_counter() - started) / 60
    chunks = next(s["total"] for s in done["steps"] if s["stage"] == "transcribe")
    duration = done["source"]["duration"] / 3600
    one_chunk = 600 * 16_000 * 4 / 2**20
    print(f"{duration:.2f} h in {chunks} chunks, done in {minutes:.1f} min; one chunk is {one_chunk:.0f} MB")
    for name, pids in workers.items():
        peak = max(peak_mb(pid) for pid in pids)
        print(f"  {name}: peak {first[name]:.0f} MB after 10 minutes, {peak:.0f} MB now: {peak - first[name]:+.0f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upload-mb", type=int, default=2000)
    parser.add_argument("--hours", type=float, default=10)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name, Stack(Path(name), gpu_workers=1) as stack:
        if chosen.upload_mb:
            upload(stack, Path(name), chosen.upload_mb)
        if chosen.hours:
            recording(stack, Path(name), chosen.hours)


if __name__ == "__main__":
    main()
