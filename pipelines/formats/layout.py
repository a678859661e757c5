"""Where the lines of a cue break: as few lines as it takes, cut where the text allows it best, of even length."""

from pipelines.formats.style import Style
from pipelines.formats.words import Unit

_BREAK = 0.6
"""Weight of a line break's price; the eye forgives it more easily than a cut between cues."""
_UNEVEN = 50.0
"""For the squares of the lines' deviations from their mean, in widths of a line."""
_TOP_HEAVY = 1.5
"""For a first line that is the longer one: the picture is covered less from below."""

_Lines = tuple[float, tuple[int, ...]]


class Layout:
    """Widths and line breaks of any range of words (both ends inclusive) within a stretch of one speaker."""

    def __init__(self, units: list[Unit], prices: list[float], style: Style) -> None:
        self._units = units
        self._prices = prices
        self._full = style.max_line_width
        self.lead = [int(unit.space) for unit in units]
        """Columns of the space before each word."""
        self.ends = [0]
        """Columns before each word, as if all stood on one line; one more than there are words."""
        for unit, lead in zip(units, self.lead, strict=True):
            self.ends.append(self.ends[-1] + lead + unit.width)
        self._line_reach = self._reach()
        self.first = self._firsts(style.max_lines)
        """For each word the earliest that one cue can hold with it."""

    def width(self, a: int, b: int) -> int:
        """Columns of the words, all on one line."""
        return self.ends[b + 1] - self.ends[a] - self.lead[a]

    def price(self, a: int, b: int) -> float:
        """Points for the best line breaks."""
        return self._best(a, b)[0]

    def lines(self, a: int, b: int) -> tuple[str, ...]:
        """The text, divided into lines."""
        lines = []
        for end in self._best(a, b)[1]:
            words = self._units[a : end + 1]
            lines.append(words[0].text + "".join(" " * unit.space + unit.text for unit in words[1:]))
            a = end + 1
        return tuple(lines)

    def _reach(self) -> list[int]:
        """For each word the last that fits on a line that begins with it."""
        reach, b = [], 0
        for a in range(len(self._units)):
            b = max(a, b)
            while b + 1 < len(self._units) and self.width(a, b + 1) <= self._full:
                b += 1
            reach.append(b)
        return reach

    def _firsts(self, lines: int) -> list[int]:
        last, firsts = len(self._units) - 1, [0] * len(self._units)
        at = 0
        for a in range(last + 1):
            b = self._line_reach[a]
            for _ in range(lines - 1):
                b = self._line_reach[min(b + 1, last)]
            for word in range(at, b + 1):
                firsts[word] = a
            at = max(at, b + 1)
        return firsts

    def _best(self, a: int, b: int) -> _Lines:
        count, end = 1, self._line_reach[a]
        while end < b:
            count, end = count + 1, self._line_reach[end + 1]
        if count == 1:
            return 0.0, (b,)
        if count == 2:
            return self._two(a, b, self.width(a, b) / 2)
        return self._split(a, b, count, self.width(a, b) / count)

    def _two(self, a: int, b: int, mean: float) -> _Lines:
        """The same as ``_split``, unrolled for what nearly every cue is."""
        least, where = float("inf"), b
        ends, lead, full, prices = self.ends, self.lead, self._full, self._prices
        scale = _UNEVEN / (full * full)
        top, bottom = ends[a] + lead[a], ends[b + 1]
        for k in range(min(self._line_reach[a], b - 1), a - 1, -1):
            below = bottom - ends[k + 1] - lead[k + 1]
            if below > full:
                break
            above = ends[k + 1] - top
            points = _BREAK * prices[k] + scale * ((above - mean) ** 2 + (below - mean) ** 2)
            if above > below:
                points += _TOP_HEAVY
            if points < least:
                least, where = points, k
        return least, (where, b)

    def _split(self, a: int, b: int, count: int, mean: float) -> _Lines:
        if count == 2:
            return self._two(a, b, mean)
        best: _Lines = (float("inf"), (b,))
        for k in range(min(self._line_reach[a], b - count + 1), a - 1, -1):
            points, rest = self._split(k + 1, b, count - 1, mean)
            if points == float("inf"):
                break  # what is left is too much already, and grows
            points += _BREAK * self._prices[k] + _UNEVEN * ((self.width(a, k) - mean) / self._full) ** 2
            if points < best[0]:
                best = (points, (k, *rest))
        return best
