"""Who speaks: espeak-ng's variants dealt out once for all to training, choosing and testing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.training.speech import SAMPLE_RATE, Speaker, Voice, resample

if TYPE_CHECKING:
    from models.training.speech import Samples

# The settings of the pipeline are chosen by the first, figures are taken with the second, nobody trains on either.
CHOOSING = ("Alicia", "Annie", "Michael", "belinda", "f5", "m3", "paul", "robert")
TESTING = ("Andy", "Lee", "anika", "f2", "linda", "m7", "quincy", "steph")
_NO_PEOPLE = frozenset(("whisper", "whisperf", "Demonic", "croak", "fast", "UniRobot", "anikaRobot"))

ENGLISH = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc", "en-gb-x-gbcwmd")
_FOREIGN = ("de", "es", "it", "nl", "sv", "pl", "fr", "pt-br", "fi")
_STRETCHES = (0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.15)
PEOPLE_PER_VARIANT = 4


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be told from others: a variant of espeak-ng, an accent, a usual pitch, and the size of the head.

    Sound played `stretch` times as fast has its pitch and its formants that many times as high.
    """

    name: str
    variant: str
    accent: str
    pitch: int
    stretch: float

    def say(self, speaker: Speaker, text: str, rng: random.Random) -> Samples:
        """A sentence at 16 kHz, its pitch and pace a little different every time.

        Raises:
            ValueError: The text has no word.
        """
        pitch = min(99, max(0, self.pitch + rng.randint(-4, 4)))
        voice = Voice(f"{self.accent}+{self.variant}", round(rng.uniform(130, 200) / self.stretch), pitch)
        sound = speaker.speak(text, voice).audio
        return resample(sound, round(SAMPLE_RATE * self.stretch / 50) * 50)


def variants() -> tuple[str, ...]:
    """The variants to train on: all that the wheel brings but those held back and those that are no people."""
    import espeakng_loader  # type: ignore[import-untyped]

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    held_back = _NO_PEOPLE | {*CHOOSING, *TESTING}
    return tuple(sorted(file.name for file in folder.iterdir() if file.name not in held_back and " " not in file.name))


def people() -> list[Person]:
    """Everybody to train on; the same people every time. One of each variant speaks English with an English accent."""
    rng = random.Random("people")
    cast = []
    for variant in variants():
        for number in range(PEOPLE_PER_VARIANT):
            accent = rng.choice(ENGLISH if number == 0 else (*ENGLISH, *_FOREIGN))
            cast.append(Person(f"{variant} {number}", variant, accent, rng.randint(20, 75), rng.choice(_STRETCHES)))
    return cast


def choosing_people() -> list[Person]:
    """Two of each variant that nobody trains on, to look at while training and to choose the settings by."""
    rng = random.Random("choosing people")
    return [
        Person(f"{variant} {number}", variant, rng.choice(ENGLISH), rng.randint(20, 75), rng.choice(_STRETCHES))
        for variant in CHOOSING
        for number in range(2)
    ]
