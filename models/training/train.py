"""Training of the demo model in stages counted in steps; it goes on from the last checkpoint by itself."""

from __future__ import annotations

import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.training.batches import Batch, Recipe, make_batch
from models.training.network import Network, Size
from models.training.tokens import TIMES, Vocabulary
from models.training.windows import FULL, Source

SAVE_EVERY, REPORT_EVERY = 100, 50
_AVERAGED_SHARE, _AVERAGING = 0.3, 0.01  # of a stage's last part, each step adds this much to the averaged weights
# A first timestamp is known exactly; later ones are also half right 20 ms beside.
_SOFT, _EXACT = (0.1, 0.2, 0.4, 0.2, 0.1), (0.0, 0.03, 0.94, 0.03, 0.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training: how long, how fast, on windows of which lengths."""

    name: str
    steps: int
    learning_rate: float
    warm_up: int
    short: float  # share of steps on short floating windows
    middle: float  # share of steps on windows of 10 s; the rest are 20 s to 30 s long
    frozen: float  # share of the long windows on which only the decoder learns: four times as fast
    prompts: float
    untimed_only: float


STAGES = (
    Stage("words", 2800, 1.5e-3, 300, short=1.0, middle=0.0, frozen=0.0, prompts=0.05, untimed_only=0.0),
    Stage("passages", 800, 1.1e-3, 80, short=0.3, middle=0.3, frozen=0.0, prompts=0.1, untimed_only=0.0),
    Stage("windows", 2200, 8e-4, 60, short=0.25, middle=0.17, frozen=0.8, prompts=0.24, untimed_only=0.0),
    Stage("dense", 3000, 5e-4, 60, short=0.12, middle=0.05, frozen=0.85, prompts=0.05, untimed_only=0.4),
)


def recipe(rng: random.Random, stage: Stage, progress: float) -> Recipe:
    """The windows of one step: short ones grow longer over the stage, long ones are mostly Whisper's full 30 s."""
    draw = rng.random()
    if draw < stage.short:
        lengths = (250, 300, 400) if stage.short == 1 and progress < 0.5 else (300, 400, 600)
        return Recipe(16, rng.choice(lengths), True, 0.05, 0.0)
    if draw < stage.short + stage.middle:
        return Recipe(8, 1000, False, stage.prompts, stage.untimed_only)
    frames = FULL if stage.untimed_only else rng.choice((2000, 2400, FULL, FULL, FULL))
    return Recipe(6, frames, False, stage.prompts, stage.untimed_only)


def _cross_entropy(network: Network, logits: Tensor, targets: Tensor, exact: Tensor) -> Tensor:
    log_probabilities = torch.log_softmax(logits, -1)
    losses = -log_probabilities.gather(1, targets[:, None])[:, 0]
    first = network.known + 1
    times = targets >= first
    if times.any():
        candidates, target, sharp = log_probabilities[times], targets[times], exact[times]
        spread = torch.zeros(len(target))
        for offset, soft, hard in zip(range(-2, 3), _SOFT, _EXACT, strict=True):
            beside = (target + offset).clamp(first, first + TIMES - 1)
            spread = spread + (soft + (hard - soft) * sharp) * candidates.gather(1, beside[:, None])[:, 0]
        losses = losses.masked_scatter(times, -spread)
    return losses.mean()


def _attention_loss(view: Tensor, span_from: Tensor, span_to: Tensor, weight: Tensor) -> Tensor:
    """How far a head looks from where the word is spoken."""
    middle = torch.arange(view.shape[2]) + 0.5
    inside = ((middle >= span_from[..., None]) & (middle < span_to[..., None])).float()
    count = inside.sum(-1)
    asked = (count > 0).float() * weight
    return (-(view * inside).sum(-1) / count.clamp(min=1) * asked).sum() / asked.sum().clamp(min=1)


def loss(network: Network, batch: Batch, *, frozen: bool) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and figures to report; `frozen` leaves the encoder as it is."""
    wanted = batch.weight > 0
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        encoded, middle = network.encode(batch.mel, batch.shift)
    answers = len(batch.inputs) // len(encoded)
    logits, views = network.decode(batch.inputs, encoded.repeat_interleave(answers, 0), wanted)
    targets = batch.targets[wanted]
    text = _cross_entropy(network, logits, targets, batch.exact[wanted])
    # The first layer's head looks at the word just read, the later ones at the word about to be written.
    earlier = [functional.pad(span, (1, 0), value=-1)[:, :-1] for span in (batch.span_from, batch.span_to)]
    attention = _attention_loss(views[0], *earlier, batch.weight)
    for view in views[1:]:
        attention = attention + _attention_loss(view, batch.span_from, batch.span_to, batch.weight)
    total = text + (0.15 if batch.mel.shape[2] < 1000 else 0.25) * attention
    if not frozen:
        tokens = network.frame_token(encoded[:, ::2]).float().flatten(0, 1)
        letters = network.frame_letter(middle).float().flatten(0, 1)
        total = total + 0.5 * functional.cross_entropy(tokens, batch.frame_tokens[:, ::2].flatten(), ignore_index=-1)
        total = total + 0.5 * functional.cross_entropy(letters, batch.frame_letters.flatten(), ignore_index=-1)
    words = targets < network.known
    right = (logits[words].argmax(-1) == targets[words]).float().mean()
    return total, {"loss": text.item(), "attention": attention.item(), "right": right.item()}


class Trainer:
    """Network, optimiser and place in the schedule; saved and found again in one file."""

    def __init__(
        self, folder: Path, source: Source, vocabulary: Vocabulary, stages: tuple[Stage, ...], seed: int
    ) -> None:
        self.file = folder / "checkpoint.pt"
        self.source, self.vocabulary, self.stages, self.seed = source, vocabulary, stages, seed
        torch.manual_seed(seed)
        self.size = Size()
        self.network = Network(len(vocabulary.known), self.size)
        matrices = [weights for weights in self.network.parameters() if weights.ndim >= 2]
        vectors = [weights for weights in self.network.parameters() if weights.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))
        self.averaged: dict[str, Tensor] | None = None
        self.stage, self.step = 0, 0
        if self.file.exists():
            self._load()

    def _load(self) -> None:
        saved = torch.load(self.file, weights_only=True)
        if saved["known"] != self.vocabulary.known or saved["seed"] != self.seed:
            raise SystemExit("the checkpoint belongs to another vocabulary or seed: begin in an empty folder")
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.averaged, self.stage, self.step = saved["averaged"], saved["stage"], saved["step"]
        print(f"going on in stage {self.stage} at step {self.step}", flush=True)

    def save(self) -> None:
        """Write everything that going on needs; an interrupted write leaves the checkpoint before it whole."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged,
            "stage": self.stage,
            "step": self.step,
            "known": self.vocabulary.known,
            "size": asdict(self.size),
            "seed": self.seed,
        }
        torch.save(state, self.file.with_suffix(".part"))
        self.file.with_suffix(".part").rename(self.file)

    def run(self) -> None:
        """Train from where it stands to the end of the last stage."""
        while self.stage < len(self.stages):
            self._run_stage(self.stages[self.stage])
            self.stage, self.step = self.stage + 1, 0
            if self.stage < len(self.stages):
                self.averaged = None
            self.save()

    def _run_stage(self, stage: Stage) -> None:
        self.network.train()
        figures: dict[str, list[float]] = {}
        began = time.monotonic()
        while self.step < stage.steps:
            for name, value in self._one_step(stage).items():
                figures.setdefault(name, []).append(value)
            self.step += 1
            if self.step % REPORT_EVERY == 0:
                means = " ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in sorted(figures.items()))
                print(f"{stage.name} {self.step}/{stage.steps} {time.monotonic() - began:.0f} s | {means}", flush=True)
                figures = {}
            if self.step % SAVE_EVERY == 0:
                self.save()

    def _one_step(self, stage: Stage) -> dict[str, float]:
        # Drawn anew for each step, so that an interrupted run goes on with the windows it would have had.
        rng = random.Random(f"{self.seed} {stage.name} {self.step}")
        progress = self.step / stage.steps
        made = recipe(rng, stage, progress)
        batch = make_batch(rng, self.source, self.vocabulary, made)
        long = made.frames > 1000
        for group in self.optimiser.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * progress))
            group["lr"] = stage.learning_rate * min(1.0, (self.step + 1) / stage.warm_up) * max(0.02, cosine)
        with torch.autocast("cpu", torch.bfloat16):
            total, figures = loss(self.network, batch, frozen=long and rng.random() < stage.frozen)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        if progress > 1 - _AVERAGED_SHARE:
            self._average()
        kind = "long" if long else "short" if made.floating else "middle"
        return {f"{kind} {name}": value for name, value in figures.items() if not math.isnan(value)}

    def _average(self) -> None:
        state = self.network.state_dict()
        if self.averaged is None:
            self.averaged = {name: value.detach().clone() for name, value in state.items()}
            return
        for name, value in state.items():
            self.averaged[name].lerp_(value, _AVERAGING)

    def weights(self) -> dict[str, Tensor]:
        """What to export: the weights averaged over the last stage's end, or the newest."""
        return self.averaged or self.network.state_dict()
