"""How far a transcript is from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from models.training.grammar import split_words

if TYPE_CHECKING:
    from models.training.speech import Word


def plain(text: str) -> str:
    """The words alone, lower case: what an error rate counts."""
    return " ".join(split_words(text.lower()))


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Words substituted, left out and made up, by words said, over pairs of what was said and what was heard."""
    import jiwer

    said, heard = zip(*((plain(truth), plain(text)) for truth, text in pairs), strict=True)
    return float(jiwer.wer(list(said), list(heard)))


def aligned(said: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Places of the words that both sequences have, in an alignment with the fewest errors.

    Each sequence holds one word an entry; marks around it and its case do not count.
    """
    import jiwer

    truth, text = [plain(word) or "-" for word in said], [plain(word) or "-" for word in heard]
    if not truth or not text:
        return []
    chunks = jiwer.process_words(" ".join(truth), " ".join(text)).alignments[0]
    same = (chunk for chunk in chunks if chunk.type == "equal")
    return [
        (chunk.ref_start_idx + offset, chunk.hyp_start_idx + offset)
        for chunk in same
        for offset in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


def start_errors(said: Sequence[Word], heard: Sequence[Word]) -> list[float]:
    """For each word heard rightly, the seconds by which its start is off, without sign."""
    pairs = aligned([word.text for word in said], [word.text for word in heard])
    return [abs(heard[there].start - said[here].start) for here, there in pairs]
