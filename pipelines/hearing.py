"""Words as a chunk heard them, and how far each is to be believed: pure.

A model's probabilities alone do not tell a good hearing from a bad one: a decoder that loops is sure of every word.
What gives it away is timing that nobody could speak; what gives away a word cut in two is its place at the cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipelines.documents import Word

EDGE = 1.0
"""Seconds at a chunk's end within which it is believed less and less: most words are over within one second."""
_AT_THE_CUT = 0.1
"""What a word's probability is worth right at the cut."""
_FASTEST = 40.0
"""Letters a second that nobody reaches; hurried speech has 25."""
_MISPLACED = 0.1
"""Seconds by which a decoder may make one word shorter than it is."""
_LONGEST = 1.5
"""Seconds that hardly any single word takes: a longer one was laid over speech that was not understood."""
_DRAWN_OUT = 0.5
"""What a word's probability is worth when it takes longer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A word and where it comes from."""

    part: int
    """Index of the chunk."""
    segment: int
    """Index of the segment within the chunk's."""
    index: int
    """Index of the word within the segment's."""
    word: Word
    key: str
    """What is compared: the text without case and punctuation."""
    guessed: bool = False
    """Whether its times are interpolated."""
    credit: float = 1.0
    """How far it is to be believed, from 0 (nobody can have said it then) to 1; only ``weigh`` sets it."""

    @property
    def start(self) -> float:
        """Seconds."""
        return self.word.start

    @property
    def end(self) -> float:
        """Seconds."""
        return self.word.end

    @property
    def middle(self) -> float:
        """Seconds."""
        return (self.word.start + self.word.end) / 2


def normalise(text: str) -> str:
    """The text by which two hearings of a word are compared."""
    return "".join(filter(str.isalnum, text.casefold())) or text.strip()


def weigh(words: Sequence[Heard], cut: float, margin: float) -> list[Heard]:
    """The words with their credit.

    Args:
        words: Of one side, in order.
        cut: The second at which this side's chunk was cut off.
        margin: Seconds from there within which it is believed less.
    """
    return [
        replace(word, credit=0.0 if _squeezed(words, number) else _credit(word, cut, margin))
        for number, word in enumerate(words)
    ]


def _credit(word: Heard, cut: float, margin: float) -> float:
    distance = min(abs(word.start - cut), abs(word.end - cut))
    near = max(_AT_THE_CUT, min(1.0, distance / margin))
    return word.word.probability * near * (_DRAWN_OUT if word.end - word.start > _LONGEST else 1.0)


def _squeezed(words: Sequence[Heard], number: int) -> bool:
    """Whether a word, or it and the one before or after, goes by faster than anybody speaks."""
    word, around = words[number], words[max(0, number - 1) : number + 2]
    return len(word.key) > _FASTEST * (word.end - word.start + _MISPLACED) or any(
        len(one.key) + len(other.key) > _FASTEST * (other.end - one.start) for one, other in pairwise(around)
    )
