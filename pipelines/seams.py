"""Two hearings of the same stretch of speech made into one: pure, by word times.

Neighbouring chunks overlap, so the words there were heard twice. What both heard alike anchors one hearing to the
other; what only one heard is kept unless it was heard at the very edge of a chunk, where models garble and invent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.documents import Word

_EDGE = 1.0
"""Seconds at a chunk's end where a hearing is not trusted on its own."""
_SLACK = 0.5
"""Seconds by which the two hearings may place the same word differently at the ends of the overlap."""
_APART, _APART_GUESSED = 1.0, 6.0
"""Seconds between two hearings of one word: at most the first, or the second if a time is a guess."""
_NEARBY = 0.3
"""Seconds between a word of one side and a word of the other that stand for each other although they differ."""
_BOUNDARY = 1.5
"""Seconds a seam may move away from where it was planned to fall between two segments of one side."""


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


@dataclass(frozen=True, slots=True)
class Overlap:
    """The stretch that two chunks share."""

    start: float
    """Where the right chunk begins."""
    end: float
    """Where the left chunk ends."""
    seam: float
    """Where the cut was planned."""

    @property
    def edge(self) -> float:
        """Seconds at each end where the chunk that ends there is not trusted on its own."""
        return min(_EDGE, (self.end - self.start) / 4)


def normalise(text: str) -> str:
    """The text by which two hearings of a word are compared."""
    return "".join(filter(str.isalnum, text.casefold())) or text.strip()


def merge(left: Sequence[Heard], right: Sequence[Heard], overlap: Overlap) -> list[Heard]:
    """The words of both sides in order, each that both heard once.

    Args:
        left: All words up to here, in order; what ends before the overlap is kept as it is.
        right: All words of the next chunk, in order; what starts after the overlap is kept as it is.
        overlap: What the two chunks share; an empty one (end before start) just puts the sides together.
    """
    if overlap.end <= overlap.start or not left or not right:
        return [*left, *right]
    guessed = left[-1].guessed or right[0].guessed
    slack = _APART_GUESSED if guessed else _SLACK
    first = len(left)
    while first and left[first - 1].end > overlap.start - slack:
        first -= 1
    last = 0
    while last < len(right) and right[last].start < overlap.end + slack:
        last += 1
    weave = _weave_guessed if guessed else _weave
    return [*left[:first], *weave(left[first:], right[:last], overlap), *right[last:]]


def _weave(left: Sequence[Heard], right: Sequence[Heard], overlap: Overlap) -> Iterator[Heard]:
    anchors = _align(left, right)
    switch = _switch(left, right, anchors, overlap)
    i = j = 0
    for ours, theirs in anchors:
        yield from _settle(left[i:ours], right[j:theirs], overlap, switch)
        yield left[ours] if min(left[ours].start, right[theirs].start) < switch else right[theirs]
        i, j = ours + 1, theirs + 1
    yield from _settle(left[i:], right[j:], overlap, switch)


def _weave_guessed(left: Sequence[Heard], right: Sequence[Heard], overlap: Overlap) -> Iterator[Heard]:
    """As ``_weave``, where times are too vague to say which words stand for each other: one side, then the other."""
    anchors = _align(left, right)
    if not anchors:
        yield from (word for word in left if word.middle < overlap.seam)
        yield from (word for word in right if word.middle >= overlap.seam)
        return
    switch = min(range(len(anchors)), key=lambda k: abs(left[anchors[k][0]].start - overlap.seam))
    yield from left[: anchors[0][0]]
    for number, (ours, theirs) in enumerate(anchors):
        yield left[ours] if number < switch else right[theirs]
        if number + 1 < len(anchors):
            between = left[ours + 1 : anchors[number + 1][0]], right[theirs + 1 : anchors[number + 1][1]]
            believed, other = between if number < switch else between[::-1]
            yield from believed or other
    yield from right[anchors[-1][1] + 1 :]


def _align(left: Sequence[Heard], right: Sequence[Heard]) -> list[tuple[int, int]]:
    """Pairs of indexes of the words both sides heard alike, rising on both; as many as possible, then the closest."""
    rows, columns = len(left), len(right)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + _likeness(left[i], right[j])
            best[i][j] = max(best[i + 1][j], best[i][j + 1], paired)
    pairs = []
    i = j = 0
    while i < rows and j < columns:
        likeness = _likeness(left[i], right[j])
        if likeness and best[i][j] == best[i + 1][j + 1] + likeness:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _likeness(one: Heard, other: Heard) -> float:
    """0 for two different words, else from 0.4 to 1 by how close in time they are."""
    if one.key != other.key:
        return 0.0
    most = _APART_GUESSED if one.guessed or other.guessed else _APART
    apart = (abs(one.start - other.start) + abs(one.end - other.end)) / 2
    return 1 - 0.6 * apart / most if apart <= most else 0.0


