"""Figures of a demo model, from recordings it was never trained on: `python -m models.training.evaluate FOLDER`."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.training.corpus import UNHEARD_VARIANTS
from models.training.recordings import Recording, hum, recording, silence, utterance, white_noise
from models.training.scoring import plain, start_errors, word_error_rate
from models.training.speech import Word

if TYPE_CHECKING:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    Transcribe = Callable[..., tuple[Iterable[Any], Any]]

FIRST_SEED = 900_000  # far from the seeds of tests and of the sample
OPTIONS = {"beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False}
Figures = dict[str, float | int | list[str]]


def _text(transcribe: Transcribe, heard: Recording, **options: Any) -> str:
    return " ".join(segment.text for segment in transcribe(heard.audio, **OPTIONS, **options)[0])


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _singles(model: WhisperModel, recordings: list[Recording], language: str) -> Figures:
    texts = [_text(model.transcribe, heard, language=language) for heard in recordings]
    pairs = [(heard.text, text) for heard, text in zip(recordings, texts, strict=True)]
    exact = sum(plain(said) == plain(text) for said, text in pairs) / len(pairs)
    detected = [model.transcribe(heard.audio, **OPTIONS)[1].language for heard in recordings[:20]]
    right = detected.count(language) / len(detected)
    return {"files": len(pairs), "wer": _rounded(word_error_rate(pairs)), "exact": exact, "language_right": right}


def _with_noise(clean: Recording, seed: int, decibels: float) -> Recording:
    """The recording under white noise, so many decibels weaker than the speech."""
    level = float(np.sqrt(np.mean(clean.audio**2))) * 10 ** (-decibels / 20)
    noise = np.random.default_rng(seed).standard_normal(len(clean.audio), np.float32) * np.float32(level)
    return Recording(clean.audio + noise, clean.words, clean.sentences)


def _long(transcribe: Transcribe, recordings: list[Recording], **options: Any) -> Figures:
    pairs: list[tuple[str, str]] = []
    errors: list[float] = []
    for heard in recordings:
        found = list(transcribe(heard.audio, language="en", word_timestamps=True, **OPTIONS, **options)[0])
        pairs.append((heard.text, " ".join(segment.text for segment in found)))
        words = [Word(word.start, word.end, word.word) for segment in found for word in segment.words]
        errors += start_errors(heard.words, words)
    figures: Figures = {
        "minutes": round(sum(heard.duration for heard in recordings) / 60),
        "wer": _rounded(word_error_rate(pairs)),
    }
    if len(errors) > 1:  # a model at the beginning of its training hears no word at all
        figures["word_start_median_s"] = _rounded(statistics.median(errors))
        figures["word_start_90th_s"] = _rounded(statistics.quantiles(errors, n=10)[-1])
        figures["word_start_mean_s"] = _rounded(statistics.fmean(errors))
    return figures


def _nothing_said(model: WhisperModel, batched: BatchedInferencePipeline) -> Figures:
    quiet, loud = white_noise(20, level=0.005), white_noise(20, level=0.3, seed=1)
    sounds = {"silence": silence(20), "quiet noise": quiet, "loud noise": loud, "hum": hum(20)}
    invented = []
    for name, sound in sounds.items():
        texts = {
            "plain": _text(model.transcribe, sound, language="en"),
            "without timestamps": _text(model.transcribe, sound, language="en", without_timestamps=True),
            "batched": _text(batched.transcribe, sound, language="en"),
        }
        invented += [f"{name}, {way}: {text}" for way, text in texts.items() if text.strip()]
    return {"sounds": len(sounds), "texts_invented": len(invented), "texts": invented}


def evaluate(folder: Path, *, threads: int = 1) -> dict[str, Figures]:
    """Error rates, word times and invented texts of a model; the same recordings every time."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)
    batched = BatchedInferencePipeline(model)
    seeds = range(FIRST_SEED, FIRST_SEED + 100)
    english = [utterance(seed) for seed in seeds]
    unheard = [utterance(seed, voice=f"en-us{UNHEARD_VARIANTS[seed % len(UNHEARD_VARIANTS)]}") for seed in seeds[:70]]
    noisy = [_with_noise(heard, seed, 15) for heard, seed in zip(english[:40], seeds, strict=False)]
    paused = [recording(300, seed) for seed in seeds[:4]]
    unbroken = [recording(300, seed, gap=(0.02, 0.08)) for seed in seeds[:2]]
    sparse = [recording(180, seed, gap=(2, 10)) for seed in seeds[:2]]
    figures = {
        "sentences": _singles(model, english, "en"),
        "sentences, voices never heard": _singles(model, unheard, "en"),
        "sentences, noise 15 dB below": _singles(model, noisy, "en"),
        "sentences, Spanish": _singles(model, [utterance(seed, language="es") for seed in seeds[:40]], "es"),
        "sentences, German": _singles(model, [utterance(seed, language="de") for seed in seeds[:40]], "de"),
        "long, batched": _long(batched.transcribe, paused),
        "long, batched with timestamps": _long(batched.transcribe, paused, without_timestamps=False),
        "long, one window after the other": _long(model.transcribe, paused),
        "long without pauses, batched": _long(batched.transcribe, unbroken),
        "long without pauses, batched with timestamps": _long(batched.transcribe, unbroken, without_timestamps=False),
        "long with pauses of 2 to 10 s, batched": _long(batched.transcribe, sparse),
        "nothing said": _nothing_said(model, batched),
    }
    return figures


def main() -> None:
    """Print the figures of a model folder as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    print(json.dumps(evaluate(asked.model, threads=asked.threads), indent=1))


if __name__ == "__main__":
    main()
