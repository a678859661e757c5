"""How long work waits for a GPU, by load and number of GPUs, as a picture: ``docs/capacity.svg``.

Usage: ``python -m benchmarks.capacity_picture [--factor 0.022] [--seed 1] [--seeds 5] > docs/capacity.svg``. Lines are
of all simulations together, the areas around them from the least to the greatest of each; a greater load has all
arrivals of a smaller one, and more. The same seeds give the same picture.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import profile as profiles
from benchmarks.capacity_options import COUNT, factor, whole
from benchmarks.demand import Demand
from benchmarks.flow_model import Installation
from benchmarks.sizing import Case

GPUS = (1, 2, 4, 8, 16, 32)
TARGET = 60.0
Point = tuple[float, float, float, float]
"""Hours a day; seconds: of all simulations, the least and the greatest of each."""
_LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""How busy the GPUs are at the busiest moment of the day."""
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 400, 64, 34, 24, 52
_HOURS, _SECONDS = (10.0, 20_000.0), (1.0, 3600.0)
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def main() -> None:
    """Simulate, and print the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=factor, default=0.022)
    parser.add_argument("--seed", type=whole(0), default=1)
    parser.add_argument("--seeds", type=COUNT, default=5)
    asked = parser.parse_args()
    lines = {
        number: [point(number, load, factor=asked.factor, seed=asked.seed, seeds=asked.seeds) for load in _LOADS]
        for number in GPUS
    }
    print("\n".join(draw(lines, f"{asked.factor:g}")))


def point(number: int, load: float, *, factor: float, seed: int, seeds: int) -> Point:
    """Within how many seconds 99 of 100 pieces of work begin on so many GPUs."""
    profile = profiles.load("demo").with_factor(factor)
    hours = load * number * 24 / factor / Demand(1).peak
    workers = {"cpu": 4 + 2 * math.ceil(number / 4), "gpu": number, "net": 32, "diarise": 0}
    installation = Installation(workers, profile.times, handover=profile.handover)
    found = Case(Demand(hours), installation, TARGET, seed, seeds).judged(whole=True)
    every = [one.waits["gpu"].below(0.99)[0] for one in found.each]
    return hours, found.seen.waits["gpu"].below(0.99)[0], min(every), max(every)


def draw(lines: Mapping[int, Sequence[Point]], factor: str) -> Iterator[str]:
    """The picture, line by line."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img">'
    )
    title = "How long work waits for a GPU, by hours of audio a day and number of GPUs"
    yield f"<title>{title}; {factor} s of transcription for a second of audio</title>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    yield f'<text x="{_LEFT}" y="20" fill="#222">99 of 100 pieces of work wait for a GPU no longer than (s)</text>'
    for hours in (10, 100, 1000, 10_000):
        yield _line([(hours, _SECONDS[0]), (hours, _SECONDS[1])], "#ddd")
        yield _text(_x(hours), _HEIGHT - _BOTTOM + 18, f"{hours:,}", "middle")
    for seconds in (1, 10, 60, 600, 3600):
        target = seconds == TARGET
        yield _line([(_HOURS[0], seconds), (_HOURS[1], seconds)], "#c00" if target else "#ddd", dashed=target)
        yield _text(_LEFT - 8, _y(seconds) + 4, f"{seconds:,}", "end")
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, "hours of audio a day", "middle")
    yield _text(_LEFT + 6, _y(TARGET) - 5, "QUEUE_WAIT_TARGET_SECONDS", "start", "#c00")
    for (number, found), colour in zip(lines.items(), _COLOURS, strict=True):
        above, below = ([(one[0], one[n]) for one in found] for n in (3, 2))
        yield _area([*above, *reversed(below)], colour)
        yield _line([one[:2] for one in found], colour, width=2)
        hours, seconds = [one[:2] for one in found if one[1] <= _SECONDS[1]][-1]
        yield _text(_x(hours) - 4, _y(seconds) - 8, f"{number} GPU{'s' if number > 1 else ''}", "end", colour)
    yield "</svg>"


def _x(hours: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * _share(hours, *_HOURS)


def _y(seconds: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * _share(seconds, *_SECONDS)


def _share(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, math.log(max(value, 1e-9) / low) / math.log(high / low)))


def _line(points: Sequence[tuple[float, float]], colour: str, *, width: float = 1, dashed: bool = False) -> str:
    where = " ".join(f"{_x(hours):.1f},{_y(seconds):.1f}" for hours, seconds in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def _area(points: Sequence[tuple[float, float]], colour: str) -> str:
    where = " ".join(f"{_x(hours):.1f},{_y(seconds):.1f}" for hours, seconds in points)
    return f'<polygon points="{where}" fill="{colour}" opacity="0.2"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    main()
