"""Conversations with the truth about who speaks when and who says which word.

    conversation(120, seed=1)                             two minutes of two voices
    conversation(120, seed=1, voices=3, overlap=0.2)      three, who at times begin before the other has ended
    conversation(120, seed=1, noisy=True)                 in a room, some nearer than others, with noise
    conversation(120, seed=1, voices=("en-us+f2", "en-us+m7"))

The same arguments give the same samples. The sentences are those of `models.training.recordings`, which the demo
Whisper understands and never was trained on; the voices are ones the demo diariser never was trained on. No torch is
needed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.training.diariser.sounds import coloured_noise, filtered, level, moved, room
from models.training.grammar import held_out_sentence
from models.training.recordings import Recording, Sentence, in_steps
from models.training.speech import SAMPLE_RATE, Speaker, Speech, Voice, Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.speech import Samples

# In this order for a number of voices: told apart by the demo diariser and understood by the demo Whisper.
VOICES = ("en-us+f2", "en-us+m7", "en-us+linda", "en-us+Andy", "en-us+quincy")

STEP = SAMPLE_RATE // 100  # samples: 10 ms, the grid of who speaks when
_PAUSE = 25  # steps; shorter ones belong to the turn
_QUIET_DB = 38  # below what is loud in a sentence by more than this is no speech
_ACROSS = 5  # steps between the end of a speaker's sentence and the next one's beginning at least
_NOISE_LOOP = 30 * SAMPLE_RATE


class Turn(NamedTuple):
    """Somebody speaks, from the one second to the other, with no pause as long as a quarter of a second."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True, eq=False)
class Conversation(Recording):
    """A recording that knows its speakers, by the names of their voices.

    `speakers` has one entry for each of `words`; both are in the order in which words begin. Turns of different
    speakers overlap where they speak at once, those of one speaker never.
    """

    speakers: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    def rttm(self, name: str = "conversation") -> str:
        """The turns as NIST's Rich Transcription Time Marked lines."""
        return "".join(
            f"SPEAKER {name} 1 {start:.2f} {end - start:.2f} <NA> <NA> {who} <NA> <NA>\n"
            for start, end, who in self.turns
        )


