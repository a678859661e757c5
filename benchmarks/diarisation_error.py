"""How often does a diariser take one person for another?

Usage: ``python -m benchmarks.diarisation_error [--model demo] [--each 10] [--seconds 75] [--split testing]``. The model
is what DIARISATION_MODEL takes, and what it is set to unless given. Conversations are made on the spot, always the same
ones, of synthetic voices that the demo diariser was not trained on; its settings were chosen by those of ``--split
choosing``. ``--recordings a.wav b.wav`` measures recordings that have an RTTM file of the same name beside them.
"""

import argparse
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, peak_mb
from models.training.diariser.conversations import Turn
from models.training.diariser.scores import Scored, errors, turns_from_rttm
from models.training.diariser.trials import CELLS, VARIANTS, nobody, trials
from pipelines.documents import SAMPLE_RATE
from pipelines.engines.diarisers import Diariser, DiariserSettings, SpeakerCount
from pipelines.engines.pyannote import load

TWO_SPEAKERS = Path(__file__).parents[1] / "tests" / "samples" / "two_speakers.wav"
COLLAR = 0.25


@dataclass(frozen=True)
class Sound:
    """Samples in memory, as a diariser reads them."""

    audio: Any

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.audio) / SAMPLE_RATE

    def read(self, start: float = 0.0, end: float | None = None) -> Any:
        """Samples from ``start`` to ``end`` (seconds)."""
        return self.audio[round(start * SAMPLE_RATE) : None if end is None else round(end * SAMPLE_RATE)]


class Clock:
    """Seconds of sound listened to, and what that took."""

    def __init__(self) -> None:
        self.sound = self.wall = self.cpu = 0.0

    def heard(self, diariser: Diariser, audio: Any, *, speakers: int | None = None) -> list[Turn]:
        """Who speaks when, as users get it: one at a time."""
        wall, cpu = time.perf_counter(), time.process_time()
        told = diariser.diarise(Sound(audio), SpeakerCount(exactly=speakers), lambda *_: None)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        self.sound += len(audio) / SAMPLE_RATE
        return [Turn(turn.start, turn.end, turn.speaker) for turn in told.turns]


def line(name: str, scored: Sequence[Scored]) -> str:
    """A row of the table."""
    strict, lenient = errors(scored), errors(scored, collar=COLLAR)
    counts = [one.speakers for one in scored]
    right = sum(said == heard for said, heard in counts)
    wrong = ", ".join(f"{heard} for {said}" for said, heard in counts if said != heard)
    return (
        f"| {name} | {strict.rate:.1%} | {strict.missed:.1%} | {strict.false:.1%} | {strict.confused:.1%} | "
        f"{lenient.rate:.1%} | {right} of {len(counts)}{f' ({wrong})' if wrong else ''} |"
    )


def conversations(diariser: Diariser, clock: Clock, chosen: argparse.Namespace) -> None:
    """Print the table of made conversations, and of given recordings."""
    print(
        f"| {chosen.seconds:.0f} s each | error | missed | false | confused | with a collar of {COLLAR} s | speakers |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in chosen.kinds:
        scored = []
        for trial in trials(chosen.split, chosen.each, chosen.seconds, kinds=(kind,)):
            speakers = len(set(trial.said.speakers)) if chosen.told else None
            heard = clock.heard(diariser, trial.said.audio, speakers=speakers)
            scored.append(Scored(trial.said.turns, heard, trial.said.duration))
        print(line(f"{kind} ({chosen.each})", scored), flush=True)
    for path in chosen.recordings:
        print(line(path.name, [recorded(diariser, clock, path)]), flush=True)


def recorded(diariser: Diariser, clock: Clock, path: Path) -> Scored:
    """A recording with the truth beside it."""
    from faster_whisper.audio import decode_audio

    audio = decode_audio(str(path), sampling_rate=SAMPLE_RATE)
    truth = turns_from_rttm(path.with_suffix(".rttm").read_text("utf-8"))
    return Scored(truth, clock.heard(diariser, audio), len(audio) / SAMPLE_RATE)


def invented(diariser: Diariser, clock: Clock, sounds: Iterable[tuple[str, Any]]) -> None:
    """Print in which sounds of nobody somebody was heard."""
    heard = {name: clock.heard(diariser, sound) for name, sound in sounds}
    wrong = {name: turns for name, turns in heard.items() if turns}
    print(f"\n{len(heard)} sounds in which nobody speaks: somebody is heard in {len(wrong)}")
    for name, turns in wrong.items():
        seconds = sum(turn.end - turn.start for turn in turns)
        print(f"  {name}: {len({turn.speaker for turn in turns})} speakers, {seconds:.1f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=os.environ.get("DIARISATION_MODEL") or "demo")
    parser.add_argument("--split", choices=list(VARIANTS), default="testing")
    parser.add_argument("--each", type=int, default=10, help="conversations of each kind")
    parser.add_argument("--seconds", type=float, default=75.0, help="of each")
    parser.add_argument("--kinds", nargs="*", choices=list(CELLS), default=list(CELLS), metavar="KIND")
    parser.add_argument("--told", action="store_true", help="tell the diariser how many people speak")
    parser.add_argument("--recordings", nargs="*", type=Path, default=[TWO_SPEAKERS])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    print(machine())
    token = os.environ.get("HF_TOKEN")
    diariser = load(DiariserSettings(chosen.model, chosen.device, token, cpu_threads=chosen.threads))
    print(f"{diariser.name} on {diariser.device}\n")
    clock = Clock()
    conversations(diariser, clock, chosen)
    invented(diariser, clock, nobody())
    print(
        f"\n{clock.sound / 60:.0f} min of sound: {clock.wall / clock.sound:.3f} s a second, "
        f"{clock.cpu / clock.sound:.3f} s of processor time; at most {peak_mb(os.getpid()):.0f} MB"
    )


if __name__ == "__main__":
    main()
