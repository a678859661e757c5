"""Chunks to one timeline: pure.

Words are joined at the seams (``pipelines.seams``), then put back into the segments they came from. A segment that was
cut at a seam is made whole again with its other half.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from pipelines.documents import ChunkPlan, ChunkTranscript, Segment, Word
from pipelines.hearing import Heard, normalise
from pipelines.seams import REACH, Overlap, merge

_LONGEST_SEGMENT = 30.0
_LONGEST_BREATH = 1.0
"""Two halves of a segment further apart than this stay two."""
_SENTENCE_END = re.compile(r"[.?!…。？！][\"'”’»)\]」』]*$")
_TOKEN = re.compile(r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")
"""A word, or one character of a script that puts no spaces between words."""


class Joins(Protocol):
    """What takes chunks in order and gives segments as they become certain."""

    def add(self, part: ChunkTranscript) -> list[Segment]:
        """The segments that no later chunk can change any more; with the last chunk, all that are left."""


class Joiner:
    """Takes what the chunks heard, in order, and gives the segments of the whole recording as they become certain.

    It holds no more than the words of two chunks, however long the recording is.

    Args:
        plan: What was given to whom.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self._plan = plan
        self._added = 0
        self._words: list[Heard] = []
        """Those that what comes may still change."""
        self._sources: dict[int, Sequence[Segment]] = {}
        self._heard_before = False
        self._floor = 0.0
        """Where the words that were given out end."""
        self._given = 0

    def add(self, part: ChunkTranscript) -> list[Segment]:
        """The segments that no later chunk can change any more; with the last chunk, all that are left.

        Segments are numbered from 0 through all calls, times never decrease and stay within the recording.

        Raises:
            ValueError: It is not the next chunk's.
        """
        chunks, number = self._plan.chunks, self._added
        if number == len(chunks) or part.index != chunks[number].index:
            wanted = f"chunk {chunks[number].index}" if number < len(chunks) else "no further chunk"
            raise ValueError(f"{wanted} is to come, this is chunk {part.index}")
        heard = _heard(number, part)
        if number and self._heard_before and heard:
            before, after = chunks[number - 1], chunks[number]
            overlap = Overlap(start=after.start, end=before.end, seam=self._plan.seams[number - 1])
            self._words = merge(self._words, heard, overlap)
        else:  # A chunk that heard nothing contradicts nobody.
            self._words += heard
        self._heard_before = bool(heard)
        self._sources[number] = part.segments
        self._added += 1
        return self._settle(self._settled())

    def earliest(self) -> float:
        """No segment that is still to come begins before this second; infinity if none comes."""
        if self._added == len(self._plan.chunks):
            return float("inf")
        held = (min(word.start, self._sources[word.part][word.segment].start) for word in self._words)
        return max(self._floor, min((self._plan.chunks[self._added].start, *held)))

    def _settled(self) -> int:
        """How many words the next chunk cannot change: up to a place where nothing reaches across."""
        number = self._added - 1
        if self._added == len(self._plan.chunks):
            return len(self._words)
        left = self._plan.chunks[number - 1].end + REACH if number else float("-inf")
        right = self._plan.chunks[self._added].start - REACH
        last = self._words[-1] if self._words else None
        if last and last.part == number and left < last.start and last.end < right:
            # Nothing that the next chunk hears can touch it, and that may be hours away.
            return len(self._words)
        for at in range(len(self._words) - 1, 0, -1):
            one, other = self._words[at - 1], self._words[at]
            # Inside one chunk, away from both its seams, the words stand as they were heard.
            inside = one.part == other.part == number and left < one.start and one.end <= other.start < right
            if inside and one.segment != other.segment:
                return at
        return 0

    def _begins(self) -> float:
        """Before when nothing more is said."""
        if self._added == len(self._plan.chunks):
            return self._plan.duration
        return self._plan.chunks[self._added].start

    def _settle(self, count: int) -> list[Segment]:
        """Give out that many words as segments."""
        words, self._words = self._words[:count], self._words[count:]
        ordered = _in_order(_adopt(words), self._plan.duration, earliest=self._floor)
        following = self._words[0].start if self._words else self._begins()
        pieces = _tidy(_rebuild(ordered, self._sources), self._plan.duration, self._given, self._floor, following)
        self._given += len(pieces)
        self._floor = max(self._floor, *(piece.end for piece in pieces), 0.0)
        needed = self._words[0].part if self._words else self._added
        self._sources = {number: source for number, source in self._sources.items() if number >= needed}
        return pieces


def join(plan: ChunkPlan, parts: Iterable[ChunkTranscript], joiner: Joins | None = None) -> Iterator[Segment]:
    """The segments of the whole recording, as ``Joiner`` gives them.

    Nothing said is lost at a seam or stands twice. A single part comes back as it is, but for its numbers.

    Args:
        plan: What was given to whom.
        parts: What each chunk heard, in order.
        joiner: Of this plan, if it is not a ``Joiner``.

    Raises:
        ValueError: There is not exactly one part for every chunk, in order.
    """
    joins, added = joiner or Joiner(plan), 0
    for part in parts:
        yield from joins.add(part)
        added += 1
    if added != len(plan.chunks):
        raise ValueError(f"{len(plan.chunks)} chunks were planned, {added} are there")


