"""Training of the network that says what a voice sounds like: alike for one person, different for two."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.diariser.mixing import STEPS, chunk
from models.training.diariser.networks import WIDTH

if TYPE_CHECKING:
    from models.training.diariser.mixing import Chunk, Speech

BATCH = 32
_SCALE, _MARGIN = 24.0, 0.2  # of the additive angular margin; the margin grows over the first third
_SHORTEST = 40  # steps of 10 ms for which a voice has to be heard
_CHECKED = 128  # chunks
_AIMS = 4  # sentences
_FLOOR = 1e-6  # under a square root whose slope would be infinite at nought


class Judge(nn.Module):
    """The network to train, with a direction for everybody to train on."""

    def __init__(self, network: Any, people: int) -> None:
        super().__init__()
        self.network = network
        self.directions = nn.Parameter(torch.randn(people, WIDTH) * 0.05)

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of the network alone."""
        return {name.removeprefix("network."): one for name, one in state.items() if name.startswith("network.")}


@torch.inference_mode()
def aim(judge: Judge, pool: Speech) -> None:
    """Point everybody's direction to where a trained network hears them, so that it need not begin anew."""
    rng = random.Random("where everybody is")
    judge.network.eval()
    for who in range(len(pool.cast)):
        heard = [judge.network(torch.from_numpy(pool.sentence(rng, who)[0])[None, None]) for _ in range(_AIMS)]
        mean = torch.nan_to_num(functional.normalize(torch.cat(heard)).mean(0))
        judge.directions.data[who] = 0.5 * mean


def _mask(activity: np.ndarray[Any, Any], who: int, rng: random.Random) -> np.ndarray[Any, Any] | None:
    """The steps a segmentation would hand over for a speaker: mostly those spoken alone, cut and frayed at times."""
    spoken = activity[:, who]
    alone = spoken & (activity.sum(1) < 2)
    mask = (alone if alone.sum() > _SHORTEST or rng.random() < 0.5 else spoken).copy()
    if rng.random() < 0.4:
        first = rng.randrange(STEPS // 2)
        mask[:first] = False
        mask[rng.randrange(first + STEPS // 3, STEPS + 1) :] = False
    if rng.random() < 0.4:
        mask = np.convolve(mask, np.ones(rng.randrange(5, 15)), "same") > 0
    return mask if mask.sum() >= _SHORTEST else None


def _pooled(frames: Tensor, masks: Tensor) -> Tensor:
    """Mean and deviation of frames (batch, channels, frames) under masks (batch, frames), as pyannote's pooling."""
    masks = functional.interpolate(masks[:, None], size=frames.shape[-1], mode="nearest")
    count = masks.sum(2).clamp(min=1)
    mean = (frames * masks).sum(2) / count
    square = ((frames - mean[..., None]) ** 2 * masks).sum(2) / (count - 1).clamp(min=1)
    return torch.cat([mean, (square + _FLOOR).sqrt()], 1)


def _banded(network: Any, sound: Tensor, rng: random.Random) -> Tensor:
    """Frames of the network; every other time without a band of frequencies, so that it leans on none."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        bands = network.compute_fbank(sound)
        if rng.random() < 0.5:
            first = rng.randrange(bands.shape[2] - 6)
            bands[:, :, first : first + rng.randrange(2, 7)] = 0
    return network.tdnn(bands.transpose(1, 2))


def loss_of(judge: Judge, pool: Speech) -> Callable[[random.Random, float], tuple[Tensor, dict[str, float]]]:
    """A function that draws chunks and gives the loss of naming everybody in them."""

    def loss(rng: random.Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        chunks = [chunk(pool, rng, rng.choice((1, 2, 2, 3, 3))) for _ in range(BATCH)]
        places, masks, people = [], [], []
        for place, made in enumerate(chunks):
            for column, person in enumerate(made.people):
                mask = _mask(made.activity, column, rng)
                if mask is not None:
                    places.append(place)
                    masks.append(mask)
                    people.append(person)
        sound = torch.from_numpy(np.stack([made.audio for made in chunks]))[:, None]
        with torch.autocast("cpu", torch.bfloat16):
            frames = _banded(judge.network, sound, rng).float()
        pooled = _pooled(frames[places], torch.from_numpy(np.stack(masks).astype(np.float32)))
        found = functional.normalize(judge.network.embedding(pooled))
        cosine = (found @ functional.normalize(judge.directions).T).clamp(-1 + 1e-6, 1 - 1e-6)
        wanted = torch.tensor(people)
        margin = functional.one_hot(wanted, cosine.shape[1]) * _MARGIN * min(1.0, 3 * progress)
        total = functional.cross_entropy(_SCALE * torch.cos(torch.acos(cosine) + margin), wanted)
        right = (cosine.argmax(1) == wanted).float().mean()
        return total, {"loss": total.item(), "right": right.item()}

    return loss


def embedded(network: Any, chunks: Iterable[Chunk]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Embeddings of everybody heard alone for long enough in chunks, and who they are."""
    found, people = [], []
    for made in chunks:
        alone = made.activity & (made.activity.sum(1, keepdims=True) < 2)
        kept = [column for column in range(len(made.people)) if alone[:, column].sum() >= 2 * _SHORTEST]
        if kept:
            masks = torch.from_numpy(alone[:, kept].T.astype(np.float32))[None]
            found.append(network(torch.from_numpy(made.audio)[None, None], masks)[0].numpy())
            people += [made.people[column] for column in kept]
    return np.concatenate(found), np.array(people)


def check_of(judge: Judge, pool: Speech) -> Callable[[], dict[str, float]]:
    """A function that measures how well pairs of voices are told from pairs of one voice, on the same chunks always."""
    rng = random.Random("check of the embedding")
    chunks = [chunk(pool, rng, rng.choice((1, 2, 2, 3))) for _ in range(_CHECKED)]

    def check() -> dict[str, float]:
        found, people = embedded(judge.network, chunks)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        pairs = np.triu_indices(len(people), 1)
        alike, same = (found @ found.T)[pairs], (people[:, None] == people[None])[pairs]
        limits = np.sort(alike[same])
        missed = np.arange(len(limits)) / len(limits)
        false = np.array([(alike[~same] >= limit).mean() for limit in limits])
        equal = int(np.argmin(np.abs(missed - false)))
        return {
            "equal_error": float(missed[equal] + false[equal]) / 2,
            "same": float(alike[same].mean()),
            "different": float(alike[~same].mean()),
        }

    return check