def _switch(
    left: Sequence[Heard], right: Sequence[Heard], anchors: Sequence[tuple[int, int]], overlap: Overlap
) -> float:
    """From when on the right side is believed: an agreed word near the planned seam, best where a segment begins.

    Without one, the planned seam.
    """
    best, switch = float("inf"), overlap.seam
    for ours, theirs in anchors:
        at = min(left[ours].start, right[theirs].start)
        if overlap.start + overlap.edge <= at <= overlap.end - overlap.edge:
            begins = (left[ours].index == 0) + (right[theirs].index == 0)
            score = abs(at - overlap.seam) - _BOUNDARY * begins
            if score < best:
                best, switch = score, at
    return switch


def _settle(left: Sequence[Heard], right: Sequence[Heard], overlap: Overlap, switch: float) -> Iterator[Heard]:
    """What was said between two anchors, where the sides do not agree."""
    if not left and not right:
        return
    trusted_left = {id(word) for word in left if word.middle <= overlap.end - overlap.edge}
    trusted_right = {id(word) for word in right if word.middle >= overlap.start + overlap.edge}
    for ours, theirs in _clashes(left, right):
        safe_ours = [word for word in ours if id(word) in trusted_left]
        safe_theirs = [word for word in theirs if id(word) in trusted_right]
        if not ours or not theirs:
            yield from safe_ours or safe_theirs
            continue
        all_ours, all_theirs = len(safe_ours) == len(ours), len(safe_theirs) == len(theirs)
        if not all_ours and not all_theirs:
            yield from _cut(ours, theirs, switch)
            continue
        middle = (min(ours[0].start, theirs[0].start) + max(ours[-1].end, theirs[-1].end)) / 2
        believe_ours = all_ours and (not all_theirs or middle < switch)
        believed, other = (ours, safe_theirs) if believe_ours else (theirs, safe_ours)
        # One long word against many: the many were heard, the one was made up to fill the time.
        yield from other if len(other) > 2 * len(believed) else believed


def _cut(ours: Sequence[Heard], theirs: Sequence[Heard], at: float) -> Iterator[Heard]:
    """Our words before a moment and theirs after it; a word both have across it stands once."""
    before = [word for word in ours if word.middle < at]
    after = [word for word in theirs if word.middle >= at]
    if before and after and _overlap(before[-1], after[0]):
        after = after[1:]
    yield from before
    yield from after


def _clashes(left: Sequence[Heard], right: Sequence[Heard]) -> list[tuple[list[Heard], list[Heard]]]:
    """The words in groups that share no time with each other, in order; in a group the sides contradict each other."""
    groups = [([word], list[Heard]()) for word in left]
    for word in right:
        touching = [group for group in groups if any(_overlap(word, other) for other in group[0])]
        joined: tuple[list[Heard], list[Heard]] = ([], [])
        for group in touching:
            joined[0].extend(group[0])
            joined[1].extend(group[1])
            groups.remove(group)
        joined[1].append(word)
        groups.append(joined)
    for ours, theirs in groups:
        ours.sort(key=_place)
        theirs.sort(key=_place)
    groups.sort(key=lambda group: min(word.start for side in group for word in side))
    return _substitutes(groups)


def _place(word: Heard) -> tuple[int, int, int]:
    return word.part, word.segment, word.index


def _substitutes(groups: list[tuple[list[Heard], list[Heard]]]) -> list[tuple[list[Heard], list[Heard]]]:
    """Put a group that only one side has together with one close by that only the other has."""
    found: list[tuple[list[Heard], list[Heard]]] = []
    for ours, theirs in groups:
        if found and bool(ours) != bool(theirs):
            before_ours, before_theirs = found[-1]
            alone = bool(before_ours) != bool(before_theirs) and bool(before_ours) != bool(ours)
            one, other = (before_ours or before_theirs)[-1], (ours or theirs)[0]
            if alone and other.start - one.end < _NEARBY:
                found[-1] = (before_ours or ours, before_theirs or theirs)
                continue
        found.append((ours, theirs))
    return found


def _overlap(one: Heard, other: Heard) -> bool:
    """Whether two words take up the same time: by a third of the shorter, or the middle of one inside the other."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return shared > max(shorter / 3, 1e-6) or (shorter <= 1e-6 and shared >= -1e-6)
