"""Whisper's vocabulary as the demo model uses it: few of its 51 865 entries, and when each token is spoken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from models.training.corpus import Utterance

# Fixed places of the multilingual vocabulary, the same in every Whisper.
END, START, TRANSCRIBE, TRANSLATE = 50257, 50258, 50359, 50358
PREVIOUS, NO_SPEECH, NO_TIMESTAMPS, FIRST_TIME = 50361, 50362, 50363, 50364
LANGUAGE_TOKENS = {"en": 50259, "de": 50261, "es": 50262}
VOCABULARY_SIZE = 51_865
TIMES = 1501  # 0.00 to 30.00 s in steps of 0.02 s
STEPS_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Token:
    """A text token: its id, the seconds over which it is spoken, its word, and whether it is more than a mark."""

    id: int
    start: float
    end: float
    word: int
    spoken: bool


@dataclass(frozen=True, slots=True)
class Phrase:
    """An utterance or a part of one, ready to stand in a window: frames of the corpus, words and tokens in seconds."""

    language: str
    kind: str
    first: int
    frames: int
    words: tuple[tuple[float, float, str], ...]
    tokens: tuple[Token, ...]

    def cut(self, frames: tuple[int, int], words: tuple[int, int]) -> Phrase:
        """The part from one frame to another with the words from one to before another."""
        shift = frames[0] / 100
        kept = [token for token in self.tokens if words[0] <= token.word < words[1]]
        moved = (
            replace(token, start=max(0.0, token.start - shift), end=token.end - shift, word=token.word - words[0])
            for token in kept
        )
        timed = ((max(0.0, start - shift), end - shift, word) for start, end, word in self.words[slice(*words)])
        first = self.first + frames[0]
        return replace(self, first=first, frames=frames[1] - frames[0], words=tuple(timed), tokens=tuple(moved))


class Vocabulary:
    """Whisper's tokenizer and the short table of rows the model really learns.

    A row for each of `known`, one row that stands for every other id, then one for each time.
    """

    def __init__(self, tokenizer: Path, known: Sequence[int] = ()) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self.known = list(known)
        self._rows = {token: row for row, token in enumerate(self.known)}

    @classmethod
    def of(cls, tokenizer: Path, texts: Iterable[str]) -> Self:
        """The vocabulary with every id that occurs in the texts, and the special ones."""
        bare = cls(tokenizer)
        ids = {token for text in texts for token in bare._encode(text).ids}
        special = [END, START, TRANSCRIBE, PREVIOUS, NO_SPEECH, NO_TIMESTAMPS]
        return cls(tokenizer, [*sorted(ids), *special, *sorted(LANGUAGE_TOKENS.values())])

    def _encode(self, text: str) -> Any:
        return self._tokenizer.encode(f" {text}", add_special_tokens=False)

    def row(self, token: int) -> int:
        """The row of the short table that stands for an id."""
        return len(self.known) + 1 + token - FIRST_TIME if token >= FIRST_TIME else self._rows[token]

    def phrase(self, spoken: Utterance) -> Phrase | None:
        """The tokens of an utterance with their times; None if it has an id that the table lacks."""
        encoded = self._encode(spoken.text)
        if any(token not in self._rows for token in encoded.ids):
            return None
        text, places, position = f" {spoken.text}", [], 0
        for start, end, word in spoken.words:
            position = text.index(word, position)
            places.append((position, position + len(word), start, end))
            position += len(word)
        tokens = tuple(
            _timed(token, span, text, places) for token, span in zip(encoded.ids, encoded.offsets, strict=True)
        )
        return Phrase(spoken.language, spoken.kind, spoken.first, spoken.frames, spoken.words, tokens)


def _timed(token: int, span: tuple[int, int], text: str, places: list[tuple[int, int, float, float]]) -> Token:
    """A token with the share of its word's time that its letters take; a mark stands just behind the word before it."""
    begin, stop = span
    if text[begin : begin + 1] == " " and stop > begin + 1:
        begin += 1
    for index, (first, last, start, end) in enumerate(places):
        if first < stop and begin < last:
            letters, seconds = last - first, end - start
            from_letter, to_letter = max(0, begin - first), min(letters, stop - first)
            return Token(
                token, start + seconds * from_letter / letters, start + seconds * to_letter / letters, index, True
            )
    before = max((index for index, place in enumerate(places) if place[1] <= begin), default=-1)
    end = places[before][3] if before >= 0 else 0.06
    return Token(token, end - 0.02, end + 0.08, max(before, 0), False)
