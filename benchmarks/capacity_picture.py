"""How long work waits for a GPU, by load and number of GPUs, as a picture: ``docs/capacity.svg``.

Usage: ``python -m benchmarks.capacity_picture [--factor 0.022] [--seed 1] > docs/capacity.svg``. The same seed gives
the same picture.
"""

import argparse
import math
from collections.abc import Iterator, Sequence

from benchmarks import profile as profiles
from benchmarks.demand import Demand
from benchmarks.flow_model import Installation
from benchmarks.queueing import share_below
from benchmarks.sizing import Case

GPUS = (1, 2, 4, 8, 16, 32)
TARGET = 60.0
_LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
"""How busy the GPUs are at the busiest moment of the day."""
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 400, 64, 34, 24, 52
_HOURS, _SECONDS = (10.0, 20_000.0), (1.0, 3600.0)
_COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def main() -> None:
    """Simulate, and print the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=0.022)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    lines = {number: points(number, factor=asked.factor, seed=asked.seed) for number in GPUS}
    print("\n".join(draw(lines, f"{asked.factor:g}")))


def points(number: int, *, factor: float, seed: int) -> list[tuple[float, float]]:
    """Hours a day, and within how many seconds 99 of 100 recordings are begun on a GPU."""
    profile = profiles.load("demo").with_factor(factor)
    found = []
    for load in _LOADS:
        hours = load * number * 24 / factor / Demand(1).peak
        workers = {"cpu": 4 + 2 * math.ceil(number / 4), "gpu": number, "net": 32, "diarise": 0}
        case = Case(Demand(hours), Installation(workers, profile.times, handover=profile.handover), TARGET, seed)
        found.append((hours, share_below(case.seen().firsts["gpu"], 0.99)))
    return found


def draw(lines: dict[int, list[tuple[float, float]]], factor: str) -> Iterator[str]:
    """The picture, line by line."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img">'
    )
    title = "How long work waits for a GPU, by hours of audio a day and number of GPUs"
    yield f"<title>{title}; {factor} s of transcription for a second of audio</title>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
    yield f'<text x="{_LEFT}" y="20" fill="#222">99 of 100 recordings wait for a GPU no longer than (s)</text>'
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
        yield _line(found, colour, width=2)
        inside = [(hours, seconds) for hours, seconds in found if seconds <= _SECONDS[1]]
        hours, seconds = inside[-1]
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


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    main()
