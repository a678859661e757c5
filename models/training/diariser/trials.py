"""Conversations of voices nobody trained on, to choose settings by or to take figures with, and sounds of nobody."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.training.diariser import sounds
from models.training.diariser.conversations import Conversation, conversation
from models.training.diariser.voices import CHOOSING, ENGLISH, TESTING
from models.training.recordings import in_steps
from models.training.speech import SAMPLE_RATE

if TYPE_CHECKING:
    from models.training.speech import Samples

VARIANTS = {"choosing": CHOOSING, "testing": TESTING}

CELLS: dict[str, dict[str, Any]] = {
    "1 voice": {"voices": 1},
    "1 voice, noisy": {"voices": 1, "noisy": True},
    "2 voices": {"voices": 2},
    "3 voices": {"voices": 3},
    "2 voices, noisy": {"voices": 2, "noisy": True, "overlap": 0.2},
    "3 voices, noisy": {"voices": 3, "noisy": True, "overlap": 0.2},
}
"""Kinds of conversations; in the noisy ones one change of speaker in five begins before the other has ended."""


class Trial(NamedTuple):
    """A conversation of one kind."""

    kind: str
    number: int
    said: Conversation


def trials(split: str, each: int, seconds: float, *, kinds: tuple[str, ...] = tuple(CELLS)) -> Iterator[Trial]:
    """Always the same conversations: `each` of every kind, of `seconds` each, by the voices of `VARIANTS[split]`."""
    for kind in kinds:
        for number in range(each):
            rng = random.Random(f"{split} {kind} {number}")
            options = dict(CELLS[kind])
            variants = rng.sample(VARIANTS[split], options.pop("voices"))
            voices = [f"{rng.choice(ENGLISH)}+{variant}" for variant in variants]
            seed = rng.randrange(1 << 30)
            yield Trial(kind, number, conversation(seconds, seed, voices=voices, **options))


def nobody(seed: int = 0) -> Iterator[tuple[str, Samples]]:
    """Names and sounds in which nobody speaks: silence, noise from barely there to loud, hum, music, knocks."""
    rng = random.Random(f"nobody {seed}")
    yield "silence", np.zeros(20 * SAMPLE_RATE, np.float32)
    for decibels in (-80, -70, -60, -50, -40, -30, -20):
        white = np.random.default_rng(rng.getrandbits(32)).standard_normal(20 * SAMPLE_RATE, np.float32)
        yield f"white noise {decibels} dB", _at(white, decibels)
        yield f"white noise {decibels} dB, one second", _at(white[:SAMPLE_RATE], decibels)
    for decibels in (-60, -40, -20):
        for number in range(2):
            noise = sounds.coloured_noise(20 * SAMPLE_RATE, rng)
            yield f"coloured noise {decibels} dB {number}", _at(noise, decibels)
        yield f"hum {decibels} dB", _at(sounds.hum(20 * SAMPLE_RATE, rng), decibels)
        yield f"melody {decibels} dB", _at(sounds.melody(20 * SAMPLE_RATE, rng), decibels)
        yield f"knocks {decibels} dB", _at(sounds.knocks(20 * SAMPLE_RATE, rng), decibels)


def _at(sound: Samples, decibels: float) -> Samples:
    return in_steps(sound * np.float32(10 ** (decibels / 20)))
