"""The two networks of the demo diariser as pyannote.audio knows them, new or from a checkpoint, and their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.training.diariser.mixing import AT_MOST, SECONDS

if TYPE_CHECKING:
    import torch

WIDTH = 96  # of an embedding
WEIGHTS = "pytorch_model.bin"


def pyannote() -> Any:
    """The module `pyannote.audio`, as the program itself imports it: it tells nobody, and needs no CUDA."""
    from pipelines.engines.pyannote_import import bring_pyannote

    os.environ["HF_HUB_OFFLINE"] = "1"
    return bring_pyannote()


def segmentation() -> Any:
    """An untrained network that says which of at most three speakers are heard when, two of them at once at most."""
    pyannote()
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    network = PyanNet(lstm={"hidden_size": 64, "num_layers": 2}, linear={"hidden_size": 64, "num_layers": 2})
    network.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=float(SECONDS),
        min_duration=float(SECONDS),
        classes=[f"speaker#{number + 1}" for number in range(AT_MOST)],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    network.build()
    return network


def embedding() -> Any:
    """An untrained network that says what a voice sounds like."""
    pyannote()
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    from pipelines.engines.networks.demo_diariser import TinyXVector

    network = TinyXVector(embed_dim=WIDTH)
    network.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=float(SECONDS), min_duration=1.0
    )
    return network


def write(network: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write what `pyannote.audio.Model.from_pretrained` reads: no optimiser, nothing about this machine."""
    import lightning
    import torch

    checkpoint: dict[str, Any] = {
        "state_dict": {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()},
        "pytorch-lightning_version": lightning.__version__,
        "hparams_name": "kwargs",
        "hyper_parameters": dict(network.hparams),
    }
    network.on_save_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / WEIGHTS)


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint of our own."""
    import torch

    # A checkpoint of pyannote names classes, which only the full reader knows; this one is ours.
    weights: dict[str, torch.Tensor] = torch.load(folder / WEIGHTS, weights_only=False)["state_dict"]
    return weights
