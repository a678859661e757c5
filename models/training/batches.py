"""What the model is to answer for a window, and batches of windows with their answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.training import tokens as ids
from models.training.tokens import STEPS_PER_SECOND, Phrase, Vocabulary
from models.training.windows import Arrangement, Source, arrange, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

LETTERS = {letter: number + 1 for number, letter in enumerate("abcdefghijklmnopqrstuvwxyzáéíóúñäöüß")}
LETTER_CLASSES = 40
_LONGEST_PROMPT = 223  # tokens of earlier text that Whisper accepts
_NOWHERE = -1.0


@dataclass(slots=True)
class Answer:
    """A token sequence as rows of the vocabulary, and per target where in the sound (steps of 20 ms) it is spoken."""

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    weight: NDArray[np.float32]
    span_from: NDArray[np.float32]
    span_to: NDArray[np.float32]
    exact: NDArray[np.float32]


@dataclass(slots=True)
class Batch:
    """Windows stacked for one step; a window may have several answers, which follow one another."""

    mel: torch.Tensor
    shift: torch.Tensor
    frame_tokens: torch.Tensor
    frame_letters: torch.Tensor
    inputs: torch.Tensor
    targets: torch.Tensor
    weight: torch.Tensor
    span_from: torch.Tensor
    span_to: torch.Tensor
    exact: torch.Tensor


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the batches of a step are made."""

    windows: int
    frames: int
    floating: bool
    prompts: float  # share of batches with earlier text in front
    untimed_only: float  # share of batches in which only the answer without timestamps is asked for


class _Sequence:
    """A token sequence under construction, each token with its span of 20 ms steps."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.spans: list[tuple[float, float]] = []

    def put(self, token: int, start: float = _NOWHERE, end: float = _NOWHERE) -> None:
        self.tokens.append(token)
        self.spans.append((start, end))

    def put_time(self, seconds: float, shift: int, around: tuple[int, int]) -> None:
        step = min(ids.TIMES - 1, max(0, round(seconds * STEPS_PER_SECOND) + shift))
        at = seconds * STEPS_PER_SECOND
        self.put(ids.FIRST_TIME + step, at + around[0], at + around[1])


def answer(
    rng: random.Random, vocabulary: Vocabulary, heard: Arrangement, prompt: list[int], *, timed: bool, floating: bool
) -> Answer:
    """The sequence that transcribes a window, after a prompt of earlier text or none."""
    written = _Sequence()
    spoken = bool(heard.placed)
    written.put(ids.START)
    written.put(ids.LANGUAGE_TOKENS[heard.language] if spoken else ids.NO_SPEECH)
    written.put(ids.TRANSCRIBE)
    if not timed:
        written.put(ids.NO_TIMESTAMPS)
    elif not spoken:
        written.put(ids.FIRST_TIME)
    last = _write_phrases(written, heard, timed=timed)
    if spoken:
        end = last * STEPS_PER_SECOND
        written.put(ids.END, end + 1, min(heard.frames // 2, end + 40))
    else:
        written.put(ids.END)
    return _as_answer(rng, vocabulary, heard, written, prompt, timed=timed, floating=floating)


def _write_phrases(written: _Sequence, heard: Arrangement, *, timed: bool) -> float:
    """Write what is said; gives back the second at which the last written word ends."""
    last = 0.0
    starts = [at / 100 + phrase.words[0][0] for at, phrase in heard.placed]
    if heard.unfinished:
        starts.append(heard.unfinished[0] / 100 + heard.unfinished[1].words[0][0])
    for index, (at, phrase) in enumerate(heard.placed):
        begin, end = at / 100 + phrase.words[0][0], at / 100 + phrase.words[-1][1]
        following = starts[index + 1] if index + 1 < len(starts) else None
        if timed:
            written.put_time(begin, heard.shift, (-3, 4))
        for token in phrase.tokens:
            start, stop = token.start + at / 100, token.end + at / 100
            if not token.spoken and following is not None and start > end - 0.1:
                # The full stop holds the pause, or the next word would be said to begin in it.
                stop = max(stop, min(following - 0.04, end + 6))
            written.put(token.id, start * 50, max(stop * 50, start * 50 + 2))
        if timed:
            written.put_time(end, heard.shift, (-4, 3))
        last = end
    if heard.unfinished:
        last = _write_unfinished(written, heard, *heard.unfinished, timed=timed) or last
    return last


def _write_unfinished(written: _Sequence, heard: Arrangement, at: int, phrase: Phrase, *, timed: bool) -> float | None:
    """A sentence that the window's end cuts: only its start with timestamps, without them the words that are whole."""
    if timed:
        written.put_time(at / 100 + phrase.words[0][0], heard.shift, (-3, 4))
        return None
    last = None
    for token in phrase.tokens:
        start, stop = token.start + at / 100, token.end + at / 100
        if stop > heard.frames / 100 - 0.05:
            break
        written.put(token.id, start * 50, max(stop * 50, start * 50 + 2))
        last = stop
    return last


