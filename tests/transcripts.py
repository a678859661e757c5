"""Comparing what was heard with what was said."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import jiwer

Timed = tuple[float, float, str]
NEAR_SEAM = 3.0
SAME_WORD = 0.5
"""Two runs place one word within this many seconds of each other."""


def plain(text: str) -> str:
    """Lower case words without punctuation."""
    return " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.lower()))


def word_error_rate(said: str, heard: str) -> float:
    """Substitutions, deletions and insertions over the words that were said."""
    return float(jiwer.wer(plain(said), plain(heard)))


def words_of(transcript: dict[str, Any]) -> list[Timed]:
    """(start, end, plain word) of a transcript as the API gives it."""
    return [
        (w["start"], w["end"], part)
        for segment in transcript["segments"]
        for w in segment["words"]
        for part in plain(w["word"]).split()
    ]


def matched(truth: Sequence[Timed], heard: Sequence[Timed]) -> list[tuple[Timed, Timed]]:
    """Pairs of the same word in both, in order."""
    matcher = SequenceMatcher(None, [w[2] for w in truth], [w[2] for w in heard], autojunk=False)
    return [
        (truth[block.a + n], heard[block.b + n]) for block in matcher.get_matching_blocks() for n in range(block.size)
    ]


def near(words: Sequence[Timed], seams: Sequence[float]) -> list[Timed]:
    """Those that start within `NEAR_SEAM` of a seam."""
    return [word for word in words if any(abs(word[0] - seam) <= NEAR_SEAM for seam in seams)]


def missing_and_doubled(
    direct: Sequence[Timed], ours: Sequence[Timed], seams: Sequence[float]
) -> tuple[list[Timed], list[Timed]]:
    """Of the words that the direct run has near a seam: those we have not, and those we have once too often."""

    def like(word: Timed, among: Sequence[Timed]) -> int:
        return sum(other[2] == word[2] and abs(other[0] - word[0]) < SAME_WORD for other in among)

    compared = near(direct, seams)
    assert compared, "there are no words near the seams: this shows nothing"
    missing = [word for word in compared if not like(word, ours)]
    doubled = [word for word in compared if like(word, ours) > like(word, direct)]
    return missing, doubled


def mean_start_error(truth: Sequence[Timed], heard: Sequence[Timed]) -> float:
    """Mean distance of word starts over the words that both have, in seconds."""
    pairs = matched(truth, heard)
    assert len(pairs) > 0.9 * len(truth), f"only {len(pairs)} of {len(truth)} words were found again"
    return sum(abs(a[0] - b[0]) for a, b in pairs) / len(pairs)


def check_timeline(transcript: dict[str, Any]) -> None:
    """Assert what the contract says of times: never decreasing, never past the end."""
    last = 0.0
    for segment in transcript["segments"]:
        assert last <= segment["start"] <= segment["end"] <= transcript["duration"] + 1e-6
        last = segment["start"]
        word_end = segment["start"]
        for word in segment["words"]:
            assert segment["start"] - 1e-6 <= word["start"] <= word["end"] <= segment["end"] + 1e-6
            assert word["start"] >= word_end - 1e-6, f"words overlap: {word}"
            word_end = word["start"]
    assert [s["id"] for s in transcript["segments"]] == list(range(len(transcript["segments"])))
