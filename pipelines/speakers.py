"""Who says which word: the words of a transcript and the turns of its speakers, put together. Pure.

Words and turns both come in the order of time and are gone through once, side by side; ten hours of them need no more
memory than the turns themselves.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise

from pipelines.documents import Segment, Speaker, Turn, Word
from pipelines.languages import between_sentences

NEAREST_SECONDS = 2.0
"""A word that no turn covers is said by whoever speaks nearest to it, if that is no further away."""
BACKED_SECONDS = 0.5
"""A turn of this length is believed to hold an answer of a single word."""
SNAP_WORDS = 2
"""So many words a change of speaker is moved at most, to where a sentence ends."""
_PAUSE_SECONDS = 0.3
"""Where somebody pauses for so long, another may well begin in the middle of a sentence."""
_APART_SECONDS = 1.0
"""Across a longer silence a lone word is nobody else's."""
_SENTENCE_END = re.compile(r"[.?!…。？！]+[\"'”’»)\]」』]*$")
_LABEL = "SPEAKER_{:02d}"


class Assigner:
    """Gives words, in the order of time, to the turns they fall into.

    Args:
        turns: In order, none beginning before the one before it has ended.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._at = 0
        """The first turn that may still matter: those before it ended before the last word began."""

    def turn(self, start: float, end: float) -> Turn | None:
        """The turn that most of a stretch of time falls into; where none does, the nearest one within reach.

        The start may not be less than at the call before. Of two turns with equal shares it is the later one: words are
        heard a little early rather than late.
        """
        turns, best, most = self._turns, None, 0.0
        while self._at < len(turns) and turns[self._at].end <= start:
            self._at += 1
        for number in range(self._at, len(turns)):
            turn = turns[number]
            if turn.start >= end and not (start == end == turn.start):
                break
            shared = min(end, turn.end) - max(start, turn.start)
            if shared >= most and (shared > 0 or start == end):
                best, most = turn, shared
        return best or self._nearest(start, end)

    def _nearest(self, start: float, end: float) -> Turn | None:
        found: Turn | None = None
        least = NEAREST_SECONDS
        if self._at:
            before = self._turns[self._at - 1]
            if start - before.end <= least:
                found, least = before, start - before.end
        if self._at < len(self._turns):
            after = self._turns[self._at]
            if after.start - end <= least and (found is None or after.start - end < least):
                found = after
        return found


@dataclass(slots=True)
class _Said:
    """A word (or a segment without words), and whose it is as far as is known."""

    segment: int
    word: Word | None
    start: float
    end: float
    text: str
    turn: Turn | None
    speaker: str | None


class Spoken:
    """Segments in which each word has its speaker, cut where another one goes on; after them, the speakers.

    Args:
        segments: In order, with or without words; without, a segment belongs to whom most of its time does.
        turns: As ``Turns`` has them; without any, the segments come as they are.
        names: What speakers are called, by the turns' labels, where that is known.
    """

    def __init__(self, segments: Iterable[Segment], turns: Sequence[Turn], names: Mapping[str, str]) -> None:
        self._segments = segments
        self._turns = turns
        self._names = names
        self._labels: dict[str, str] = {}
        """The turns' label -> the transcript's: numbered by who says the first word, with no gaps."""

    def __iter__(self) -> Iterator[Segment]:
        if not self._turns:
            yield from self._segments
            return
        sources: deque[tuple[int, Segment]] = deque()
        number = 0
        piece: list[_Said] = []
        for said in _snapped(_smoothed(_said(self._segments, self._turns, sources))):
            if piece and (said.segment, said.speaker) != (piece[-1].segment, piece[-1].speaker):
                yield self._segment(piece, sources, number)
                number += 1
                piece = []
            piece.append(said)
        if piece:
            yield self._segment(piece, sources, number)

    def speakers(self) -> list[Speaker]:
        """Those who say something, in the order in which they first do, with the seconds of their turns."""
        seconds = dict.fromkeys(self._labels, 0.0)
        for turn in self._turns:
            if turn.speaker in seconds:
                seconds[turn.speaker] += turn.end - turn.start
        return [
            Speaker(id=label, name=self._names.get(theirs, label), seconds=round(seconds[theirs], 3))
            for theirs, label in self._labels.items()
        ]

    def _segment(self, piece: Sequence[_Said], sources: deque[tuple[int, Segment]], number: int) -> Segment:
        while sources[0][0] != piece[0].segment:
            sources.popleft()
        source = sources[0][1]
        label = self._label(piece[0].speaker)
        whole = piece[0].word is None
        said_by = source.words if whole else [said.word for said in piece if said.word is not None]
        words = [replace(word, speaker=label) for word in said_by]
        if len(words) == len(source.words):
            return source.model_copy(update={"id": number, "speaker": label, "words": words})
        # The ends of the whole segment may lie outside its words; its pieces have no such ends inside it.
        first, last = piece[0].word is source.words[0], piece[-1].word is source.words[-1]
        return source.model_copy(
            update={
                "id": number,
                "speaker": label,
                "words": words,
                "text": "".join(word.word for word in words).strip(),
                "start": source.start if first else words[0].start,
                "end": source.end if last else words[-1].end,
            }
        )

    def _label(self, speaker: str | None) -> str | None:
        if speaker is None:
            return None
        return self._labels.setdefault(speaker, _LABEL.format(len(self._labels)))


def _said(segments: Iterable[Segment], turns: Sequence[Turn], sources: deque[tuple[int, Segment]]) -> Iterator[_Said]:
    """Every word with the turn it falls into; its segment is put among the sources."""
    assigner = Assigner(turns)
    latest = 0.0
    for number, segment in enumerate(segments):
        sources.append((number, segment))
        # A text that its words do not make cannot be cut between them.
        apart = bool(segment.words) and "".join(word.word for word in segment.words).strip() == segment.text
        words: Sequence[Word | None] = segment.words if apart else [None]
        turn: Turn | None = None
        for at, word in enumerate(words):
            start, end = (word.start, word.end) if word else (segment.start, segment.end)
            latest = max(latest, start)
            if not (word and at and _goes_on(word, segment.language)):
                turn = assigner.turn(latest, max(latest, end))
            text = word.word if word else segment.text
            yield _Said(number, word, start, end, text, turn, turn.speaker if turn else None)


def _goes_on(word: Word, language: str | None) -> bool:
    """Whether it is the rest of what was written before it (``well`` ``-known``): that is one person's."""
    return bool(between_sentences(language)) and not word.word[:1].isspace()


