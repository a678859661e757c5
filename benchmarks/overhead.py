"""What the whole path costs over calling the model directly.

One run, one machine, one model, the same file and options, the two ways in turn: a job over HTTP (upload, normalise,
chunk, transcribe, merge, export, finish, fetching the SRT) against ``BatchedInferencePipeline`` in this process with
the model already loaded. Usage: ``python -m benchmarks.overhead [--minutes 10] [--rounds 3] [--clips 15]``.
"""

import argparse
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from tests import recordings
from tests.stack import ROOT, Stack

OPTIONS: dict[str, Any] = {"language": "en", "beam_size": 5, "temperature": 0.0}


def direct(pipeline: Any, path: Path) -> float:
    """Seconds of one direct call, its segments used up."""
    started = time.perf_counter()
    segments, _ = pipeline.transcribe(str(path), word_timestamps=True, batch_size=8, **OPTIONS)
    text = " ".join(s.text for s in segments)
    assert text
    return time.perf_counter() - started


def job(stack: Stack, path: Path) -> tuple[float, dict[str, float]]:
    """Seconds from the first byte sent to the SRT in hand, and how long each stage took."""
    started = time.perf_counter()
    done = stack.run(path, seconds=600, **OPTIONS)
    stack.client.get(done["links"]["srt"]).raise_for_status()
    seconds = time.perf_counter() - started
    assert done["status"] == "done", done
    return seconds, {s["stage"]: s["seconds"] for s in done["steps"]}


def compare(stack: Stack, pipeline: Any, path: Path, rounds: int) -> tuple[list[float], list[float], dict[str, float]]:
    """Both ways in turn, after one of each to warm up; the stages' medians."""
    direct(pipeline, path)
    job(stack, path)
    ours, theirs, stages = [], [], []
    for _ in range(rounds):
        gc.collect()
        theirs.append(direct(pipeline, path))
        seconds, parts = job(stack, path)
        ours.append(seconds)
        stages.append(parts)
    return ours, theirs, {name: statistics.median(s[name] for s in stages) for name in stages[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=15)
    chosen = parser.parse_args()
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(ROOT / "models" / "demo" / "whisper"), device="cpu", compute_type="int8")
    pipeline = BatchedInferencePipeline(model)
    print(machine())
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), gpu_workers=1) as stack:
        long = recordings.recording(chosen.minutes * 60, seed=10).write(Path(folder) / "long.wav")
        ours, theirs, stages = compare(stack, pipeline, long, chosen.rounds)
        print(f"{chosen.minutes:g} minutes, {chosen.rounds} rounds")
        print(f"  direct  {_spread(theirs)}")
        print(f"  job     {_spread(ours)}")
        print(f"  ratio of medians {statistics.median(ours) / statistics.median(theirs):.3f}", end="")
        print(f", of minima {min(ours) / min(theirs):.3f}")
        rest = statistics.median(ours) - sum(stages.values())
        parts = {**stages, "upload, queues, waiting, download": rest}
        print("  of which " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items()))
        clip = recordings.recording(9, seed=11).write(Path(folder) / "clip.wav")
        ours, theirs, stages = compare(stack, pipeline, clip, chosen.clips)
        print(f"a clip of {recordings.recording(9, seed=11).duration:.1f} s, {chosen.clips} rounds")
        print(f"  direct  {_spread(theirs)}")
        print(f"  job     {_spread(ours)}")
        print(f"  over the direct call: {statistics.median(ours) - statistics.median(theirs):.3f} s (medians)")
        print("  of which " + ", ".join(f"{name} {seconds:.3f} s" for name, seconds in stages.items()))


def _spread(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.3f} s  (least {min(seconds):.3f}, most {max(seconds):.3f})"


if __name__ == "__main__":
    main()
