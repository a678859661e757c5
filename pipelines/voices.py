"""Who is who: the voices of a long recording's parts joined to the speakers of the whole, and turns made readable.

Pure: values in, values out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.documents import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLICKER_SECONDS = 0.2
"""Nobody says a word in less; such turns come from a model that wavers."""
JOINED_GAP_SECONDS = 0.5
"""A pause for breath: somebody who goes on after it is still in the same turn."""
_TINY = (0.5, 2.0)
"""Seconds that a speaker has to speak at least, in a recording with little and with much speech."""
_TINY_SHARE = 0.02


def join(
    similarities: Sequence[Sequence[float]] | NDArray[np.float64],
    parts: Sequence[int],
    seconds: Sequence[float],
    *,
    at_least: int = 1,
    at_most: int | None = None,
) -> list[int]:
    """Which voices are the same speaker's, by joining the two most similar groups again and again.

    Two voices of one part were told apart by somebody who heard them side by side: they stay apart unless there would
    be more than ``at_most`` speakers otherwise.

    Args:
        similarities: Of each voice with each; above zero they are more likely the same person's than not.
        parts: The part of the recording that each voice is from.
        seconds: How long each voice speaks; longer ones count for more.
        at_least: Speakers that there are; with fewer voices than that, as many as there are voices.
        at_most: Speakers that there may be.

    Returns:
        A number for each voice, the same for voices of one speaker, counting from 0 in order of the voices.
    """
    import numpy as np

    total = len(parts)
    likeness = np.array(similarities, dtype=float).reshape(total, total)
    # Where no embedding could be made, a voice is as unlike the others as any two are.
    known = likeness[np.isfinite(likeness)]
    likeness[~np.isfinite(likeness)] = min(-1.0, known.min() if known.size else -1.0)
    apart = np.equal.outer(np.array(parts), np.array(parts))
    weights = np.maximum(np.array(seconds, dtype=float), 1e-3)
    groups: dict[int, list[int]] = {number: [number] for number in range(total)}
    np.fill_diagonal(likeness, -np.inf)
    while len(groups) > max(1, at_least):
        too_many = at_most is not None and len(groups) > at_most
        pair = _most_alike(np.where(apart, -np.inf, likeness)) or (_most_alike(likeness) if too_many else None)
        if pair is None or (likeness[pair] < 0 and not too_many):
            break
        _merge(likeness, apart, weights, *pair)
        groups[pair[0]] += groups.pop(pair[1])
    number_of = {voice: min(group) for group in groups.values() for voice in group}
    order = {first: number for number, first in enumerate(sorted(set(number_of.values())))}
    return [order[number_of[voice]] for voice in range(total)]


def _most_alike(likeness: NDArray[np.float64]) -> tuple[int, int] | None:
    if likeness.size == 0:
        return None
    one, other = divmod(int(likeness.argmax()), len(likeness))
    return None if likeness[one, other] == -float("inf") else (min(one, other), max(one, other))


def _merge(likeness: Any, apart: Any, weights: Any, kept: int, gone: int) -> None:
    """Put one group into another, in place: its likeness to the others is the average over its voices' time."""
    share = weights[gone] / (weights[kept] + weights[gone])
    merged = (1 - share) * likeness[kept] + share * likeness[gone]
    likeness[kept], likeness[:, kept] = merged, merged
    apart[kept] |= apart[gone]
    apart[:, kept] = apart[kept]
    weights[kept] += weights[gone]
    for table, value in ((likeness, -float("inf")), (apart, True)):
        table[gone], table[:, gone] = value, value
    likeness[kept, kept] = -float("inf")


def tidy(turns: Iterable[Turn]) -> list[Turn]:
    """Turns of one speaker at a time, without flicker; neither times nor speakers are made up.

    A turn that is too short to say anything goes to whoever speaks on both sides of it, and else away. Whoever goes on
    after a short pause in which nobody else speaks is still in the same turn.
    """
    kept = [turn for turn in _joined(_apart(turns)) if turn.end - turn.start >= FLICKER_SECONDS]
    return _joined(kept)


def _apart(turns: Iterable[Turn]) -> list[Turn]:
    """In order, none beginning before the one before it has ended."""
    found: list[Turn] = []
    last = 0.0
    for turn in sorted(turns, key=lambda turn: (turn.start, turn.end)):
        start = max(turn.start, last)
        if turn.end > start:
            found.append(turn if start == turn.start else turn.model_copy(update={"start": start}))
            last = turn.end
    return found


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].speaker == turn.speaker and turn.start - found[-1].end <= JOINED_GAP_SECONDS:
            found[-1] = found[-1].model_copy(update={"end": turn.end})
        else:
            found.append(turn)
    return found


def seconds_by_speaker(turns: Iterable[Turn]) -> dict[str, float]:
    """How long everybody speaks, in order of first speech."""
    seconds: dict[str, float] = defaultdict(float)
    for turn in turns:
        seconds[turn.speaker] += turn.end - turn.start
    return dict(seconds)


def without_tiny(turns: Sequence[Turn], *, at_least: int = 1) -> list[Turn]:
    """Without speakers who hardly say anything: noise that was taken for a voice; ``at_least`` so many stay."""
    seconds = seconds_by_speaker(turns)
    least = min(_TINY[1], max(_TINY[0], _TINY_SHARE * sum(seconds.values())))
    by_length = sorted(seconds, key=lambda speaker: -seconds[speaker])
    kept = {s for number, s in enumerate(by_length) if number < max(1, at_least) or seconds[s] >= least}
    return _joined([turn for turn in turns if turn.speaker in kept])


def numbered(turns: Sequence[Turn]) -> tuple[list[Turn], Mapping[str, str]]:
    """The turns with the speakers called SPEAKER_00 … in order of first speech, and what they were called before."""
    names = {speaker: f"SPEAKER_{number:02d}" for number, speaker in enumerate(seconds_by_speaker(turns))}
    return [turn.model_copy(update={"speaker": names[turn.speaker]}) for turn in turns], names
