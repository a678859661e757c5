"""A transcript as one stream of words between which a line may break, with times that can be relied on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pipelines.documents import Segment, Summary, Word
from pipelines.formats.text import clean, columns, cut, may_break, pieces, spaced, visible

SILENCE = 2.0
"""Seconds without a word through which nothing may stay together."""

_WORD_SECONDS = 1.5
_SECONDS_PER_COLUMN = 0.15
"""A word lasts at most these two together: what is longer was aligned across a silence."""
_USUAL_SECONDS, _USUAL_SECONDS_PER_COLUMN = 0.3, 0.08
"""What such a word is taken to have lasted, where its end is all that is known."""
_SLOW_SECONDS_PER_COLUMN = 0.25
"""Slowest speech that is believed of a segment without word times."""


@dataclass(slots=True)
class Unit:
    """A word, or as much of a text without spaces as may stand alone."""

    text: str
    start: float
    end: float
    speaker: str | None
    """Id, not name."""
    space: bool
    """A space stands before it."""
    language: str | None
    opens: bool
    """First of its segment."""
    label: bool = False
    """Names the speaker of what follows; not part of the text."""

    @property
    def width(self) -> int:
        """Columns without the space."""
        return columns(self.text)


def read(summary: Summary, segments: Iterable[Segment]) -> Iterator[Unit]:
    """All the text of a transcript, in order, each character once; times stay within it.

    Those of one speaker never decrease; people who have a channel each may speak at the same time.
    """
    last: dict[str | None, float] = {}
    for unit in _joined(summary, segments):
        unit.text = unit.text.strip()
        unit.start = last[unit.speaker] = min(max(unit.start, last.get(unit.speaker, 0.0)), summary.duration)
        unit.end = min(max(unit.end, unit.start), summary.duration)
        yield unit


def fit(units: Iterable[Unit], width: int) -> Iterator[Unit]:
    """The same stream with each word that is wider than a line cut into parts that are not."""
    for unit in units:
        if len(unit.text) <= width // 2 or unit.width <= width:
            yield unit
            continue
        parts = cut(unit.text, width)
        for n, (part, start, end) in enumerate(_share(parts, unit.start, unit.end)):
            yield replace(unit, text=part, start=start, end=end, space=unit.space and not n, opens=unit.opens and not n)


def _joined(summary: Summary, segments: Iterable[Segment]) -> Iterator[Unit]:
    """The words of all segments, those put together that nothing parts."""
    spoken = "en" if summary.task == "translate" else summary.language
    held: Unit | None = None
    for segment in segments:
        opens = True
        for unit in _tokens(segment, spoken):
            if not opens and held is not None and _glued(held, unit):
                held = replace(held, text=held.text + unit.text, end=unit.end)
                continue
            if opens:
                unit.opens = True
                unit.space = held is not None and spaced(held.text, unit.text)
                opens = False
            if held is not None:
                yield held
            held = unit
    if held is not None:
        yield held


def _tokens(segment: Segment, language: str | None) -> Iterator[Unit]:
    """The words of a segment, split where they have spaces or may break anyway, times shared out by width."""
    language = segment.language or language
    space = False
    for text, start, end, speaker in _timed(segment):
        parts: list[str] = []
        spaces: list[bool] = []
        for n, token in enumerate(text.split(" ")):
            space = space or n > 0
            if not visible(token):
                continue
            for part in pieces(token):
                parts.append(part)
                spaces.append(space)
                space = False
        for (part, at, until), before in zip(_share(parts, start, end), spaces, strict=True):
            yield Unit(part, at, until, speaker, before, language, False)


def _share(parts: list[str], start: float, end: float) -> Iterator[tuple[str, float, float]]:
    """Hand out a stretch of time by width."""
    if len(parts) == 1:
        yield parts[0], start, end
        return
    widths = [columns(part) for part in parts]
    each, at = (end - start) / (sum(widths) or 1), 0
    for part, width in zip(parts, widths, strict=True):
        yield part, start + at * each, start + (at + width) * each
        at += width


def _timed(segment: Segment) -> Iterator[tuple[str, float, float, str | None]]:
    """Cleaned texts with times and speaker: the words, or the whole text where there are none that agree with it."""
    joined = "".join(word.word for word in segment.words)
    if segment.words and (joined.strip() == segment.text or joined.split() == segment.text.split()):
        for n, word in enumerate(segment.words):
            text = clean(word.word)
            start, end = _believed(word, columns(text), first=n == 0 and len(segment.words) > 1)
            yield text, start, end, word.speaker or segment.speaker
        return
    text = clean(segment.text)
    longest = _WORD_SECONDS + _SLOW_SECONDS_PER_COLUMN * columns(text)
    yield text, segment.start, min(max(segment.start, segment.end), segment.start + longest), segment.speaker


def _believed(word: Word, width: int, *, first: bool) -> tuple[float, float]:
    """A word's times without the silence it was stretched over: before the first of a segment, after any other."""
    longest = _WORD_SECONDS + _SECONDS_PER_COLUMN * width
    if word.end - word.start <= longest:
        return word.start, max(word.start, word.end)
    if first:
        return word.end - min(longest, _USUAL_SECONDS + _USUAL_SECONDS_PER_COLUMN * width), word.end
    return word.start, word.start + longest


def _glued(left: Unit, right: Unit) -> bool:
    """Whether a word merely goes on: no space, no place to break, nothing that must part them."""
    return not (
        right.space
        or left.speaker != right.speaker
        or right.start - left.end > SILENCE
        or may_break(left.text, right.text)
    )
