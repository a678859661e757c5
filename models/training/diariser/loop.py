"""Training of one network in counted steps; it goes on from the last checkpoint by itself."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SAVE_EVERY, REPORT_EVERY, CHECK_EVERY = 50, 25, 200
_AVERAGING = 0.01  # of the newest weights in the averaged ones, a step

Loss = Callable[[random.Random, float], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast: steps, the highest learning rate, the steps to get there, and minutes at most.

    With `minutes` the learning rate falls as the time runs out, so the result depends on the machine's speed.
    """

    steps: int
    learning_rate: float
    warm_up: int
    weight_decay: float
    minutes: float | None = None


class Loop:
    """Network, optimiser, averaged weights and place in the plan; saved and found again in one file."""

    def __init__(self, file: Path, network: nn.Module, plan: Plan, seed: int) -> None:
        self.file, self.network, self.plan, self.seed = file, network, plan, seed
        learning = [weights for weights in network.parameters() if weights.requires_grad]
        self.optimiser = torch.optim.AdamW(learning, lr=0.0, weight_decay=plan.weight_decay)
        self.averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step, self.spent = 0, 0.0
        if file.exists():
            self._load()

    def _load(self) -> None:
        saved = torch.load(self.file, weights_only=True)
        if saved["seed"] != self.seed:
            raise SystemExit("the checkpoint belongs to another seed: begin in an empty folder")
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.averaged, self.step, self.spent = saved["averaged"], saved["step"], saved["spent"]
        print(f"{self.file.stem}: going on at step {self.step}", flush=True)

    def save(self) -> None:
        """Write everything that going on needs; an interrupted write leaves the checkpoint before it whole."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged,
            "step": self.step,
            "spent": self.spent,
            "seed": self.seed,
        }
        part = self.file.with_suffix(".part")
        torch.save(state, part)
        part.rename(self.file)

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        share = self.step / self.plan.steps
        return min(1.0, max(share, self.spent / 60 / self.plan.minutes if self.plan.minutes else 0.0))

    def run(self, loss: Loss, check: Callable[[], dict[str, float]]) -> None:
        """Train from where it stands to the end; `check` gives figures on voices that training never hears."""
        self.network.train()
        figures: dict[str, list[float]] = {}
        while self.progress < 1:
            began = time.monotonic()
            for name, value in self._one_step(loss).items():
                figures.setdefault(name, []).append(value)
            self.step += 1
            self.spent += time.monotonic() - began
            if self.step % REPORT_EVERY == 0:
                self._report({name: sum(values) / len(values) for name, values in figures.items()})
                figures = {}
            if self.step % SAVE_EVERY == 0:
                self.save()
            if self.step % CHECK_EVERY == 0:
                self._checked(check)
        self.save()
        self._checked(check)

    def _report(self, means: dict[str, float]) -> None:
        told = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(f"{self.file.stem} {self.step}/{self.plan.steps} {self.spent:.0f} s | {told}", flush=True)

    def _checked(self, check: Callable[[], dict[str, float]]) -> None:
        newest = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.averaged)
        self.network.eval()
        with torch.inference_mode():
            told = " ".join(f"{name} {value:.3f}" for name, value in check().items())
        self.network.load_state_dict(newest)
        self.network.train()
        print(f"{self.file.stem} {self.step}: voices never heard | {told}", flush=True)

    def _one_step(self, loss: Loss) -> dict[str, float]:
        # Drawn anew for each step, so that an interrupted run goes on with the chunks it would have had.
        progress = self.progress
        rate = min(1.0, (self.step + 1) / self.plan.warm_up) * max(0.01, 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * rate
        total, figures = loss(random.Random(f"{self.seed} {self.file.stem} {self.step}"), progress)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        length = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if torch.isfinite(length):
            self.optimiser.step()
            self._average()
        return figures

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average must follow quickly, or it would remember the beginning for long.
        share = max(_AVERAGING, 1 / (self.step + 1))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, share)
            else:
                self.averaged[name].copy_(value)