def active(audio: Samples) -> NDArray[np.bool_]:
    """For every 10 ms of one sentence whether it is spoken in, short pauses included."""
    steps = audio[: len(audio) // STEP * STEP].reshape(-1, STEP)
    loudness = np.sqrt(np.mean(np.square(steps), axis=1) + 1e-12)
    spoken: NDArray[np.bool_] = loudness > np.percentile(loudness, 95) * 10 ** (-_QUIET_DB / 20)
    heard = np.flatnonzero(spoken)
    for before, after in pairwise(heard):
        if 1 < after - before <= _PAUSE:
            spoken[before:after] = True
    return spoken


def turns_of(activity: NDArray[np.bool_], names: Sequence[str]) -> list[Turn]:
    """Turns from one row of 10 ms steps for each speaker, short pauses closed, in the order in which they begin."""
    turns = []
    for row, name in zip(activity, names, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        spans: list[list[int]] = []
        for start, end in edges.reshape(-1, 2).tolist():
            if spans and start - spans[-1][1] <= _PAUSE:
                spans[-1][1] = end
            else:
                spans.append([start, end])
        turns += [Turn(start / 100, end / 100, name) for start, end in spans]
    return sorted(turns)


class _Piece(NamedTuple):
    at: int  # sample
    who: int
    speech: Speech


def conversation(
    seconds: float,
    seed: int,
    *,
    voices: int | Sequence[str] = 2,
    gap: tuple[float, float] = (0.2, 1.0),
    overlap: float = 0.0,
    in_a_row: tuple[int, int] = (1, 3),
    noise: float = 0.001,
    noisy: bool = False,
    language: str = "en",
) -> Conversation:
    """People taking turns until the recording is `seconds` long (the last sentence is spoken to its end).

    Args:
        seconds: The least duration.
        seed: What is said, by whom and how, the room and the noise.
        voices: How many of `VOICES`, or names of espeak-ng voices, every one a speaker; all of them get a word in.
        gap: Least and greatest silence between two sentences in seconds.
        overlap: Share of the changes of speaker at which the next begins up to 1.5 s before the other has ended.
        in_a_row: Least and greatest number of sentences a speaker says before somebody else does.
        noise: Level (root mean square) of white noise under everything.
        noisy: Whether the voices stand at different distances in a room, over coloured noise 12 to 30 dB below them.
        language: A key of `models.training.recordings.VOICES`.

    Raises:
        ValueError: There are no voices, two are the same, or `VOICES` has fewer than asked for.
    """
    names = VOICES[:voices] if isinstance(voices, int) else tuple(voices)
    if not names or len(set(names)) != len(names) or (isinstance(voices, int) and len(names) != voices):
        raise ValueError(f"a conversation needs different voices, one to {len(VOICES)} of them unless they are named")
    rng = random.Random(f"conversation {seed} {language}")
    pieces, length = _spoken(rng, seconds, names, gap=gap, overlap=overlap, in_a_row=in_a_row, language=language)
    audio = np.random.default_rng(seed).standard_normal(length, np.float32) * np.float32(noise)
    _mix(audio, pieces, len(names), rng if noisy else None)
    return _told(audio, pieces, names)


def _spoken(
    rng: random.Random,
    seconds: float,
    names: Sequence[str],
    *,
    gap: tuple[float, float],
    overlap: float,
    in_a_row: tuple[int, int],
    language: str,
) -> tuple[list[_Piece], int]:
    usual = [Voice(name, rng.randint(145, 175), rng.randint(42, 58)) for name in names]
    order = [*rng.sample(range(len(names)), len(names))]
    pieces: list[_Piece] = []
    ends = [0] * len(names)
    at = round(rng.uniform(0.2, 0.5) * SAMPLE_RATE)
    with Speaker() as speaker:
        while at < seconds * SAMPLE_RATE or order:
            who = order.pop() if order else _another(rng, pieces[-1].who, len(names))
            if pieces and rng.random() < overlap and pieces[-1].who != who:
                at = max(pieces[-1].at, max(ends) - round(rng.uniform(0.15, 1.5) * SAMPLE_RATE))
            for _ in range(rng.randint(*in_a_row)):
                at = max(at, ends[who] + _ACROSS * STEP if ends[who] else 0) // STEP * STEP
                speech = speaker.speak(held_out_sentence(rng, language), _this_time(usual[who], rng))
                pieces.append(_Piece(at, who, speech))
                ends[who] = at + len(speech.audio)
                at = max(ends) + round(rng.uniform(*gap) * SAMPLE_RATE)
                if at >= seconds * SAMPLE_RATE:
                    break
    return pieces, at


def _another(rng: random.Random, who: int, count: int) -> int:
    return rng.choice([other for other in range(count) if other != who] or [who])


def _this_time(usual: Voice, rng: random.Random) -> Voice:
    return Voice(usual.name, usual.rate + rng.randint(-8, 8), usual.pitch + rng.randint(-3, 3), rng.randint(40, 60))


def _mix(audio: Samples, pieces: Sequence[_Piece], count: int, rng: random.Random | None) -> None:
    """Add the sentences to the sound; with `rng`, as a room and a poor recorder would."""
    if rng is None:
        for piece in pieces:
            audio[piece.at : piece.at + len(piece.speech.audio)] += piece.speech.audio * np.float32(0.8)
        return
    here = room(rng)
    seats = [moved(here, rng) for _ in range(count)]
    gains = [10 ** (rng.uniform(-7, 0) / 20) for _ in range(count)]
    for at, who, speech in pieces:
        after = min(len(audio) - at - len(speech.audio), len(here))
        sound = filtered(np.pad(speech.audio, (0, max(0, after))), seats[who])
        audio[at : at + len(sound)] += sound * np.float32(gains[who])
    loudness = level(audio) * 10 ** (-rng.uniform(12, 30) / 20)
    loop = coloured_noise(_NOISE_LOOP, rng) * np.float32(loudness)
    for start in range(0, len(audio), len(loop)):
        audio[start : start + len(loop)] += loop[: len(audio) - start]
    audio *= np.float32(min(1.0, 0.9 / max(float(np.abs(audio).max()), 1e-6)))


def _told(audio: Samples, pieces: Sequence[_Piece], names: Sequence[str]) -> Conversation:
    """The truth about the sound."""
    activity = np.zeros((len(names), -(-len(audio) // STEP)), bool)
    words: list[tuple[Word, str]] = []
    sentences: list[Sentence] = []
    for at, who, speech in sorted(pieces):
        shift = at / SAMPLE_RATE
        spoken = active(speech.audio)
        activity[who, at // STEP : at // STEP + len(spoken)] |= spoken
        end = round(shift + len(speech.audio) / SAMPLE_RATE, 4)
        sentences.append(Sentence(round(shift, 4), end, speech.text, speech.voice))
        words += [(Word(round(shift + a, 4), round(shift + b, 4), text), names[who]) for a, b, text in speech.words]
    words.sort(key=lambda word: word[0].start)
    return Conversation(
        in_steps(audio),
        [word for word, _ in words],
        sentences,
        speakers=[who for _, who in words],
        turns=turns_of(activity, names),
    )


def write_rttm(path: Path, said: Conversation) -> Path:
    """The path, now with the conversation's turns under the file's own name."""
    path.write_text(said.rttm(path.stem), encoding="utf-8")
    return path
