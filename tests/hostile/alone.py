"""Normalise files as a worker does, in a process that can say what its programs took: `python -m tests.hostile.alone`.

Reads paths, one a line, from standard input and answers each with a line of JSON. That it answers all of them is what
shows that none of them took it down.
"""

import json
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from pipelines.errors import LonghandError
from pipelines.media import normalise, verdict
from pipelines.stage import Limits

LIMITS = Limits(max_audio_seconds=600, ffmpeg_seconds=20)


class Kept(logging.Handler):
    """Every line that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def look(source: Path, kept: Kept) -> dict[str, object]:
    """What becomes of a file, and what it took."""
    target = source.parent / "audio.wav"
    largest, started = [0], time.monotonic()
    judge = verdict.samples_or_error

    def look_and_judge(*arguments: Any) -> int:
        if target.exists():
            largest.append(target.stat().st_size)
        return judge(*arguments)

    verdict.samples_or_error = look_and_judge
    kept.lines.clear()
    found: dict[str, object] = {"duration": 0.0, "detail": "", "warnings": [], "format": "", "codec": ""}
    try:
        media = normalise(source, target, limits=LIMITS, progress=lambda done, total: None)
        found |= {"outcome": "done", **media.model_dump(include={"duration", "format", "codec"})}
        found["warnings"] = [warning.code for warning in media.warnings]
    except LonghandError as error:
        found |= {"outcome": error.code, "detail": error.detail, "kind": type(error).__mro__[-5].__name__}
    finally:
        verdict.samples_or_error = judge
    return found | {
        "seconds": time.monotonic() - started,
        "written": max(largest),
        "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10,
        "own": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        "children": len(psutil.Process().children(recursive=True)),
        "target": target.exists(),
        "log": kept.lines[-50:],
    }


def main() -> None:
    kept = Kept()
    logging.basicConfig(level=logging.DEBUG, handlers=[kept])
    for line in sys.stdin:
        source = Path(line.rstrip("\n"))
        sys.stdout.write(json.dumps(look(source, kept)) + "\n")
        sys.stdout.flush()
        (source.parent / "audio.wav").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
