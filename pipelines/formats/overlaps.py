"""Who is read first where people speak at the same time, each in a channel of their own."""

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
    pieces = [piece for block in blocks for piece in _cut(block, blocks, following, starts)]
    pieces.sort(key=lambda piece: piece[0].start)
    for number, piece in enumerate(pieces):
        after = (other[0].start for other in pieces[number + 1 :])
        yield piece, next((start for start in after if start >= _end(piece) - BRIEF_SECONDS), following)


def _cut(
    block: _Block, blocks: list[_Block], following: float, starts: Callable[[_Block, float], list[float]]
) -> Iterator[_Block]:
    """A block in pieces, each of which begins with a cue before which somebody else began."""
    others = [other[0].start for other in blocks if other is not block and other[0].start > block[0].start]
    if not others:
        yield block
        return
    cuts = [now for before, now in pairwise(starts(block, following)) if any(before < start <= now for start in others)]
    piece: _Block = []
    for unit in block:
        if piece and cuts and unit.start >= cuts[0]:
            yield piece
            piece = []
            cuts = [cut for cut in cuts if cut > unit.start]
        piece.append(unit)
    yield piece


def _end(block: _Block) -> float:
    return max(unit.end for unit in block)
