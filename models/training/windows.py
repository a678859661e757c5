"""Training windows: utterances of the corpus put together on the spot, with pauses, noise and cuts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from models.training.corpus import BANDS, FRAMES_PER_SECOND, Corpus, log_mel
from models.training.speech import SAMPLE_RATE
from models.training.tokens import Phrase, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Power = NDArray[np.float32]

FULL = 3000  # frames of 10 ms in Whisper's window
_FLOOR = 1e-10
_UNLIMITED = 99
_NOISES = 24
_SILENT = 0.06  # share of windows in which nothing is said
# How speech is spread over a window: close together, close together and then padding, a few sentences, or far apart.
KINDS = {"dense": 0.55, "chunk": 0.33, "few": 0.07, "sparse": 0.05}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is heard in a window and when: phrases by the frame at which they begin, zeros from frame `content` on."""

    language: str
    frames: int
    content: int
    placed: list[tuple[int, Phrase]] = field(default_factory=list)
    unfinished: tuple[int, Phrase] | None = None  # runs into the end of the window in the middle of a word
    shift: int = 0  # steps of 20 ms by which a short window is moved into the 30 s one


class Source:
    """Phrases and noises to compose windows from."""

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary) -> None:
        self.corpus = corpus
        phrases = [phrase for spoken in corpus.utterances if (phrase := vocabulary.phrase(spoken))]
        self.by_kind: dict[str, list[Phrase]] = {}
        for phrase in phrases:
            self.by_kind.setdefault(phrase.kind, []).append(phrase)

    def draw(self, rng: random.Random, language: str) -> Phrase:
        """A phrase of the language; English is now and then words in no order."""
        kind = language
        if language == "en" and rng.random() < 0.3:
            kind = rng.choice([kind for kind in ("random", "spliced") if kind in self.by_kind] or ["en"])
        return rng.choice(self.by_kind[kind])


@cache
def _noise(number: int) -> Power:
    """A little over 30 s of noise as mel power: white, pinkish, brown, a band, a hum, or swelling."""
    rng = np.random.default_rng(number)
    count = 33 * SAMPLE_RATE
    time = np.arange(count) / SAMPLE_RATE
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE) + 5
    kind = number % 6
    if kind in (1, 2):
        spectrum /= hertz ** (kind / 2)
    elif kind == 3:
        spectrum *= np.exp(-((np.log(hertz) - np.log(rng.uniform(200, 4000))) ** 2) / 0.5)
    sound = np.fft.irfft(spectrum, count)
    if kind == 4:
        base = rng.choice([50, 60, 100, 120, 440])
        tone = sum(np.sin(2 * np.pi * time * base * k + rng.uniform(0, 6)) / k for k in range(1, 9))
        sound = tone + 0.05 * sound / sound.std()
    elif kind == 5:
        sound = sound * (1 + np.sin(2 * np.pi * time * rng.uniform(0.2, 4)))
    level = (sound / sound.std() * 0.05).astype(np.float32)
    return np.float32(10) ** log_mel(level)[: FULL + 300]


