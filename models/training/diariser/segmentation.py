"""Training of the network that says who of at most three speaks when in ten seconds."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.training.diariser.mixing import AT_MOST, STEPS, chunk

if TYPE_CHECKING:
    from models.training.diariser.mixing import Chunk, Speech

BATCH = 24
_CHECKED = 96  # chunks
_SETS = tuple(chosen for size in range(3) for chosen in combinations(range(AT_MOST), size))  # of pyannote's powerset
_ORDERS = tuple(permutations(range(AT_MOST)))
_QUIETER, _LOUDER = -12.0, 6.0  # decibels


def _classes() -> np.ndarray[Any, Any]:
    """The class of each set of speakers, by the sum of their bits; of three at once the first two count."""
    table = np.zeros(1 << AT_MOST, np.int64)
    for number, chosen in enumerate(_SETS):
        table[sum(1 << who for who in chosen)] = number
    table[-1] = table[0b011]
    return table


_CLASSES = _classes()


def frame_steps(network: Any, frames: int) -> np.ndarray[Any, Any]:
    """Which of the 10 ms steps lies in the middle of each frame of the network."""
    field = network.receptive_field
    middles = field.start + field.duration / 2 + field.step * np.arange(frames)
    return np.minimum((middles * 100).astype(np.int64), STEPS - 1)


def _targets(activity: np.ndarray[Any, Any]) -> Tensor:
    """Classes (orders, batch, frames) of activity (batch, frames, speakers), for every order of the speakers."""
    bits = 1 << np.arange(AT_MOST)
    return torch.from_numpy(np.stack([_CLASSES[activity[..., list(order)] @ bits] for order in _ORDERS]))


def _batch(chunks: list[Chunk], rng: random.Random) -> tuple[Tensor, np.ndarray[Any, Any]]:
    """Sound (batch, 1, samples) at different levels and polarities, and activity (batch, steps, speakers)."""
    gains = [rng.choice((-1, 1)) * 10 ** (rng.uniform(_QUIETER, _LOUDER) / 20) for _ in chunks]
    sound = np.stack([made.audio * np.float32(gain) for made, gain in zip(chunks, gains, strict=True)])
    return torch.from_numpy(sound)[:, None], np.stack([made.activity for made in chunks])


def freeze_filters(network: Any) -> None:
    """Leave the very first layer as it is: its band filters are good from the start and cost half a step to learn."""
    for part in (network.sincnet.wav_norm1d, network.sincnet.conv1d[0]):
        for weights in part.parameters():
            weights.requires_grad_(False)


def loss_of(network: Any, pool: Speech) -> Callable[[random.Random, float], tuple[Tensor, dict[str, float]]]:
    """A function that draws chunks and gives the loss on them, in the order of speakers that fits best."""

    def loss(rng: random.Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        del progress
        sound, activity = _batch([chunk(pool, rng) for _ in range(BATCH)], rng)
        with torch.autocast("cpu", torch.bfloat16):
            told = network(sound).float()
        wanted = _targets(activity[:, frame_steps(network, told.shape[1])])
        each = torch.stack(
            [
                functional.nll_loss(told.flatten(0, 1), order.flatten(), reduction="none").view(order.shape).mean(1)
                for order in wanted
            ]
        )
        total = each.min(0).values.mean()
        return total, {"loss": total.item()}

    return loss


def check_of(network: Any, pool: Speech) -> Callable[[], dict[str, float]]:
    """A function that measures the network on always the same chunks of a pool."""
    rng = random.Random("check of the segmentation")
    chunks = [chunk(pool, rng) for _ in range(_CHECKED)]

    def check() -> dict[str, float]:
        missed = false = confused = spoken = invented = nobody = 0
        for start in range(0, len(chunks), BATCH):
            part = chunks[start : start + BATCH]
            told = network(torch.from_numpy(np.stack([made.audio for made in part]))[:, None])
            heard = _speakers(told)
            steps = frame_steps(network, heard.shape[1])
            for one, made in zip(heard, part, strict=True):
                truth = made.activity[steps].astype(np.int64)
                errors = min((_errors(truth, one[:, list(order)]) for order in _ORDERS), key=sum)
                missed, false, confused = missed + errors[0], false + errors[1], confused + errors[2]
                spoken += int(truth.sum())
                if not made.people:
                    nobody += truth.shape[0]
                    invented += int(one.any(1).sum())
        figures = {"missed": missed, "false": false, "confused": confused, "der": missed + false + confused}
        return {name: count / spoken for name, count in figures.items()} | {"invented": invented / max(1, nobody)}

    return check


def _speakers(told: Tensor) -> np.ndarray[Any, Any]:
    table = np.zeros((len(_SETS), AT_MOST), np.int64)
    for number, members in enumerate(_SETS):
        table[number, list(members)] = 1
    return table[told.argmax(-1).numpy()]


def _errors(truth: np.ndarray[Any, Any], heard: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    """Frames of speakers missed, heard where nobody is, and taken for another."""
    said, told, right = truth.sum(1), heard.sum(1), (truth * heard).sum(1)
    confused = np.minimum(said, told) - right
    return int(np.maximum(said - told, 0).sum()), int(np.maximum(told - said, 0).sum()), int(confused.sum())