def _heard(number: int, part: ChunkTranscript) -> list[Heard]:
    return [
        Heard(number, at, index, word, normalise(word.word), guessed=not segment.words)
        for at, segment in enumerate(part.segments)
        for index, word in enumerate(segment.words or _guess_words(segment))
    ]


def _guess_words(segment: Segment) -> list[Word]:
    """Words of a segment without word times, spread over it by their length; only for finding the seam."""
    tokens = _TOKEN.findall(segment.text)
    per_letter = (segment.end - segment.start) / max(1, sum(map(len, tokens)))
    words, start = [], segment.start
    for number, token in enumerate(tokens):
        end = segment.end if number == len(tokens) - 1 else start + per_letter * len(token)
        words.append(Word(start=start, end=end, word=token if number else f" {token}", probability=0.0))
        start = end
    return words


def _adopt(words: Sequence[Heard]) -> list[Heard]:
    """Words of one side that came to stand inside a segment of the other become part of it."""
    runs = [(owner, list(run)) for owner, run in groupby(words, key=lambda word: (word.part, word.segment))]
    adopted: list[Heard] = []
    inside: tuple[int, int] | None = None
    for number, (owner, run) in enumerate(runs):
        after = runs[number + 1][0] if number + 1 < len(runs) else None
        if inside is not None and owner != inside and after == inside:
            part, segment = after
            adopted += [replace(word, part=part, segment=segment, index=-1) for word in run]
        else:
            inside = owner
            adopted += run
    return adopted


def _in_order(words: Sequence[Heard], duration: float, *, earliest: float) -> list[Heard]:
    """With times within the recording that never decrease; where two words share time, they share it evenly."""
    tidy: list[Heard] = []
    for heard in words:
        start = min(max(heard.start, earliest), duration)
        end = min(max(heard.end, start), duration)
        if tidy and tidy[-1].end > start:
            middle = min((tidy[-1].end + start) / 2, end)
            tidy[-1] = _timed(tidy[-1], tidy[-1].start, middle)
            start = middle
        tidy.append(_timed(heard, start, end))
        earliest = start
    return tidy


def _timed(heard: Heard, start: float, end: float) -> Heard:
    if (heard.start, heard.end) == (start, end):
        return heard
    return replace(heard, word=replace(heard.word, start=start, end=end))


def _rebuild(words: Sequence[Heard], sources: Mapping[int, Sequence[Segment]]) -> list[Segment]:
    """The segments these words make, the halves of those that were cut at a seam put together."""
    sizes = {part: [len(s.words or _guess_words(s)) for s in segments] for part, segments in sources.items()}
    pieces: list[list[Heard]] = []
    for _, run in groupby(words, key=lambda word: (word.part, word.segment)):
        piece = list(run)
        if pieces and _belong(pieces[-1], piece, sizes):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return [_segment(piece, sources, sizes) for piece in pieces]


def _belong(one: Sequence[Heard], other: Sequence[Heard], sizes: Mapping[int, Sequence[int]]) -> bool:
    """Whether these are two halves of one segment, cut at a seam."""
    last, first = one[-1], other[0]
    return (
        last.part != first.part
        and last.guessed == first.guessed
        and last.index != sizes[last.part][last.segment] - 1
        and first.index != 0
        and first.start - last.end <= _LONGEST_BREATH
        and other[-1].end - one[0].start <= _LONGEST_SEGMENT
        and not _SENTENCE_END.search(last.word.word)
    )


def _segment(
    words: Sequence[Heard], sources: Mapping[int, Sequence[Segment]], sizes: Mapping[int, Sequence[int]]
) -> Segment:
    """One segment of words that came out of one or two."""
    first = words[0]
    source = sources[first.part][first.segment]
    start, end = first.start, words[-1].end
    kept = {} if first.guessed else {"words": [word.word for word in words]}
    owners = [sources[word.part][word.segment] for word in words]
    if all(owner is source for owner in owners) and [w.index for w in words] == [
        *range(sizes[first.part][first.segment])
    ]:
        return source.model_copy(update={"start": min(source.start, start), "end": max(source.end, end), **kept})
    return source.model_copy(
        update={
            "start": start,
            "end": end,
            "text": "".join(word.word.word for word in words).strip(),
            "avg_logprob": sum(owner.avg_logprob for owner in owners) / len(owners),
            "no_speech_prob": sum(owner.no_speech_prob for owner in owners) / len(owners),
            **kept,
        }
    )


def _tidy(pieces: Sequence[Segment], duration: float, first: int, earliest: float, following: float) -> list[Segment]:
    """Numbered, each beginning where the one before it has ended or later, and no later than its first word.

    Args:
        pieces: Some segments in order.
        duration: Of the recording.
        first: Number of the first of them.
        earliest: Where the segment before them ends.
        following: When the next word after them is said.
    """
    tidy: list[Segment] = []
    for number, piece in enumerate(pieces):
        start = max(piece.start, earliest)
        end = max(piece.end, start)
        if piece.words:
            start, end = min(start, piece.words[0].start), max(end, piece.words[-1].end)
        if number + 1 == len(pieces):
            end = max(min(end, following), piece.words[-1].end) if piece.words else end
        elif pieces[number + 1].words:
            end = min(end, pieces[number + 1].words[0].start)
        start, end = min(start, duration), min(end, duration)
        tidy.append(piece.model_copy(update={"id": first + number, "start": start, "end": max(start, end)}))
        earliest = tidy[-1].end
    return tidy