def _smoothed(words: Iterable[_Said]) -> Iterator[_Said]:
    """The words with a lone one in the middle of other people's given to them."""
    before: _Said | None = None
    ahead: deque[_Said | None] = deque()
    for said in chain[_Said | None](words, (None, None)):
        ahead.append(said)
        if len(ahead) < 3:
            continue
        one, after, beyond = ahead
        if one is not None:
            # Whoever says a single word next may not keep it.
            sure = after is not None and (
                (beyond is not None and beyond.speaker == after.speaker) or _stands(one, after)
            )
            before = _settled(before, one, after, sure=sure)
            yield before
        ahead.popleft()


def _settled(before: _Said | None, said: _Said, after: _Said | None, *, sure: bool) -> _Said:
    """A word; if it is an island, one word between those of others, it is theirs now.

    Args:
        before: The word before it, settled.
        said: The word.
        after: The word after it.
        sure: Whether that word stays whose it is.
    """
    alone = (before is None or before.speaker != said.speaker) and (after is None or after.speaker != said.speaker)
    if said.word is None or not alone or _stands(before, said):
        return said
    near = [
        (gap, other.speaker)
        for other, gap in (
            (before, said.start - before.end if before else 0.0),
            (after if sure else None, after.start - said.end if after else 0.0),
        )
        if other is not None and other.speaker is not None and gap <= _APART_SECONDS
    ]
    if near:
        said.speaker = min(near, key=lambda found: found[0])[1]
    return said


def _snapped(words: Iterable[_Said]) -> Iterator[_Said]:
    """The words, with changes of speaker that come a word or two too early or too late moved to where a sentence ends.

    A turn's edge is a guess of some tenths of a second. Where nobody pauses, people change between sentences.
    """
    held: deque[_Said] = deque()
    for said in words:
        held.append(said)
        if len(held) > 2 * SNAP_WORDS + 1:
            for at in range(1, SNAP_WORDS + 2):
                _snap(held, at)
            yield held.popleft()
    for at in range(1, len(held)):
        _snap(held, at)
    yield from held


def _snap(held: Sequence[_Said], at: int) -> None:
    """Move a change of speaker that comes right before a word, if there is one and a sentence ends near it.

    Both go on speaking: words that are all that somebody says are not taken away.
    """
    left, right = held[at - 1], held[at]
    changes = left.speaker != right.speaker and None not in (left.speaker, right.speaker)
    if not changes or not _runs_on(left, right) or _ends(left):
        return
    for count in range(1, SNAP_WORDS + 1):
        late, after = [*islice(held, at, at + count)], at + count
        goes_on = after < len(held) and held[after].speaker == right.speaker
        if goes_on and _ends(late[-1]) and _one_run([left, *late], right.speaker):
            _give(late, left.speaker)
            return
        first = at - count
        if first > 0 and held[first - 1].speaker == left.speaker and _ends(held[first - 1]):
            early = [*islice(held, first, at)]
            if _one_run([*early, right], left.speaker):
                _give(early, right.speaker)
                return


def _give(words: Iterable[_Said], speaker: str | None) -> None:
    for said in words:
        said.speaker = speaker


def _one_run(run: Sequence[_Said], speaker: str | None) -> bool:
    """Whether words follow each other without a pause, those between the first and the last being one speaker's."""
    inner = run[1:] if run[0].speaker != speaker else run[:-1]
    return all(said.speaker == speaker for said in inner) and all(_runs_on(a, b) for a, b in pairwise(run))


def _runs_on(one: _Said, other: _Said) -> bool:
    return one.word is not None and other.word is not None and other.start - one.end < _PAUSE_SECONDS


def _ends(said: _Said) -> bool:
    return bool(_SENTENCE_END.search(said.text.rstrip()))


def _stands(before: _Said | None, said: _Said) -> bool:
    """Whether a lone word is an answer of its own: a whole sentence, in a turn that is long enough for it."""
    if said.turn is None or said.turn.end - said.turn.start < BACKED_SECONDS:
        return False
    begins = before is None or bool(_SENTENCE_END.search(before.text.rstrip()))
    return begins and bool(_SENTENCE_END.search(said.text.rstrip()))