def _as_answer(
    rng: random.Random,
    vocabulary: Vocabulary,
    heard: Arrangement,
    written: _Sequence,
    prompt: list[int],
    *,
    timed: bool,
    floating: bool,
) -> Answer:
    full = np.array([vocabulary.row(token) for token in prompt + written.tokens])
    spans = np.array([(_NOWHERE, _NOWHERE)] * len(prompt) + written.spans, np.float32)
    before, inputs = len(prompt), full[:-1].copy()
    weight = np.ones(len(inputs), np.float32)
    weight[:before] = 0
    exact = np.zeros(len(inputs), np.float32)
    if not heard.placed:  # decoders force a language on silence too
        inputs[before + 1] = vocabulary.row(ids.LANGUAGE_TOKENS[rng.choice(list(ids.LANGUAGE_TOKENS))])
    if timed:
        exact[before + 2] = 1
        one_second = vocabulary.row(ids.FIRST_TIME + STEPS_PER_SECOND)
        if heard.placed and not floating and full[before + 3] > one_second and rng.random() < 0.7:
            # Decoders allow no first time after 1.00: be ready to go on from what they write instead.
            inputs[before + 3] = one_second if rng.random() < 0.4 else one_second - rng.randint(0, STEPS_PER_SECOND)
    else:
        weight[before + 2] = 0  # that no timestamps follow is always forced
    return Answer(inputs, full[1:], weight, spans[1:, 0], spans[1:, 1], exact)


def _prompt(rng: random.Random, source: Source, language: str, *, timed: bool) -> list[int]:
    """Earlier text as Whisper is given it: some sentences, with their times where the answer has them."""
    written: list[int] = []
    for _ in range(rng.randint(1, 8) if rng.random() < 0.4 else rng.randint(8, 26)):
        phrase = rng.choice(source.by_kind[language])
        start = rng.randint(0, 1300)
        text = [token.id for token in phrase.tokens]
        end = min(ids.TIMES - 1, start + phrase.frames // 2)
        written += [ids.FIRST_TIME + start, *text, ids.FIRST_TIME + end] if timed else text
    return [ids.PREVIOUS, *written[-_LONGEST_PROMPT:]]


def frame_labels(vocabulary: Vocabulary, heard: Arrangement) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every 20 ms the token and the letter being spoken, 0 for none, -1 for do not ask."""
    steps = heard.frames // 2
    spoken, letters = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for at, phrase in heard.placed:
        for token in phrase.tokens:
            if token.spoken:
                first, last = (token.start + at / 100) * 50, (token.end + at / 100) * 50
                spoken[int(first) : max(int(last), int(first) + 1)] = vocabulary.row(token.id)
        for start, end, word in phrase.words:
            first, last = (start + at / 100) * 50, (end + at / 100) * 50
            middle = np.arange(int(first), max(int(last), int(first) + 1)) + 0.5
            place = np.clip((middle - first) / max(last - first, 0.1) * len(word), 0, len(word) - 1).astype(int)
            codes = np.array([LETTERS.get(letter, 0) for letter in word.lower()])[place]
            room = letters[int(first) : int(first) + len(codes)]
            room[:] = codes[: len(room)]
    if heard.unfinished:
        spoken[heard.unfinished[0] // 2 :] = letters[heard.unfinished[0] // 2 :] = -1
    return spoken, letters


def make_batch(rng: random.Random, source: Source, vocabulary: Vocabulary, recipe: Recipe) -> Batch:
    """Windows of one length and their answers: with and without timestamps for whole windows, one of both for short."""
    prompted = rng.random() < recipe.prompts
    untimed = rng.random() < recipe.untimed_only
    windows, answers = [], []
    for _ in range(recipe.windows):
        heard = arrange(rng, source, recipe.frames, floating=recipe.floating)
        windows.append((render(rng, source, heard), *frame_labels(vocabulary, heard), heard.shift))
        modes = [rng.random() < 0.6] if recipe.floating else [False] if untimed else [True, False]
        for timed in modes:
            prompt = _prompt(rng, source, heard.language, timed=timed) if prompted else []
            answers.append(answer(rng, vocabulary, heard, prompt, timed=timed, floating=recipe.floating))
    mel, spoken, letters, shift = zip(*windows, strict=True)
    stacked = {field.name: _padded(vocabulary, answers, field.name) for field in fields(Answer)}
    return Batch(_stack(mel), torch.tensor(shift), _stack(spoken), _stack(letters), **stacked)


def _stack(arrays: tuple[NDArray[np.generic], ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))


def _padded(vocabulary: Vocabulary, answers: list[Answer], name: str) -> torch.Tensor:
    filler = {"inputs": vocabulary.row(ids.END), "targets": vocabulary.row(ids.END), "weight": 0, "exact": 0}
    columns = [getattr(answer, name) for answer in answers]
    longest = max(map(len, columns))
    padded = np.full((len(columns), longest), filler.get(name, _NOWHERE), columns[0].dtype)
    for row, column in zip(padded, columns, strict=True):
        row[: len(column)] = column
    return torch.from_numpy(padded)
