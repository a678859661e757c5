"""How far a diarisation is from the truth, by pyannote.metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.training.diariser.conversations import Turn


@dataclass(frozen=True, slots=True)
class Errors:
    """Shares of the time spoken: missed, heard where nobody speaks, taken for another; and of their sum."""

    missed: float
    false: float
    confused: float

    @property
    def rate(self) -> float:
        """The diarisation error rate."""
        return self.missed + self.false + self.confused


@dataclass(frozen=True, slots=True)
class Scored:
    """One recording: who speaks when, who was heard when, and its seconds."""

    truth: list[Turn]
    heard: list[Turn]
    seconds: float

    @property
    def speakers(self) -> tuple[int, int]:
        """How many speak and how many were heard."""
        return len({turn.speaker for turn in self.truth}), len({turn.speaker for turn in self.heard})


def errors(recordings: Iterable[Scored], *, collar: float = 0.0) -> Errors:
    """Over all recordings together, overlapping speech scored like any other.

    Args:
        recordings: What to compare.
        collar: Seconds on either side of each true boundary that do not count.
    """
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    # The library's collar is what both sides have together.
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=False)
    for one in recordings:
        metric(_annotation(one.truth), _annotation(one.heard), uem=Timeline([Segment(0, one.seconds)]))
    found = metric[:]
    total = found["total"] or 1.0
    return Errors(found["missed detection"] / total, found["false alarm"] / total, found["confusion"] / total)


def turns_from(annotation: Any) -> list[Turn]:
    """The turns of an annotation of pyannote.core."""
    return [Turn(segment.start, segment.end, str(label)) for segment, _, label in annotation.itertracks(True)]


def turns_from_rttm(text: str) -> list[Turn]:
    """The turns of NIST's Rich Transcription Time Marked lines."""
    rows = [line.split() for line in text.splitlines() if line.startswith("SPEAKER")]
    return sorted(Turn(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows)


def _annotation(turns: Iterable[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), number] = speaker
    return annotation
