"""What happens to speech on its way to a recording: rooms, microphones, noise, hum and music. Numpy only."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np

from models.training.speech import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

SILENT = 1e-9
_NOTE = 440.0


def level(audio: Samples) -> float:
    """Root mean square; never nought, so that it can be divided by."""
    return max(math.sqrt(float(np.mean(np.square(audio, dtype=np.float32)))) if len(audio) else 0.0, SILENT)


def transform_length(samples: int) -> int:
    """A length at least as long that the Fourier transform is fast for."""
    step = 1 << max(0, samples.bit_length() - 4)
    return -(-samples // step) * step


def room(rng: random.Random) -> Samples:
    """The impulse response of a room: the direct sound, then noise that dies away within half a second."""
    generator = np.random.default_rng(rng.getrandbits(32))
    decay = rng.uniform(0.1, 0.5)
    length = int(min(decay, 0.35) * SAMPLE_RATE)
    tail = generator.standard_normal(length, np.float32)
    tail *= np.exp(-6.9 * np.arange(length, dtype=np.float32) / np.float32(decay * SAMPLE_RATE))
    tail[: SAMPLE_RATE // 500] = 0
    tail *= np.float32(rng.uniform(0.1, 0.6) / (level(tail) * math.sqrt(length)))
    tail[0] = 1
    return tail


def moved(response: Samples, rng: random.Random) -> Samples:
    """The same room from another seat: nearer to the microphone or farther from it."""
    elsewhere = response * np.float32(rng.uniform(0.5, 1.2))
    elsewhere[0] = 1
    return elsewhere


def filtered(audio: Samples, response: Samples) -> Samples:
    """Sound through an impulse response, its tail cut off at the sound's own end."""
    length = transform_length(len(audio) + len(response))
    spectrum = np.fft.rfft(audio, length) * np.fft.rfft(response, length)
    return np.fft.irfft(spectrum, length)[: len(audio)].astype(np.float32)


def microphone(rng: random.Random, frequencies: Samples) -> Samples:
    """The gain of a microphone or a line at each frequency: flat, tilted, or limited to a band as a telephone is."""
    draw = rng.random()
    if draw < 0.35:
        return np.ones_like(frequencies)
    if draw < 0.7:
        tilt = rng.uniform(-0.5, 0.5)
        return np.asarray((np.maximum(frequencies, 100) / 1000) ** tilt, np.float32)
    low, high = rng.choice(((0, 3800), (100, 7000), (300, 3400), (60, 5500), (0, 4500)))
    gain = 1 / (1 + (frequencies / high) ** 10)
    if low:
        gain = gain / (1 + (low / np.maximum(frequencies, 1)) ** 6)
    return np.asarray(gain, np.float32)


def coloured_noise(samples: int, rng: random.Random) -> Samples:
    """Noise between white and deep brown, with a level of one; its end goes on at its beginning without a seam."""
    generator = np.random.default_rng(rng.getrandbits(32))
    white = generator.standard_normal(samples, np.float32)
    if rng.random() < 0.3:
        return white
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20).astype(np.float32)
    spectrum = np.fft.rfft(white) / frequencies ** np.float32(rng.uniform(0.3, 1.3))
    noise = np.fft.irfft(spectrum, samples).astype(np.float32)
    return np.asarray(noise / np.float32(level(noise)), np.float32)


def hum(samples: int, rng: random.Random) -> Samples:
    """The mains in a cable, sometimes with crackle on top; a level of one."""
    time = np.arange(samples, dtype=np.float32) / np.float32(SAMPLE_RATE)
    pitch = rng.choice((50.0, 60.0, 100.0, 120.0))
    overtones = range(1, rng.randint(2, 9))
    tone = sum(np.sin(2 * math.pi * pitch * step * time + step) / step for step in overtones)
    tone = np.asarray(tone, np.float32)
    if rng.random() < 0.4:
        generator = np.random.default_rng(rng.getrandbits(32))
        ticks = np.abs(np.sin(2 * math.pi * rng.uniform(0.2, 3) * time)) > 0.97
        tone = tone + 2 * generator.standard_normal(samples, np.float32) * ticks
    return np.asarray(tone / np.float32(level(tone)), np.float32)


def melody(samples: int, rng: random.Random) -> Samples:
    """Notes and chords that are struck and die away, like a music box or an organ; a level of one."""
    audio = np.zeros(samples, np.float32)
    at, pace = 0, rng.uniform(0.12, 0.7)
    overtones, decay = rng.randint(1, 8), rng.choice((0.4, 1.0, 5.0))
    while at < samples:
        length = min(samples - at, round(rng.uniform(1, 4) * pace * SAMPLE_RATE))
        time = np.arange(length, dtype=np.float32) / np.float32(SAMPLE_RATE)
        envelope = np.minimum(time * 50, 1) * np.exp(-time / np.float32(decay * pace))
        for _ in range(rng.choice((1, 1, 2, 3))):
            pitch = _NOTE * 2 ** (rng.randint(-24, 19) / 12)
            heard = (step for step in range(1, overtones + 1) if pitch * step < 0.45 * SAMPLE_RATE)
            tone = sum(np.sin(2 * math.pi * pitch * step * time) / step**1.3 for step in heard)
            audio[at : at + length] += np.asarray(envelope * tone, np.float32)
        at += max(1, round(pace * SAMPLE_RATE * rng.choice((0.5, 1, 1, 2))))
    return np.asarray(audio / np.float32(level(audio)), np.float32)


def knocks(samples: int, rng: random.Random) -> Samples:
    """Bursts of noise: keys, steps, doors, paper; a level of one."""
    audio = np.zeros(samples, np.float32)
    at = round(rng.uniform(0, 1) * SAMPLE_RATE)
    while at < samples:
        length = min(samples - at, round(rng.choice((0.01, 0.05, 0.2, 0.6)) * rng.uniform(0.5, 2) * SAMPLE_RATE))
        fading = np.exp(-np.linspace(0, rng.uniform(1, 7), length, dtype=np.float32))
        if length > 64:
            audio[at : at + length] += coloured_noise(length, rng) * fading * np.float32(rng.uniform(0.2, 1))
        at += length + round(rng.expovariate(1 / 0.8) * SAMPLE_RATE)
    return np.asarray(audio / np.float32(level(audio)), np.float32)


def no_speech(samples: int, rng: random.Random) -> Samples:
    """A sound nobody makes with a voice, from barely there to loud; one time in twelve digital silence."""
    kind = rng.choices((coloured_noise, hum, melody, knocks, None), (5, 2, 3, 1, 1))[0]
    if kind is None:
        return np.zeros(samples, np.float32)
    return np.asarray(kind(samples, rng) * np.float32(10 ** (-rng.uniform(12, 76) / 20)), np.float32)
