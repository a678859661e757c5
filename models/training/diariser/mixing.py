"""Ten seconds of a conversation, or of nothing, as training sees them: who speaks in which 10 ms is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.training.diariser import sounds
from models.training.diariser.conversations import STEP
from models.training.speech import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.diariser.voices import Person
    from models.training.speech import Samples

SECONDS = 10
SAMPLES, STEPS = SECONDS * SAMPLE_RATE, SECONDS * 100
AT_MOST = 3  # speakers
_COUNTS = {0: 0.12, 1: 0.26, 2: 0.37, 3: 0.25}
_TAIL = 5600  # samples of a room's longest response


class Speech(Protocol):
    """Where sentences come from."""

    cast: Sequence[Person]

    def sentence(self, rng: random.Random, who: int) -> tuple[Samples, NDArray[np.bool_]]:
        """One of somebody's sentences with a level of 0.05, and for each 10 ms whether it is spoken in."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound, who speaks in each 10 ms (`STEPS`, `AT_MOST`), and the number in the cast of each column's speaker."""

    audio: Samples
    activity: NDArray[np.bool_]
    people: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Style:
    """How a chunk's people talk."""

    switch: float  # how probably somebody else comes next
    overlap: float  # how probably before the other has ended
    short: float  # share of sentences cut down to a word or two
    unsteady: float  # decibels by which each sentence is louder or softer


def chunk(pool: Speech, rng: random.Random, count: int | None = None) -> Chunk:
    """A chunk of `count` speakers, of whom some may never get a word in; drawn, nobody included, unless given."""
    if count is None:
        count = rng.choices(list(_COUNTS), list(_COUNTS.values()))[0]
    activity = np.zeros((STEPS, AT_MOST), bool)
    if count == 0:
        audio = sounds.no_speech(SAMPLES, rng)
        if rng.random() < 0.15:
            audio += sounds.no_speech(SAMPLES, rng)
        people: tuple[int, ...] = ()
    else:
        people = _cast(pool, rng, count)
        style = _Style(
            rng.choice((0.9, 0.65, 0.35)),
            rng.choice((0.0, 0.2, 0.35)),
            rng.choice((0.1, 0.25)),
            rng.choice((1.0, 2.0, 8.0) if count == 1 else (1.0, 1.0, 4.0)),
        )
        tracks = np.zeros((count, SAMPLES), np.float32)
        _talk(pool, rng, people, style, tracks, activity)
        audio = _recorded(tracks, rng)
    if rng.random() < (0.35 if count == 0 else 0.12):
        _cut(audio, activity, rng)
    peak = float(np.abs(audio).max())
    if count:
        audio *= np.float32(10 ** (-rng.uniform(0.5, 24) / 20) / max(peak, 1e-6))
    elif peak > 1:
        audio /= np.float32(peak)
    return Chunk(audio, activity, people)


def _cast(pool: Speech, rng: random.Random, count: int) -> tuple[int, ...]:
    """Different people, no two of them of one variant."""
    people: list[int] = []
    while len(people) < count:
        who = rng.randrange(len(pool.cast))
        if all(pool.cast[who].variant != pool.cast[other].variant for other in people):
            people.append(who)
    return tuple(people)


def _talk(
    pool: Speech,
    rng: random.Random,
    people: tuple[int, ...],
    style: _Style,
    tracks: Samples,
    activity: NDArray[np.bool_],
) -> None:
    at = rng.uniform(-3, 2)
    ends = [-10.0] * len(people)
    who = rng.randrange(len(people))
    while at < SECONDS:
        audio, spoken = pool.sentence(rng, people[who])
        if rng.random() < style.short:
            audio, spoken = _shortened(audio, spoken, rng)
        at = max(at, ends[who] + 0.05)
        step = round(at * 100)
        skipped = max(0, -step)
        step = max(0, step)
        room = max(0, min(len(spoken) - skipped, STEPS - step))
        gain = np.float32(10 ** (rng.uniform(-style.unsteady, style.unsteady) / 20))
        heard = audio[skipped * STEP : (skipped + room) * STEP]
        tracks[who, step * STEP : step * STEP + len(heard)] += heard * gain
        activity[step : step + room, who] |= spoken[skipped : skipped + room]
        ends[who] = at + len(audio) / SAMPLE_RATE
        before = who
        if len(people) > 1 and rng.random() < style.switch:
            who = rng.choice([other for other in range(len(people)) if other != who])
        at = ends[before] + _pause(rng, style.overlap if who != before else 0.0)


def _pause(rng: random.Random, overlap: float) -> float:
    """Seconds to the next sentence; less than nothing where it begins early."""
    draw = rng.random()
    if draw < overlap:
        return -rng.uniform(0.15, 1.5)
    return rng.expovariate(1 / 0.35) if draw < 0.85 else rng.uniform(1, 3.5)


def _shortened(audio: Samples, spoken: NDArray[np.bool_], rng: random.Random) -> tuple[Samples, NDArray[np.bool_]]:
    steps = round(rng.uniform(30, 120))
    if len(spoken) <= steps:
        return audio, spoken
    first = rng.randrange(len(spoken) - steps)
    piece = audio[first * STEP : (first + steps) * STEP].copy()
    fade = np.linspace(0, 1, STEP // 2, dtype=np.float32)
    piece[: len(fade)] *= fade
    piece[-len(fade) :] *= fade[::-1]
    return piece, spoken[first : first + steps]


@cache
def _frequencies() -> Samples:
    length = sounds.transform_length(SAMPLES + _TAIL)
    return np.fft.rfftfreq(length, 1 / SAMPLE_RATE).astype(np.float32)


def _recorded(tracks: Samples, rng: random.Random) -> Samples:
    """The speakers in their room, through a microphone, with a background; now and then all of it perfect."""
    if rng.random() < 0.08:
        return np.asarray(tracks.sum(0), np.float32)
    length = sounds.transform_length(SAMPLES + _TAIL)
    here = sounds.room(rng) if rng.random() < 0.55 else None
    spectrum = np.zeros(len(_frequencies()), np.complex64)
    for track in tracks:
        heard = np.fft.rfft(track * np.float32(10 ** (rng.uniform(-7, 5) / 20)), length)
        if here is not None:
            heard *= np.fft.rfft(sounds.moved(here, rng), length)
        spectrum += heard
    spectrum *= sounds.microphone(rng, _frequencies())
    audio = np.fft.irfft(spectrum, length)[:SAMPLES].astype(np.float32)
    if rng.random() < 0.85:
        kind = rng.choices((sounds.coloured_noise, sounds.hum, sounds.melody, sounds.knocks), (14, 2, 2, 2))[0]
        loudness = max(sounds.level(audio), 1e-3) * 10 ** (-rng.uniform(8, 45) / 20)
        audio += kind(SAMPLES, rng) * np.float32(loudness)
    return audio


def _cut(audio: Samples, activity: NDArray[np.bool_], rng: random.Random) -> None:
    """A file that begins or ends inside the ten seconds: digital silence there."""
    step = round(rng.uniform(0.02, 0.95) * STEPS)
    beyond = slice(step, None) if rng.random() < 0.8 else slice(0, STEPS - step)
    audio.reshape(STEPS, STEP)[beyond] = 0
    activity[beyond] = False
