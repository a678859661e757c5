"""How many words of a transcript were given to the person who said them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from models.training.diariser.conversations import Conversation
from models.training.scoring import aligned

_MOST = 7  # speakers that are matched; whoever said fewer words than these counts as wrong


@dataclass(frozen=True, slots=True)
class WordScore:
    """Words said, those of them heard rightly, and those of these that were given to who said them."""

    said: int
    heard: int
    right: int

    @property
    def accuracy(self) -> float:
        """Share of the words heard rightly whose speaker is right."""
        return self.right / self.heard if self.heard else 0.0


def word_score(truth: Conversation, words: Sequence[tuple[str, str | None]]) -> WordScore:
    """Compare a transcript with a conversation; speakers are matched one to one so that most words are right.

    Args:
        truth: What was said and by whom.
        words: Of the transcript, in order: each word, and whom it was given to.
    """
    pairs = aligned([word.text for word in truth.words], [text for text, _ in words])
    counts = Counter((truth.speakers[here], words[there][1]) for here, there in pairs)
    counts = Counter({pair: count for pair, count in counts.items() if pair[1] is not None})
    known = _most_frequent(counts, 0)
    told: list[str | None] = [*_most_frequent(counts, 1)]
    told += [None] * max(0, len(known) - len(told))
    orders = permutations(told, len(known))
    best = max((sum(counts[pair] for pair in zip(known, order, strict=True)) for order in orders), default=0)
    return WordScore(len(truth.words), len(pairs), best)


def _most_frequent(counts: Counter[tuple[str, str | None]], side: int) -> list[str]:
    totals: Counter[str] = Counter()
    for pair, count in counts.items():
        totals[str(pair[side])] += count
    return [name for name, _ in totals.most_common(_MOST)]
