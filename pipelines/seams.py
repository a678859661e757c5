"""Two hearings of the same stretch of speech made into one: pure, by word times.

Neighbouring chunks overlap, so the words there were heard twice. What both heard alike anchors one hearing to the
other; between two anchors, the hearing that is more to be believed stands (``pipelines.hearing``). What only one heard
is kept unless it was more likely made up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.hearing import EDGE, Heard, weigh

_Hearings = tuple[list[Heard], list[Heard]]
"""What the left and the right side heard of one stretch."""
_SLACK = 0.5
"""Seconds by which the two hearings may place the same word differently at the ends of the overlap."""
_APART, _APART_GUESSED = 1.0, 6.0
"""Seconds between two hearings of one word: at most the first, or the second if a time is a guess."""
REACH = max(_SLACK, _APART_GUESSED)
"""Seconds beyond the overlap within which words may still be moved or left out."""
_DOUBTED = 0.5
"""The credit at which a word is as likely made up as said."""
_CLEARLY = 0.05
"""Credit by which one hearing must be better on average for that to count: by less they differ for no reason."""
_BRIEFEST = 0.1
"""Seconds that any word counts for, also one that was given no time."""
_NEARBY = 0.3
"""Seconds between words in a row; also between two that stand for each other although they differ."""
_BOUNDARY = 1.5
"""Seconds a seam may move away from where it was planned to fall between two segments of one side."""


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
        return min(EDGE, (self.end - self.start) / 4)


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


def _weave(left: Sequence[Heard], right: Sequence[Heard], overlap: Overlap) -> list[Heard]:
    left, right = weigh(left, overlap.end, overlap.edge), weigh(right, overlap.start, overlap.edge)
    anchors = _align(left, right)
    switch = _switch(left, right, anchors, overlap)
    woven: list[Heard] = []
    twins: dict[int, Heard] = {}
    i = j = 0
    for ours, theirs in anchors:
        woven += _settle(left[i:ours], right[j:theirs], overlap, switch)
        one, other = left[ours], right[theirs]
        believed, twins[len(woven)] = (one, other) if min(one.start, other.start) < switch else (other, one)
        woven.append(believed)
        i, j = ours + 1, theirs + 1
    woven += _settle(left[i:], right[j:], overlap, switch)
    return _fitted(woven, twins)


def _fitted(woven: list[Heard], twins: Mapping[int, Heard]) -> list[Heard]:
    """With an agreed word as the other side placed it, where one side's time for it collides with its neighbours."""
    for number, twin in twins.items():
        around = woven[max(0, number - 1) : number] + woven[number + 1 : number + 2]
        if any(_overlap(woven[number], word) for word in around) and not any(_overlap(twin, word) for word in around):
            woven[number] = twin
    return woven


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
    """0 for two different words, else up to 1 by how close in time they are; at most ½ if they share no time.

    So one word where both have it counts for more than two that are each the next one of "no, no, no".
    """
    # The second round of a decoder's loop must not pass for the words that were said.
    if one.key != other.key or (one.credit > 0) != (other.credit > 0):
        return 0.0
    guessed = one.guessed or other.guessed
    most = _APART_GUESSED if guessed else _APART
    # Ends say less: a word is often drawn out over what comes after it.
    apart = (2 * abs(one.start - other.start) + abs(one.end - other.end)) / 3
    if apart > most:
        return 0.0
    return (1 - 0.6 * apart / most) * (1.0 if guessed or _overlap(one, other) else 0.5)


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
    shared_left = [word for word in left if word.middle > overlap.start]
    shared_right = [word for word in right if word.middle < overlap.end]
    # Outside the overlap there is nobody to disagree.
    yield from (word for word in left if word.middle <= overlap.start)
    for ours, theirs in _runs(_clashes(shared_left, shared_right), overlap):
        if ours and theirs:
            yield from _decide(ours, theirs, overlap, switch)
        else:
            yield from _unless_made_up(ours or theirs)
    yield from (word for word in right if word.middle >= overlap.end)


def _decide(ours: list[Heard], theirs: list[Heard], overlap: Overlap, switch: float) -> list[Heard]:
    """The better of two hearings of one stretch; of two as good, the one that is farther from its chunk's end."""
    clearly = _CLEARLY * min(sum(map(_seconds, side)) for side in (ours, theirs))
    if _spans((ours, theirs), overlap):
        planned = _cut(ours, theirs, switch)
        best = max((_cut(ours, theirs, word.end) for word in [*ours, *theirs]), key=_worth)
        return best if _worth(best) - _worth(planned) > clearly else planned
    better = _worth(ours) - _worth(theirs)
    if abs(better) <= clearly:
        middle = (min(ours[0].start, theirs[0].start) + max(ours[-1].end, theirs[-1].end)) / 2
        better = switch - middle
    return ours if better > 0 else theirs


def _unless_made_up(alone: Sequence[Heard]) -> Sequence[Heard]:
    """Words only one side heard, but for what nobody can have said; nothing if most of it was probably not said."""
    possible = [word for word in alone if word.credit > 0]
    return possible if sum(word.credit - _DOUBTED for word in possible) > 0 else []


def _worth(words: Sequence[Heard]) -> float:
    """Seconds heard right less seconds made up, as far as credit tells."""
    return sum((word.credit - _DOUBTED) * _seconds(word) for word in words)


def _seconds(word: Heard) -> float:
    return max(word.end - word.start, _BRIEFEST)


def _cut(ours: Sequence[Heard], theirs: Sequence[Heard], at: float) -> list[Heard]:
    """Our words before a moment and theirs after it; a word both have across it stands once."""
    before = [word for word in ours if word.middle < at]
    after = [word for word in theirs if word.middle >= at]
    if before and after and _overlap(before[-1], after[0]):
        after = after[1:]
    return before + after


def _clashes(left: Sequence[Heard], right: Sequence[Heard]) -> list[_Hearings]:
    """The words in groups that share no time with each other, in order; in a group the sides contradict each other."""
    groups = [([word], list[Heard]()) for word in left]
    for word in right:
        touching = [group for group in groups if any(_overlap(word, other) for other in group[0])]
        joined: _Hearings = ([], [])
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
    return groups


def _place(word: Heard) -> tuple[int, int, int]:
    return word.part, word.segment, word.index


def _runs(groups: Sequence[_Hearings], overlap: Overlap) -> list[_Hearings]:
    """The groups with those close to each other put together: words in a row were heard right or wrong together.

    Not so far that it holds words from both ends of the overlap: there each side is right about its own.
    """
    runs: list[_Hearings] = []
    for ours, theirs in groups:
        if runs:
            together = runs[-1][0] + ours, runs[-1][1] + theirs
            apart = min(word.start for word in ours + theirs) - max(word.end for side in runs[-1] for word in side)
            alone = all(bool(one) != bool(other) for one, other in (runs[-1], (ours, theirs)))
            if apart < _NEARBY and (alone or not _spans(together, overlap)):
                runs[-1] = together
                continue
        runs.append((ours, theirs))
    return runs


def _spans(hearings: _Hearings, overlap: Overlap) -> bool:
    """Whether there are words from both ends of the overlap, where one side or the other is not trusted."""
    start = min(word.start for side in hearings for word in side)
    end = max(word.end for side in hearings for word in side)
    return start < overlap.start + overlap.edge and end > overlap.end - overlap.edge


def _overlap(one: Heard, other: Heard) -> bool:
    """Whether two words take up the same time: by a third of the shorter, or the middle of one inside the other."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return shared > max(shorter / 3, 1e-6) or (shorter <= 1e-6 and shared >= -1e-6)
