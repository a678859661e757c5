"""Speakers of whole jobs: how many words are given to who said them, and whether transcription waits for it.

Usage: ``python -m benchmarks.speakers [--each 5] [--minutes 35] [--rounds 3]``. Every recording goes through an
installation with the demo models, two workers of which one transcribes and one tells speakers apart. Conversations of
two and of three voices that the demo diariser was not trained on, their speakers counted by it; one long one of two
voices, cut into several chunks; and ten minutes with and without ``diarise=true`` in turn.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from models.training.diariser.conversations import Conversation, conversation
from models.training.diariser.word_scores import WordScore, word_score
from tests.stack import Stack

SEED = 7000


def transcript(stack: Stack, said: Conversation, folder: Path, **options: str) -> dict[str, Any]:
    """What a job makes of a conversation, its speakers told apart."""
    path = said.write(folder / "conversation.wav")
    job = stack.run(path, seconds=3600, diarise="true", temperature="0", **options)
    assert job["status"] == "done", job
    assert not any(warn["code"] == "diarisation_failed" for warn in job["warnings"]), job["warnings"]
    return stack.transcript(job["id"])


def score(said: Conversation, found: dict[str, Any]) -> WordScore:
    """The words of a transcript and whom they were given to, against the truth."""
    words = [word for segment in found["segments"] for word in segment["words"]]
    return word_score(said, [(word["word"], word["speaker"]) for word in words])


def report(name: str, scores: Iterable[WordScore], counts: Iterable[bool]) -> None:
    """One line of figures."""
    scores, counts = list(scores), list(counts)
    said, heard, right = (sum(getattr(one, field) for one in scores) for field in ("said", "heard", "right"))
    print(
        f"{name}: of {said} words {heard} heard rightly, of these {right / heard:.1%} given to who said them; "
        f"right number of speakers {sum(counts)}/{len(counts)}"
    )


def words(stack: Stack, folder: Path, each: int) -> None:
    """Conversations of two minutes, speakers not counted beforehand."""
    for voices in (2, 3):
        for noisy in (False, True):
            scores, counts = [], []
            for number in range(each):
                said = conversation(120, SEED + number, voices=voices, noisy=noisy, overlap=0.2 if noisy else 0.0)
                found = transcript(stack, said, folder)
                scores.append(score(said, found))
                counts.append(len(found["speakers"]) == voices)
            report(f"{voices} voices, {'a room, noise, overlap' if noisy else 'clean'}, 2 minutes", scores, counts)


def long(stack: Stack, folder: Path, minutes: float) -> None:
    """One conversation in many chunks: are they the same two throughout?"""
    said = conversation(minutes * 60, SEED, voices=2)
    found = transcript(stack, said, folder, chunk_seconds="300")
    report(f"2 voices, {minutes:g} minutes", [score(said, found)], [len(found["speakers"]) == 2])
    edges = [minutes * 60 * part / 7 for part in range(8)]
    for start, end in pairwise(edges):
        names = [one["speaker"] for one in found["segments"] if start <= one["start"] < end]
        print(
            f"  from {start / 60:.0f} to {end / 60:.0f} min:", {name: names.count(name) for name in sorted(set(names))}
        )


def beside(stack: Stack, folder: Path, rounds: int) -> None:
    """Ten minutes with and without, in turn."""
    path = conversation(600, SEED, voices=2).write(folder / "ten.wav")
    took: dict[str, dict[str, list[float]]] = {diarise: {} for diarise in ("false", "true")}
    for number in range(rounds + 1):
        for diarise, stages in took.items():
            job = stack.run(path, seconds=1200, diarise=diarise, temperature="0", chunk_seconds="300")
            if number:  # the first loads what is loaded once
                for step in job["steps"]:
                    stages.setdefault(step["stage"], []).append(step["seconds"])
    for stage in ("transcribe", "diarise"):
        medians = [statistics.median(stages[stage]) for stages in took.values() if stage in stages]
        print(f"{stage}:", ", ".join(f"{seconds:.2f} s" for seconds in medians), f"({rounds} rounds, medians)")
    without, beside = (statistics.median(took[diarise]["transcribe"]) for diarise in ("false", "true"))
    print(f"transcription of 10 minutes beside diarisation takes {beside / without:.3f} of the time without")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=5, help="conversations of each kind")
    parser.add_argument("--minutes", type=float, default=35, help="length of the long one; 0: leave it out")
    parser.add_argument("--rounds", type=int, default=3, help="of ten minutes with and without; 0: leave them out")
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A core for each of the two.
        with Stack(folder, gpu_workers=1, diarise=True, WHISPER_CPU_THREADS="1") as stack:
            if chosen.each:
                words(stack, folder, chosen.each)
            if chosen.minutes:
                long(stack, folder, chosen.minutes)
            if chosen.rounds:
                beside(stack, folder, chosen.rounds)


if __name__ == "__main__":
    main()
