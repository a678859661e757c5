"""Who is read first where people speak at the same time, each in a channel of their own."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from pipelines.formats.timing import BRIEF_SECONDS
from pipelines.formats.words import Unit

_Block = list[Unit]


def arranged(
    blocks: Iterable[_Block], end: float, starts: Callable[[_Block, float], list[float]]
) -> Iterator[tuple[_Block, float]]:
    """Blocks of words in the order in which they are read, and when the next begins, or all ``end``.

    Blocks of different speakers that overlap are cut between two cues wherever somebody else's block begins, so that
    cues stand in the order of their beginnings. All others stay as they are.

    Args:
        blocks: Of one speaker each, in order of their beginnings.
        end: Of the recording, seconds.
        starts: When each cue of a block would begin, given when the next block begins.
    """
    at_once: list[_Block] = []
    until = 0.0
    for block in blocks:
        if at_once and block[0].start >= until - BRIEF_SECONDS:
            yield from _in_turn(at_once, block[0].start, starts)
            at_once, until = [], 0.0
        at_once.append(block)
        until = max(until, _end(block))
    if at_once:
        yield from _in_turn(at_once, end, starts)


def _in_turn(
    blocks: list[_Block], following: float, starts: Callable[[_Block, float], list[float]]
) -> Iterator[tuple[_Block, float]]:
    if len(blocks) == 1:
        yield blocks[0], following
        return
    begun = sorted(block[0].start for block in blocks)
    pieces = [piece for block in blocks for piece in _cut(block, begun, starts(block, following))]
    pieces.sort(key=lambda piece: piece[0].start)
    begun = [piece[0].start for piece in pieces]
    for number, piece in enumerate(pieces):
        after = bisect_left(begun, _end(piece) - BRIEF_SECONDS, number + 1)
        yield piece, begun[after] if after < len(begun) else following


def _cut(block: _Block, begun: list[float], cues: list[float]) -> Iterator[_Block]:
    """A block in pieces, each of which begins with a cue before which somebody else began.

    Args:
        block: The block.
        begun: When each block begins, in order; of one speaker only one at a time.
        cues: When each cue of the block would begin.
    """
    cuts = deque(now for before, now in pairwise(cues) if bisect_right(begun, before) < bisect_right(begun, now))
    piece: _Block = []
    for unit in block:
        if piece and cuts and unit.start >= cuts[0]:
            yield piece
            piece = []
            while cuts and cuts[0] <= unit.start:
                cuts.popleft()
        piece.append(unit)
    yield piece


def _end(block: _Block) -> float:
    return max(unit.end for unit in block)
