"""What stands on the screen and when: the words of a transcript, divided into cues at the cheapest places.

The division is found by dynamic programming over the words between two places where a cue must end anyway (a silence,
another speaker): of all ways to cut them, the one with the fewest points. ``phrases`` prices the cuts, ``layout`` the
line breaks, and the figures here everything else.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from pipelines.documents import Segment, Summary
from pipelines.formats.layout import Layout
from pipelines.formats.overlaps import arranged
from pipelines.formats.phrases import cost
from pipelines.formats.style import Style
from pipelines.formats.text import clean
from pipelines.formats.timing import schedule
from pipelines.formats.words import SILENCE, Unit, fit, read

_A_CUE = 22.0
"""What any cue costs: sentences that fit together share one, unless they are better apart."""
_SHORT = 100.0
"""For each second that a cue falls short of the least time."""
_FAST = 2.0
"""For each column that nobody has the time to read."""
_NARROW, _NARROW_COLUMNS = 1.5, 18
"""For each column that a cue has fewer than these: no lone word left over."""
_WAIT, _WAIT_SECONDS = 30.0, 0.6
"""For each second of a pause inside a cue, above these: text stands there long before it is said."""
_SEGMENT_END = 8.0
"""Off the price of a cut where the engine ended a segment."""
_OFF_LABEL = 300.0
"""For a name without what its bearer says."""
_INFINITE = float("inf")
_SENTENCE_INSIDE = 10.0
"""For a sentence that ends inside a cue."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start_ms: int
    """Whole milliseconds from the start of the recording, as files have them."""
    end_ms: int
    """Later than the start, not later than the start of the next cue, unless both are said at the same time."""
    lines: tuple[str, ...]
    """Cleaned text; at least one line, none blank."""
    speaker: str | None
    """The speaker's name, not id."""


def cues(summary: Summary, segments: Iterable[Segment], style: Style, *, label: bool = False) -> list[Cue]:
    """Divide a transcript into cues, in order of their beginnings.

    What people say at the same time, each in a channel of their own, stands in cues at the same time.

    Args:
        summary: Of the transcript: its length and its speakers' names.
        segments: With or without word times; without, they are estimated within each segment.
        style: Widths, reading speed, durations.
        label: Put ``Name:`` before the first word of a speaker, as text that takes part in the layout.
    """
    names = {speaker.id: clean(speaker.name).strip() for speaker in summary.speakers}
    spans: list[tuple[float, float, int]] = []
    speakers: list[str | None] = []
    texts: list[tuple[tuple[str, ...], str | None]] = []
    before: str | None = None
    for block, following in arranged(_blocks(read(summary, segments)), summary.duration, _cutter(style)):
        speaker = block[0].speaker
        name = _name(speaker, names)
        labelled = _labelled(block, name) if label and name and speaker != before else block
        before, block = speaker, list(fit(labelled, style.max_line_width))
        prices = _prices(block)
        layout = Layout(block, prices, style)
        for a, b in _divide(block, layout, prices, style, following):
            spans.append((block[a].start, max(unit.end for unit in block[a : b + 1]), layout.width(a, b)))
            speakers.append(speaker)
            texts.append((layout.lines(a, b), name))
    times = schedule(spans, style, summary.duration, speakers)
    found = [Cue(start, end, *text) for (start, end), text in zip(times, texts, strict=True)]
    return sorted(found, key=lambda cue: cue.start_ms)


def _cutter(style: Style) -> Callable[[list[Unit], float], list[float]]:
    """What tells when each cue of a block would begin."""

    def starts(block: list[Unit], following: float) -> list[float]:
        block = list(fit(block, style.max_line_width))
        prices = _prices(block)
        return [block[a].start for a, _ in _divide(block, Layout(block, prices, style), prices, style, following)]

    return starts


def _labelled(units: list[Unit], name: str) -> Iterator[Unit]:
    """What somebody says, with the name before it as words of no length."""
    first = units[0]
    for word in f"{name}:".split(" "):
        yield Unit(word, first.start, first.start, first.speaker, True, None, False, label=True)
    yield replace(first, space=True)
    yield from units[1:]


def _name(speaker: str | None, names: dict[str, str]) -> str | None:
    return None if speaker is None else names.get(speaker) or clean(speaker).strip() or None


def _blocks(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Words that no cue reaches across: one speaker, no long silence."""
    block: list[Unit] = []
    for unit in units:
        if block and (unit.speaker != block[-1].speaker or unit.start - block[-1].end > SILENCE):
            yield block
            block = []
        block.append(unit)
    if block:
        yield block


def _prices(block: list[Unit]) -> list[float]:
    """Points for a break after each word; 0 after the last."""
    prices = []
    for left, right in pairwise(block):
        pause = right.start - left.end
        price = cost(left.text, right.text, spaced=right.space, pause=pause, language=left.language)
        if right.opens:
            price = max(0.0, price - _SEGMENT_END)
        if left.label:
            price = _OFF_LABEL
        prices.append(price)
    return [*prices, 0.0]


def _divide(
    block: list[Unit], layout: Layout, prices: list[float], style: Style, following: float
) -> list[tuple[int, int]]:
    """The cheapest division of a block into cues: their first and last words.

    ``following`` is when the next block begins or the recording ends.
    """
    starts = [unit.start for unit in block]
    # When the next cue may begin, if this word is the last of one.
    rooms = [start - style.min_gap_seconds for start in [*starts[1:], following]]
    inside = _inside(block, prices)
    ends, lead, narrow = layout.ends, layout.lead, min(_NARROW_COLUMNS, style.max_line_width // 2)
    shortest, longest, speed, full = style.min_cue_seconds, style.max_cue_seconds, style.max_cps, style.max_line_width
    total, origin = [0.0], []
    for b in range(len(block)):
        least, best = _INFINITE, b
        end, room, bottom, within = block[b].end, rooms[b], ends[b + 1], inside[b]
        for a in range(b, layout.first[b] - 1, -1):
            start = starts[a]
            if end - start > longest and a < b:
                break
            points = total[a] + within - inside[a]
            if points >= least:
                continue
            width = bottom - ends[a] - lead[a]
            time = min(room - start, longest)
            if time < shortest:
                points += _SHORT * (shortest - time)
            if width > time * speed:
                points += _FAST * (width - time * speed)
            if width < narrow:
                points += _NARROW * (narrow - width)
            if points < least and width > full:
                points += layout.price(a, b)
            if points < least:
                least, best = points, a
        total.append(least + prices[b] + _A_CUE)
        origin.append(best)
    return _walk_back(origin)


def _inside(block: list[Unit], prices: list[float]) -> list[float]:
    """Running sum of what the pauses and sentence ends between words cost a cue that spans them."""
    sums = [0.0]
    for left, right, price in zip(block, block[1:], prices, strict=False):
        wait = max(0.0, right.start - left.end - _WAIT_SECONDS) * _WAIT
        sums.append(sums[-1] + wait + (_SENTENCE_INSIDE if price == 0 else 0.0))
    return sums


def _walk_back(origin: list[int]) -> list[tuple[int, int]]:
    ranges, b = [], len(origin) - 1
    while b >= 0:
        ranges.append((origin[b], b))
        b = origin[b] - 1
    return ranges[::-1]
