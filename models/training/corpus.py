"""Training speech: utterances with word times, stored as mel frames in one file and an index beside it."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.training.grammar import is_held_out, random_words, sentence, spliced
from models.training.speech import SAMPLE_RATE, Speaker, Voice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mel = NDArray[np.float32]

BANDS = 80
FRAMES_PER_SECOND = 100
LONGEST = 14.0  # seconds of one utterance
_MARGIN = 0.06  # seconds of silence kept on both sides of an utterance
_WINDOW, _HOP = 400, 160

# What is said, with its share: sentences of the three grammars, and English that follows no grammar, so that the
# model has to listen.
KINDS = {"en": 0.54, "random": 0.15, "spliced": 0.11, "es": 0.1, "de": 0.1}

ACCENTS = {
    "en": (
        *("en-us", "en-us", "en-us", "en-us", "en", "en", "en"),
        *("en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "en-029"),
    ),
    "es": ("es", "es-419"),
    "de": ("de",),
}
PLAIN_VARIANTS = (
    *("", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+f1", "+f2", "+f3", "+f5"),
    *("+Andy", "+Alicia", "+Michael", "+belinda", "+zac"),
)
OTHER_VARIANTS = (
    *("+Alex", "+Andrea", "+Denis", "+Diogo", "+Henrique", "+Hugo", "+Jacky", "+Lee", "+Marco", "+Mario"),
    *("+Mike", "+adam", "+anika", "+antonio", "+aunty", "+benjamin", "+boris", "+caleb", "+david", "+ed"),
    *("+edward", "+edward2", "+grandma", "+grandpa", "+gustave", "+iven", "+iven2", "+john", "+kaukovalta"),
    *("+klatt", "+klatt2", "+klatt3", "+marcelo", "+max", "+michel", "+miguel", "+norbert", "+pablo", "+paul"),
    *("+pedro", "+quincy", "+rob", "+robert", "+sandro", "+shelby", "+steph", "+steph3", "+travis", "+victor"),
)
UNHEARD_VARIANTS = ("+f4", "+m5", "+Annie", "+Gene", "+linda", "+steph2", "+iven3")  # for evaluation only


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken sentence: the place of its frames in the corpus, and its words timed in seconds from its start."""

    kind: str
    language: str
    voice: str
    text: str
    first: int
    frames: int
    words: tuple[tuple[float, float, str], ...]


def log_mel(audio: NDArray[np.float32]) -> Mel:
    """Base-10 logarithm of mel power, one row per 10 ms, neither clipped nor scaled: such rows can be mixed by power.

    Filters and window are those faster-whisper applies to what it transcribes.
    """
    from faster_whisper.feature_extractor import FeatureExtractor

    filters = FeatureExtractor.get_mel_filters(SAMPLE_RATE, _WINDOW, n_mels=BANDS).astype(np.float32)
    padded = np.pad(np.pad(audio.astype(np.float32), (0, _HOP)), _WINDOW // 2, mode="reflect")
    slices = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(slices * hann, axis=-1)[:-1]).astype(np.float32) ** 2
    mel: Mel = np.log10(np.maximum(power @ filters.T, 1e-10)).astype(np.float32)
    return mel


def training_voice(rng: random.Random, language: str) -> Voice:
    """A voice to train on: half of them from the plain variants that recordings use most."""
    variant = rng.choice(PLAIN_VARIANTS if rng.random() < 0.55 else OTHER_VARIANTS)
    rate = round(rng.triangular(115, 225, 165))
    return Voice(rng.choice(ACCENTS[language]) + variant, rate, rng.randint(25, 75), rng.randint(25, 75))


def _text(rng: random.Random, kind: str) -> str:
    while True:
        text = (
            {"random": random_words, "spliced": spliced}[kind](rng)
            if kind in ("random", "spliced")
            else sentence(rng, kind)
        )
        if not is_held_out(text):
            return text


def make_corpus(folder: Path, utterances: int, seed: int) -> None:
    """Speak the corpus into `folder`; nothing is done where it is complete already."""
    index = folder / "index.jsonl"
    if index.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"corpus {seed}")
    first = 0
    lines: list[str] = []
    margin = np.zeros(round(_MARGIN * SAMPLE_RATE), np.float32)
    with (folder / "mel.f16").open("wb") as frames, Speaker() as speaker:
        while len(lines) < utterances:
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            language = kind if kind in ACCENTS else "en"
            speech = speaker.speak(_text(rng, kind), training_voice(rng, language))
            if len(speech.audio) > LONGEST * SAMPLE_RATE:
                continue
            mel = log_mel(np.concatenate([margin, speech.audio, margin])).astype(np.float16)
            frames.write(mel.tobytes())
            words = tuple((round(a + _MARGIN, 3), round(b + _MARGIN, 3), word) for a, b, word in speech.words)
            spoken = Utterance(kind, language, speech.voice, speech.text, first, len(mel), words)
            lines.append(json.dumps(asdict(spoken), ensure_ascii=False))
            first += len(mel)
            if len(lines) % 2000 == 0:
                print(f"{len(lines)} utterances, {first / FRAMES_PER_SECOND / 3600:.1f} h", flush=True)
    index.with_suffix(".part").write_text("\n".join(lines) + "\n", encoding="utf-8")
    index.with_suffix(".part").rename(index)  # the index stands only beside complete frames


class Corpus:
    """A corpus made by `make_corpus`, its frames read from disk as they are needed."""

    def __init__(self, folder: Path) -> None:
        self.mel = np.memmap(folder / "mel.f16", np.float16, "r").reshape(-1, BANDS)
        self.utterances: list[Utterance] = []
        with (folder / "index.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                read = json.loads(line)
                read["words"] = tuple((start, end, word) for start, end, word in read["words"])
                self.utterances.append(Utterance(**read))

    def frames(self, first: int, count: int) -> Mel:
        """Rows of `log_mel`, by their place in the file."""
        return self.mel[first : first + count].astype(np.float32)
