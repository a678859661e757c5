"""Recordings with true word times, spoken on the spot in sentences that no demo model was trained on.

    recording(300, seed=1)                     five minutes, pauses between the sentences, a faint hiss underneath
    recording(300, seed=1, gap=(0.02, 0.08))   speech without a pause to cut in
    utterance(7)                               one sentence
    silence(20), white_noise(20), hum(20)      nothing to transcribe

The same arguments give the same samples. Write any of them with `.write(path)`.
"""

from __future__ import annotations

import math
import random
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.training.grammar import held_out_sentence
from models.training.speech import SAMPLE_RATE, Speaker, Speech, Voice, Word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

# espeak-ng voices the shipped model was trained on; the sentences are new to it.
VOICES = {
    "en": ("en-us", "en-us+f1", "en-us+f3", "en-us+m3", "en-gb-x-rp", "en-us+m7"),
    "es": ("es", "es-419", "es+f2", "es+m3"),
    "de": ("de", "de+f2", "de+m3"),
}
UNBROKEN_GAP = 0.1  # seconds; below it a sentence with a comma would pause longer than the speaker between sentences
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a recording: when it is spoken, what is said, by which voice."""

    start: float
    end: float
    text: str
    voice: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Sound and the truth about it: mono 16 kHz from -1 to 1 (exact 16-bit steps), times in seconds."""

    audio: Samples
    words: list[Word] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that is said, in order."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.audio) / SAMPLE_RATE

    def write(self, path: str | Path, *, times: int = 1) -> Path:
        """The path, now with the sound `times` over: 16-bit WAV, or FLAC, MP3 or Ogg Opus by the extension."""
        path = Path(path)
        if path.suffix.lower() == ".wav":
            self._write_wav(path, times)
        else:
            self._encode(path, times)
        return path

    def _blocks(self, times: int) -> Iterable[NDArray[np.int16]]:
        for _ in range(times):
            for start in range(0, len(self.audio), _BLOCK):
                yield np.rint(self.audio[start : start + _BLOCK] * 32768).astype(np.int16)

    def _write_wav(self, path: Path, times: int) -> None:
        with wave.open(str(path), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(SAMPLE_RATE)
            for block in self._blocks(times):
                out.writeframes(block.tobytes())

    def _encode(self, path: Path, times: int) -> None:
        import av

        codec = {".flac": "flac", ".mp3": "libmp3lame", ".ogg": "libopus", ".opus": "libopus"}[path.suffix.lower()]
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream(codec, rate=SAMPLE_RATE)
            stream.layout = "mono"
            for block in self._blocks(times):
                frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
                frame.sample_rate = SAMPLE_RATE
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


def utterance(
    seed: int, *, voice: str | None = None, language: str = "en", lead: tuple[float, float] = (0.2, 0.5)
) -> Recording:
    """One sentence after `lead` seconds of silence (drawn between the two), with 0.4 s of silence behind it."""
    rng = random.Random(f"utterance {seed} {language}")
    voices = (voice,) if voice else VOICES[language]
    before = round(rng.uniform(*lead) * SAMPLE_RATE)
    with Speaker() as speaker:
        speech = speaker.speak(held_out_sentence(rng, language), _spoken_by(rng.choice(voices), rng))
    length = before + len(speech.audio) + round(0.4 * SAMPLE_RATE)
    return _assembled([(before, speech)], length)


def recording(
    seconds: float,
    seed: int,
    *,
    voices: Sequence[str] | None = None,
    gap: tuple[float, float] = (0.25, 1.5),
    language: str = "en",
    noise: float = 0.001,
) -> Recording:
    """Sentences one after the other until the recording is `seconds` long (the last one is spoken to its end).

    Args:
        seconds: The least duration.
        seed: What is said, by whom and how, and the noise.
        voices: Names of espeak-ng voices, one drawn for each sentence; those of `VOICES` unless given.
        gap: Least and greatest silence between two sentences in seconds. With a greatest gap of at most
            `UNBROKEN_GAP` no sentence has a comma either: nowhere is there a pause to cut in.
        language: A key of `VOICES`.
        noise: Level (root mean square) of white noise under everything; 0 gives digital silence in the gaps.
    """
    rng = random.Random(f"recording {seed} {language}")
    voices = voices or VOICES[language]
    pieces: list[tuple[int, Speech]] = []
    at = round(rng.uniform(0.2, 0.5) * SAMPLE_RATE)
    with Speaker() as speaker:
        while at < seconds * SAMPLE_RATE:
            text = held_out_sentence(rng, language, unbroken=gap[1] <= UNBROKEN_GAP)
            speech = speaker.speak(text, _spoken_by(rng.choice(voices), rng))
            pieces.append((at, replace(speech, audio=speech.audio * np.float32(rng.uniform(0.6, 1.0)))))
            at += len(speech.audio) + round(rng.uniform(*gap) * SAMPLE_RATE)
    return _assembled(pieces, at, noise=noise, seed=seed)


def conversation(
    lines: Sequence[tuple[str, str]], seed: int, *, gap: tuple[float, float] = (0.3, 0.8), noise: float = 0.001
) -> Recording:
    """Given sentences, each said by the voice named before it; `gap` and `noise` as in `recording`."""
    rng = random.Random(f"conversation {seed}")
    pieces: list[tuple[int, Speech]] = []
    at = round(rng.uniform(0.2, 0.5) * SAMPLE_RATE)
    with Speaker() as speaker:
        for name, text in lines:
            speech = speaker.speak(text, _spoken_by(name, rng))
            pieces.append((at, speech))
            at += len(speech.audio) + round(rng.uniform(*gap) * SAMPLE_RATE)
    return _assembled(pieces, at, noise=noise, seed=seed)


def silence(seconds: float) -> Recording:
    """Digital silence."""
    return Recording(np.zeros(round(seconds * SAMPLE_RATE), np.float32))


def white_noise(seconds: float, *, level: float = 0.1, seed: int = 0) -> Recording:
    """White noise of that root mean square."""
    return _assembled([], round(seconds * SAMPLE_RATE), noise=level, seed=seed)


def hum(seconds: float, *, hertz: float = 50.0, level: float = 0.05) -> Recording:
    """A steady tone with its first overtones, as a bad cable gives."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = sum(np.sin(2 * math.pi * hertz * (1 + overtone) * time) / (1 + overtone) for overtone in range(4))
    return Recording(in_steps(np.asarray(level * tone, np.float32)))


def _spoken_by(name: str, rng: random.Random) -> Voice:
    return Voice(
        name, rate=round(rng.triangular(130, 190, 160)), pitch=rng.randint(35, 65), pitch_range=rng.randint(35, 65)
    )


def in_steps(audio: Samples) -> Samples:
    """The samples a 16-bit file can hold, so that sound in memory and on disk are one."""
    return np.rint(np.clip(audio, -1.0, 1.0) * 32767).astype(np.float32) / np.float32(32768)


def _assembled(pieces: Sequence[tuple[int, Speech]], length: int, *, noise: float = 0.0, seed: int = 0) -> Recording:
    if noise:
        audio = np.random.default_rng(seed).standard_normal(length, np.float32) * np.float32(noise)
    else:
        audio = np.zeros(length, np.float32)
    words: list[Word] = []
    sentences: list[Sentence] = []
    for at, speech in pieces:
        audio[at : at + len(speech.audio)] += speech.audio
        shift = at / SAMPLE_RATE
        words += [Word(round(shift + start, 4), round(shift + end, 4), word) for start, end, word in speech.words]
        end = shift + len(speech.audio) / SAMPLE_RATE
        sentences.append(Sentence(round(shift, 4), round(end, 4), speech.text, speech.voice))
    return Recording(in_steps(audio), words, sentences)
