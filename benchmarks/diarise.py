"""How long telling speakers apart takes, and how much memory, on a recording of many hours.

Usage: ``python -m benchmarks.diarise [--hours 1] [--model demo] [--device cpu] [--threads 1] [--part-minutes 25]``,
where ``make diarise`` has been run. The recording is ``tests/samples/two_speakers.wav`` (half a minute of two people)
again and again, or ``--file``: 16 kHz, mono, 16 bit. One process does it all; its peak is what the kernel saw (VmHWM).
"""

import argparse
import itertools
import os
import tempfile
import time
import wave
from pathlib import Path

from benchmarks.machine import forget_peak, machine, peak_mb
from pipelines.engines.diarisers import DEFAULT_MODEL, DiariserSettings, SpeakerCount, diariser_loader
from pipelines.voices import seconds_by_speaker
from pipelines.wav import WavReader

SAMPLE = Path(__file__).parents[1] / "tests" / "samples" / "two_speakers.wav"


def long_recording(folder: Path, hours: float) -> Path:
    """The sample again and again; written without having it in memory."""
    path = folder / "long.wav"
    with wave.open(str(SAMPLE), "rb") as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        audio = source.readframes(source.getnframes())
        for _ in range(max(1, round(hours * 3600 * source.getframerate() / source.getnframes()))):
            target.writeframesraw(audio)
    return path


def measure(path: Path, settings: DiariserSettings, count: SpeakerCount) -> None:
    """Load, diarise and print."""
    before, started = peak_mb(os.getpid()), time.perf_counter()
    diariser = diariser_loader("pyannote")(settings)
    print(
        f"{diariser.name} on {diariser.device}: loaded in {time.perf_counter() - started:.1f} s, "
        f"{peak_mb(os.getpid()):.0f} MB ({before:.0f} MB before)"
    )
    forget_peak(os.getpid())
    told: list[float] = []
    with path.open("rb") as stream:
        recording = WavReader(stream)
        wall, cpu = time.perf_counter(), time.process_time()
        found = diariser.diarise(recording, count, lambda done, total: told.append(time.perf_counter()))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    duration = recording.duration
    print(
        f"{duration / 3600:.2f} h in {wall:.0f} s ({cpu:.0f} s of CPU): real-time factor {wall / duration:.4f} "
        f"({cpu / duration:.4f} by CPU), peak {peak_mb(os.getpid()):.0f} MB"
    )
    longest = max(later - earlier for earlier, later in itertools.pairwise(told))
    print(f"progress told {len(told)} times, {longest:.1f} s between two at most")
    seconds = ", ".join(f"{speaker} {said:.0f} s" for speaker, said in seconds_by_speaker(found.turns).items())
    print(f"{len(found.turns)} turns: {seconds or 'nobody speaks'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--model", default="demo", help=f"such as {DEFAULT_MODEL}")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="on a CPU; 0: all cores")
    parser.add_argument("--part-minutes", type=float, default=25)
    parser.add_argument("--speakers", type=int, help="how many there are, if that is to be said")
    chosen = parser.parse_args()
    print(machine())
    settings = DiariserSettings(
        model=chosen.model,
        device=chosen.device,
        token=os.environ.get("HF_TOKEN"),
        cpu_threads=chosen.threads,
        part_seconds=60 * chosen.part_minutes,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.file or long_recording(Path(folder), chosen.hours)
        measure(path, settings, SpeakerCount(exactly=chosen.speakers))


if __name__ == "__main__":
    main()