def arrange(rng: random.Random, source: Source, frames: int, *, floating: bool) -> Arrangement:
    """Fill a window of so many frames.

    A floating window is short, dense and stands anywhere within the 30 s; any other begins at 0 as in transcription.
    """
    language = rng.choices(["en", "es", "de"], [0.88, 0.06, 0.06])[0]
    shift = rng.randint(0, (FULL - frames) // 2) if floating and rng.random() < 0.6 else 0
    if rng.random() < _SILENT:
        # Voice activity detection takes noise for speech now and then: what it cuts out is mostly short.
        content = 10 + int((frames - 10) * rng.random() ** 2) if rng.random() < 0.6 else frames
        return Arrangement(language, frames, content, shift=shift)
    kind = "dense" if floating else rng.choices(list(KINDS), list(KINDS.values()))[0]
    limit = int(frames * rng.uniform(0.45, 1)) if kind == "chunk" else frames
    most = rng.randint(1, 4) if kind == "few" else _UNLIMITED
    pause = _pauses(rng, kind)
    placed: list[tuple[int, Phrase]] = []
    at, phrase = _opening(rng, source, language, frames, floating=floating)
    while at + phrase.frames <= limit:
        placed.append((at, phrase))
        at += phrase.frames + pause()
        if len(placed) == most or (floating and rng.random() < 0.08):
            return Arrangement(language, frames, _content(rng, placed, frames, floating), placed, shift=shift)
        phrase = source.draw(rng, language)
    fitting = sum(at + end * FRAMES_PER_SECOND <= limit for _, end, _ in phrase.words)
    if 0 < fitting < len(phrase.words) and (limit < frames or floating or rng.random() < 0.55):
        at, part = _cut_short(rng, phrase, fitting, at, limit, early=bool(placed))
        content = frames if floating and rng.random() < 0.5 else at + part.frames
        return Arrangement(language, frames, content, [*placed, (at, part)], shift=shift)
    if not floating and limit == frames and frames - at > 30 and most == _UNLIMITED:
        return Arrangement(language, frames, frames, placed, (at, phrase))
    return Arrangement(language, frames, _content(rng, placed, frames, floating), placed, shift=shift)


def _pauses(rng: random.Random, kind: str):  # type: ignore[no-untyped-def]  # a function that draws frames
    mean = rng.choice([2.0, 4.0, 7.0]) if kind == "sparse" else rng.choice([0.03, 0.03, 0.15, 0.4, 0.8, 1.6])
    longest = 12.0 if kind == "sparse" else 3.5

    def draw() -> int:
        return int(FRAMES_PER_SECOND * min(longest, rng.choice([0, 0.04]) + rng.expovariate(1 / mean)))

    return draw


def _opening(rng: random.Random, source: Source, language: str, frames: int, *, floating: bool) -> tuple[int, Phrase]:
    """Where speech begins, and with what: at once, in the middle of a sentence, or after a wait."""
    lead = rng.random()
    for attempt in range(12):
        phrase = source.draw(rng, language)
        begin = 0
        if lead < 0.66:
            count = len(phrase.words)
            word = rng.randint(1, count - 1) if 0.26 <= lead < 0.48 and count > 1 else 0
            border = _border(rng, phrase, word)
            # From the word on, from its frame or the one before; or with some of the silence in front of it.
            start = rng.randint(0, border) if lead >= 0.48 else max(0, border - (rng.randint(0, 1) if word else 0))
            phrase = phrase.cut((start, phrase.frames), (word, count))
        elif rng.random() < 0.55 or frames < 1000:
            begin = int(FRAMES_PER_SECOND * rng.uniform(0, 1))
        else:
            begin = int(FRAMES_PER_SECOND * rng.uniform(0.5, 5))
        if begin + phrase.frames <= frames or not floating or attempt == 11:
            break
    return begin, phrase


def _border(rng: random.Random, phrase: Phrase, word: int) -> int:
    """The frame before which a word is not heard yet."""
    start = phrase.words[word][0]
    if word and rng.random() < 0.3:
        start = min(start, phrase.words[word - 1][1] + 0.05)
    return round(start * FRAMES_PER_SECOND)


def _cut_short(
    rng: random.Random, phrase: Phrase, words: int, at: int, limit: int, *, early: bool
) -> tuple[int, Phrase]:
    """The words of a phrase that fit, and where they begin: half the time so late that they end with the window."""
    end = phrase.words[words][0] if rng.random() < 0.5 else phrase.words[words - 1][1]
    frames = min(max(round(end * FRAMES_PER_SECOND), 2), limit - at)
    return limit - frames if early and rng.random() < 0.5 else at, phrase.cut((0, frames), (0, words))


def _content(rng: random.Random, placed: list[tuple[int, Phrase]], frames: int, floating: bool) -> int:
    """The frame where the recording ends: at once after the last word, soon, or some seconds later."""
    if floating or not placed:
        return frames
    last, phrase = placed[-1]
    wait = rng.choices([0.0, rng.uniform(0, 0.3), rng.uniform(0.3, 6)], [0.2, 0.4, 0.4])[0]
    return min(frames, last + phrase.frames + int(FRAMES_PER_SECOND * wait))


def render(rng: random.Random, source: Source, heard: Arrangement) -> Floats:
    """The window as the model receives it: mel bands by frames, scaled as faster-whisper scales, zeros as padding."""
    power = np.full((heard.frames, BANDS), _FLOOR, np.float32)
    spoken = [*heard.placed, *([heard.unfinished] if heard.unfinished else [])]
    for at, phrase in spoken:
        count = min(phrase.frames, heard.frames - at)
        level = np.float32(10) ** (source.corpus.frames(phrase.first, count) + np.float32(rng.uniform(-0.7, 0.2)))
        power[at : at + count] += level
    _add_noise(rng, source, power, speech=bool(spoken))
    log = np.log10(np.maximum(power, _FLOOR)) + _equaliser(rng) + np.float32(rng.uniform(-2.4, 0.3))
    heard_part = np.maximum(log[: heard.content], -10)
    loudest = heard_part.max() + (rng.uniform(0, 1) if rng.random() < 0.3 else 0)
    scaled = (np.maximum(heard_part, loudest - 8) + 4) / 4
    if spoken and rng.random() < 0.3:
        for _ in range(rng.randint(1, 2)):
            band = rng.randint(0, 72)
            scaled[:, band : band + rng.randint(2, 8)] = scaled.mean()
    window = np.zeros((heard.frames, BANDS), np.float32)
    window[: heard.content] = scaled
    return window.T


def _add_noise(rng: random.Random, source: Source, power: Power, *, speech: bool) -> None:
    level = max(float(power.mean()), 1e-9) if speech else 10 ** rng.uniform(-4, -0.5)
    if rng.random() < 0.7 or (not speech and rng.random() < 0.8):
        noise = _noise(rng.randrange(_NOISES))
        start = rng.randint(0, len(noise) - len(power))
        decibels = rng.uniform(6, 45) if speech else rng.uniform(-5, 40)
        cut = noise[start : start + len(power)]
        power += cut * np.float32(level / float(cut.mean()) * 10 ** (-decibels / 10))
    if speech and rng.random() < 0.1:
        for _ in range(3):  # voices far away, which are not to be written down
            phrase = source.draw(rng, "en")
            count = min(phrase.frames, len(power))
            start = rng.randint(0, len(power) - count)
            faint = source.corpus.frames(phrase.first, count) - np.float32(rng.uniform(2.2, 3.5))
            power[start : start + count] += np.float32(10) ** faint


def _equaliser(rng: random.Random) -> Floats:
    """A smooth change of timbre, sometimes with the treble of a telephone."""
    if rng.random() < 0.3:
        return np.zeros(BANDS, np.float32)
    place = np.arange(BANDS) / (BANDS - 1)
    curve = np.zeros(BANDS)
    for wave in range(1, 5):
        curve += rng.gauss(0, 0.22 / wave**0.5) * np.cos(np.pi * place * wave + rng.uniform(0, 6))
    if rng.random() < 0.08:
        curve -= np.clip((np.arange(BANDS) - rng.randint(54, 66)) / 4, 0, 1) * rng.uniform(1, 4)
    return curve.astype(np.float32)
