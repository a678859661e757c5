"""Single sentences of everybody to train on, on disk, with the moments in which they are spoken in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.training.diariser.conversations import STEP, active
from models.training.diariser.sounds import level
from models.training.diariser.voices import Person
from models.training.grammar import random_words, sentence
from models.training.speech import SAMPLE_RATE, Speaker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.speech import Samples

_LEVEL = 0.05
_SHORTEST = 0.3  # seconds
_ONSETS = ("", "b", "br", "d", "f", "fl", "g", "h", "j", "k", "kl", "l", "m", "n", "p", "r", "s", "sh", "st", "t", "w")
_VOWELS = ("a", "e", "i", "o", "u", "ee", "oo", "ai", "ow", "er")
_CODAS = ("", "", "", "n", "m", "s", "t", "k", "l", "nd", "sh")


def _made_up(rng: random.Random) -> str:
    """Words of no language, so that all sounds and their neighbours occur, not only those of a small vocabulary."""

    def word() -> str:
        syllables = rng.choice((1, 1, 2, 2, 3))
        return "".join(rng.choice(part) for _ in range(syllables) for part in (_ONSETS, _VOWELS, _CODAS))

    words = [word() for _ in range(rng.choice((1, 2, 3, 4, 6, 8, 10)))]
    return (", " if rng.random() < 0.2 else " ").join(words)


def _text(rng: random.Random) -> str:
    return rng.choices((sentence, random_words, _made_up), (4, 2, 4))[0](rng)


def make_pool(folder: Path, cast: Sequence[Person], each: int) -> None:
    """Speak `each` sentences of everybody into `folder`; nothing is done where it is complete already."""
    index = folder / "pool.npz"
    if index.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    lengths: list[int] = []
    moments: list[NDArray[np.bool_]] = []
    with (folder / "pool.i16").open("wb") as sound:
        for number, person in enumerate(cast):
            for audio in _spoken(person, each):
                sound.write(np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
                lengths.append(len(audio))
                moments.append(active(audio))
            if (number + 1) % 50 == 0:
                print(f"{number + 1} of {len(cast)} people, {sum(lengths) / SAMPLE_RATE / 3600:.2f} h", flush=True)
    part = folder / "part.npz"
    np.savez(part, lengths=np.array(lengths), active=np.concatenate(moments), each=each, people=len(cast))
    part.rename(index)  # the index stands only beside complete sound


def _spoken(person: Person, each: int) -> list[Samples]:
    rng = random.Random(f"pool {person.name}")
    said: list[Samples] = []
    with Speaker() as speaker:
        while len(said) < each:
            audio = person.say(speaker, _text(rng), rng)
            audio = audio[: len(audio) // STEP * STEP]
            if len(audio) >= _SHORTEST * SAMPLE_RATE:
                said.append(audio * np.float32(_LEVEL / level(audio)))
    return said


class Pool:
    """A pool made by `make_pool`, its sound read from disk as it is needed."""

    def __init__(self, folder: Path, cast: Sequence[Person]) -> None:
        index = np.load(folder / "pool.npz")
        if int(index["people"]) != len(cast):
            raise SystemExit("the pool in this folder is of other people: begin in an empty folder")
        self.cast = cast
        self._each = int(index["each"])
        self._starts = np.concatenate([[0], np.cumsum(index["lengths"])])
        self._active = index["active"]
        self._sound = np.memmap(folder / "pool.i16", "<i2", "r")

    def sentence(self, rng: random.Random, who: int) -> tuple[Samples, NDArray[np.bool_]]:
        """One of somebody's sentences with a level of 0.05, and for each 10 ms whether it is spoken in."""
        number = who * self._each + rng.randrange(self._each)
        first, last = int(self._starts[number]), int(self._starts[number + 1])
        audio = self._sound[first:last].astype(np.float32) / np.float32(32768)
        return audio, self._active[first // STEP : last // STEP]
