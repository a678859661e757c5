"""When each cue comes and goes, once it is known which words it has."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.formats.style import Style

BRIEF_SECONDS = 0.5
"""Two people who speak at the same time for no longer are taken to follow each other."""
_FLASH_MS = 200
"""Cues whose words have the same time, or nearly, are spread at least this far apart where there is room."""
_EARLY_MS = 400
"""A cue that would be too short may come this much before its first word."""
_LATE_MS = 250
"""A cue may come this much after its first word, if the one before it would be too short otherwise."""
_NEVER = 1 << 62

_Span = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class _Room:
    """What cues of others leave to one."""

    until: int = _NEVER
    """When it has to end, milliseconds."""
    early: bool = True
    """Whether it may come before its first word."""


def schedule(
    spans: Sequence[_Span], style: Style, duration: float, speakers: Sequence[str | None] = ()
) -> list[tuple[int, int]]:
    """Start and end of each cue in whole milliseconds.

    Starts stay at the words, ends stay on until the text can be read, as far as the next cue and the rules leave room.
    The result is in order, without overlap, within the recording, and no cue is empty; for that last, a recording of
    fewer milliseconds than cues counts as longer than it is. Only cues of different speakers who speak at the same time
    overlap.

    Args:
        spans: Of each cue the first word's start, the last word's end, and the columns to read.
        style: Durations, gaps and reading speed.
        duration: Of the recording, seconds.
        speakers: Of each cue.
    """
    if not _at_once(spans, speakers):
        return _in_turn(spans, style, duration, [_Room()] * len(spans))
    rooms = _rooms(spans, speakers, style)
    own: defaultdict[str | None, list[int]] = defaultdict(list)
    for number, speaker in enumerate(speakers):
        own[speaker].append(number)
    times = [(0, 0)] * len(spans)
    for numbers in own.values():
        found = _in_turn([spans[n] for n in numbers], style, duration, [rooms[n] for n in numbers])
        for number, time in zip(numbers, found, strict=True):
            times[number] = time
    return times


def _at_once(spans: Sequence[_Span], speakers: Sequence[str | None]) -> bool:
    """Whether anybody speaks while somebody else does."""
    said: dict[str | None, float] = {}
    for (start, end, _), speaker in zip(spans, speakers, strict=False):
        if any(until > start + BRIEF_SECONDS for other, until in said.items() if other != speaker):
            return True
        said[speaker] = max(end, said.get(speaker, 0.0))
    return False


def _rooms(spans: Sequence[_Span], speakers: Sequence[str | None], style: Style) -> list[_Room]:
    """What the others leave: a cue ends before somebody begins who did not speak at the same time."""
    order = sorted(range(len(spans)), key=lambda n: spans[n][0])
    starts = [spans[n][0] for n in order]
    # Of each place the next at which another speaker begins.
    others = [len(order)] * (len(order) + 1)
    for at in range(len(order) - 2, -1, -1):
        same = speakers[order[at]] == speakers[order[at + 1]]
        others[at] = others[at + 1] if same else at + 1
    rooms: dict[int, _Room] = {}
    read: dict[str | None, float] = {}
    for number in order:
        start, said, width = spans[number]
        speaker = speakers[number]
        at = bisect_left(starts, max(said - BRIEF_SECONDS, start + style.min_cue_seconds + style.min_gap_seconds))
        if at < len(order) and speakers[order[at]] == speaker:
            at = others[at]
        until = _ms(starts[at] - style.min_gap_seconds) if at < len(order) else _NEVER
        busy = max((end for other, end in read.items() if other != speaker), default=0.0)
        rooms[number] = _Room(until, early=busy <= start - _EARLY_MS / 1000)
        read[speaker] = max(said, start + _need(width, style) / 1000)
    return [rooms[number] for number in range(len(spans))]


def _in_turn(spans: Sequence[_Span], style: Style, duration: float, rooms: Sequence[_Room]) -> list[tuple[int, int]]:
    """The times of cues that follow each other, within what others leave."""
    last = max(int(duration * 1000 + 1e-6), len(spans))
    gap = _ms(style.min_gap_seconds)
    starts = _spread([_ms(start) for start, _, _ in spans], last, gap)
    needs = [_need(width, style) for _, _, width in spans]
    times: list[tuple[int, int]] = []
    shortest, longest = _ms(style.min_cue_seconds), _ms(style.max_cue_seconds)
    done = 0  # from then on the cue before is said and can have been read
    for n, (_, said, _) in enumerate(spans):
        start = starts[n]
        room = _until(starts, n, last, gap)
        until = min(room, max(rooms[n].until, start + _FLASH_MS))
        end = min(max(_ms(said), start + needs[n]), until, start + longest)
        if n + 1 < len(spans) and until - end < _ms(style.close_gap_seconds):
            end = min(until, start + longest)
        if end - start < shortest:
            # The cue before may have stayed on only to close the gap: that time is better spent here.
            free = min(times[-1][1], done) + gap if times else 0
            start = max(min(start, max(free, end - shortest, start - _EARLY_MS * rooms[n].early)), 0)
            if times and times[-1][1] > start - gap:
                times[-1] = (times[-1][0], min(times[-1][1], max(done, start - gap)))
        if end - start < shortest and end == room and n + 1 < len(spans):
            spare = _until(starts, n + 1, last, gap) - starts[n + 1] - needs[n + 1]
            shift = max(0, min(shortest - (end - start), _LATE_MS, spare))
            starts[n + 1] += shift
            end += shift
        times.append((start, end))
        done = max(_ms(said), start + needs[n])
    return times


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _need(width: int, style: Style) -> int:
    return max(_FLASH_MS, _ms(min(max(style.min_cue_seconds, width / style.max_cps), style.max_cue_seconds)))


def _spread(starts: list[int], last: int, gap: int) -> list[int]:
    """Starts in order, far enough apart that each cue has some time."""
    step = max(1, min(_FLASH_MS + min(gap, _FLASH_MS // 2), last // max(1, len(starts))))
    spread = starts[:]
    for n in range(1, len(spread)):
        spread[n] = max(spread[n], spread[n - 1] + step)
    limit = last
    for n in range(len(spread) - 1, -1, -1):
        limit -= step
        spread[n] = limit = max(0, min(spread[n], limit))
    return spread


def _until(starts: list[int], n: int, last: int, gap: int) -> int:
    """The latest that cue ``n`` may end; the gap gives way where cues are very close."""
    if n + 1 == len(starts):
        return last
    room = starts[n + 1] - starts[n]
    return starts[n + 1] - min(gap, room // 3)
