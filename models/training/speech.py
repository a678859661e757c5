"""Sentences spoken by the espeak-ng synthesiser, with the time of every word.

The synthesiser and its voices come with the `espeakng-loader` wheel: nothing has to be installed on the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from models.training.grammar import split_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000

_FRAME = 80  # samples: 5 ms, the grid on which loudness is looked at
_QUIET_DB = 38  # below the loudest moment by more than this is no speech


class Word(NamedTuple):
    """A word with the seconds at which it begins and ends."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice by the name espeak-ng knows it under; words a minute; pitch and its range from 0 to 99."""

    name: str
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken sentence: mono at 16 kHz from -1 to 1, no silence around it, words timed from its first sample."""

    audio: Samples
    words: tuple[Word, ...]
    text: str
    voice: str


class Speaker:
    """A synthesiser to say sentences with, as `with Speaker() as speaker:`.

    The same sentences in the same order by a new speaker give the same samples; the second of two sentences depends on
    the first.
    """

    def __enter__(self) -> Self:
        import espeakng_loader  # type: ignore[import-untyped]

        program = Path(__file__).with_name("espeak.py")
        places = (espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
        command = [sys.executable, "-I", "-S", str(program), *places]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)

    def speak(self, text: str, voice: Voice) -> Speech:
        """A sentence, cut to where its first word begins and its last one ends, its loudest sample at 0.7.

        Word starts are as espeak-ng reports them; ends are where the sound of the word stops, in steps of 5 ms.

        Raises:
            ValueError: espeak-ng has no such voice, or the text has no word.
            RuntimeError: espeak-ng has died.
        """
        if not split_words(text):
            raise ValueError("there is no word to speak")
        audio, starts = self._answer(text, voice)
        return _trimmed(audio, _word_spans(text, starts, len(audio) / SAMPLE_RATE), text, voice.name)

    def _answer(self, text: str, voice: Voice) -> tuple[Samples, list[tuple[int, float]]]:
        import numpy as np

        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("espeak-ng runs without pipes")
        settings = {"rate": voice.rate, "pitch": voice.pitch, "pitch_range": voice.pitch_range}
        stdin.write(json.dumps({"text": text, "voice": voice.name, **settings}).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("espeak-ng has died")
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        sound = np.frombuffer(stdout.read(2 * answer["samples"]), np.int16).astype(np.float32) / np.float32(32768)
        rate = answer["sample_rate"]
        return resample(sound, rate), [(place, sample / rate) for place, sample in answer["starts"]]


def resample(audio: Samples, source_rate: int, target_rate: int = SAMPLE_RATE) -> Samples:
    """The same sound at another rate, by cutting or padding its spectrum; meant for seconds, not for hours."""
    import numpy as np

    if source_rate == target_rate:
        return audio
    # Whole 20 ms steps exist at both rates; a power of two of them keeps the transform fast.
    step, steps = source_rate // 50, 16
    while steps * step < len(audio):
        steps += 16
    spectrum = np.fft.rfft(audio, steps * step)
    length = steps * (target_rate // 50)
    out = np.fft.irfft(spectrum[: length // 2 + 1], length) * (length / (steps * step))
    return out[: round(len(audio) * target_rate / source_rate)].astype(np.float32)


def _word_spans(text: str, starts: list[tuple[int, float]], duration: float) -> list[Word]:
    """Words from the synthesiser's announcements: a group it announced as one ("of the") is shared out by letters."""
    places: list[tuple[int, str]] = []
    position = 0
    for word in split_words(text):
        position = text.index(word, position)
        places.append((position, word))
        position += len(word)
    begin: list[float | None] = [None] * len(places)
    for at, seconds in starts:
        for index, (place, word) in enumerate(places):
            if place <= at < place + len(word) and begin[index] is None:
                begin[index] = seconds
    begin[0] = begin[0] or 0.0
    spans: list[Word] = []
    first = 0
    while first < len(places):
        after = first + 1
        while after < len(places) and begin[after] is None:
            after += 1
        start = begin[first] or 0.0
        end = duration if after == len(places) else begin[after] or 0.0
        spans += _shared_out([word for _, word in places[first:after]], start, end)
        first = after
    return spans


def _shared_out(words: list[str], start: float, end: float) -> list[Word]:
    letters = sum(map(len, words))
    spans, done = [], 0
    for word in words:
        begin = start + (end - start) * done / letters
        done += len(word)
        spans.append(Word(begin, start + (end - start) * done / letters, word))
    return spans


def _drawn_in(words: list[Word], audio: Samples) -> list[Word]:
    """Words without the pauses around them: the synthesiser announces where words begin, not where they stop."""
    import numpy as np

    loudness = np.sqrt(np.convolve(audio**2, np.ones(4 * _FRAME) / (4 * _FRAME), "same"))[::_FRAME]
    loud = loudness > loudness.max() * 10 ** (-_QUIET_DB / 20)
    per_second = SAMPLE_RATE / _FRAME
    drawn = []
    for start, end, text in words:
        first = int(start * per_second)
        last = max(first + 2, min(int(end * per_second), len(loud)))
        heard = np.flatnonzero(loud[first:last])
        if len(heard):
            onset, offset = float(first + heard[0]) / per_second, float(first + heard[-1] + 1) / per_second
            start = max(start, onset - 0.01) if onset - start > 0.05 else start
            end = min(end, offset + 0.01)
        drawn.append(Word(start, end, text))
    return drawn


def _trimmed(audio: Samples, spans: list[Word], text: str, voice: str) -> Speech:
    import numpy as np

    words = _drawn_in(spans, audio)
    first, last = int(words[0].start * SAMPLE_RATE), min(len(audio), int(words[-1].end * SAMPLE_RATE))
    cut = first / SAMPLE_RATE
    audio = audio[first:last]
    audio = (audio * (0.7 / max(float(np.abs(audio).max()), 1e-6))).astype(np.float32)
    timed = tuple(Word(round(max(0.0, start - cut), 4), round(end - cut, 4), word) for start, end, word in words)
    return Speech(audio, timed, text, voice)
