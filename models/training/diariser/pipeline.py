"""From two trained networks to the folder pyannote.audio loads: what tells embeddings apart, and chosen settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.training.diariser import networks, scores
from models.training.diariser.conversations import Turn
from models.training.diariser.embedding import embedded
from models.training.diariser.mixing import chunk
from models.training.diariser.trials import trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.training.diariser.pool import Pool

    Matrix = NDArray[np.float64]

_CHUNKS = 1200  # to learn from how embeddings of one voice and of two differ
_MOST_CLUSTER = 20  # pyannote.audio's limit
_KEPT = 64  # directions of an embedding
_EACH, _SECONDS = 3, 75.0  # conversations to choose by, of each kind
_SHORT, _LONG = 25.0, 360.0  # seconds of as many more of each kind, and of one more with two or three voices
_COUNT_WEIGHT = 0.05  # of a wrong number of speakers, beside the error rate
AHC, VBX = "AgglomerativeClustering", "VBxClustering"
_LIMITS = {"centroid": (0.5, 0.55, 0.6, 0.65, 0.7, 0.75), "average": (0.15, 0.2, 0.25, 0.3, 0.35)}
_GRID: dict[str, list[dict[str, Any]]] = {
    AHC: [
        {"method": method, "threshold": limit, "min_cluster_size": size}
        for method, limits in _LIMITS.items()
        for limit, size in product(limits, (3, 8))
    ],
    VBX: [
        {"threshold": 0.6, "Fa": sharpness, "Fb": reluctance}
        for sharpness, reluctance in product((0.05, 0.1, 0.3), (0.8, 2.0))
    ],
}


def _unit(rows: Matrix) -> Matrix:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def _within_and_between(rows: Matrix, people: NDArray[np.int64]) -> tuple[Matrix, Matrix, Matrix]:
    """Covariance within everybody, between them, and the mean."""
    names, places, counts = np.unique(people, return_inverse=True, return_counts=True)
    means = np.stack([rows[people == name].mean(0) for name in names])
    centre = np.average(means, axis=0, weights=counts)
    apart, spread = rows - means[places], (means - centre) * np.sqrt(counts)[:, None]
    within = apart.T @ apart / len(rows)
    within += 1e-3 * np.trace(within) / len(within) * np.eye(len(within))
    return within, spread.T @ spread / len(rows), centre


def write_plda(folder: Path, rows: Matrix, people: NDArray[np.int64]) -> None:
    """Learn the two transforms that VBx clustering needs and that pyannote.audio opens in any case.

    Args:
        folder: Where `xvec_transform.npz` and `plda.npz` go.
        rows: Embeddings.
        people: Who is heard in each.
    """
    from scipy.linalg import eigh

    first = rows.mean(0)
    rows = np.sqrt(rows.shape[1]) * _unit(rows - first)
    within, between, _ = _within_and_between(rows, people)
    directions = eigh(between, within)[1][:, ::-1][:, :_KEPT]
    directions = directions / np.linalg.norm(directions, axis=0, keepdims=True)
    rows = rows @ directions
    second = rows.mean(0)
    rows = np.sqrt(_KEPT) * _unit(rows - second)
    within, between, centre = _within_and_between(rows, people)
    strengths, axes = eigh(between, within)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "xvec_transform.npz", mean1=first, mean2=second, lda=directions)
    order = np.argsort(strengths)[::-1]
    strengths = np.maximum(strengths[order], 1e-4)
    np.savez(folder / "plda.npz", mu=centre, tr=axes[:, order].T, psi=strengths)


def write_config(folder: Path, clustering: str, settings: dict[str, Any]) -> None:
    """Write the file that names the parts of a pipeline and its settings."""
    import yaml  # type: ignore[import-untyped]

    params = {
        "segmentation": "$model/segmentation",
        "embedding": "$model/embedding",
        "plda": "$model/plda",
        "clustering": clustering,
        "segmentation_step": 0.1,
        "embedding_exclude_overlap": True,
        "segmentation_batch_size": 16,
        "embedding_batch_size": 16,
    }
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {"name": "pyannote.audio.pipelines.SpeakerDiarization", "params": params},
        "params": {"segmentation": {"min_duration_off": 0.0}, "clustering": settings},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _learnt_plda(folder: Path, pool: Pool, count: int) -> None:
    import torch

    network = networks.pyannote().Model.from_pretrained(folder / "embedding")
    network.eval()
    rng = random.Random("embeddings to learn from")
    with torch.inference_mode():
        rows, people = embedded(network, (chunk(pool, rng, rng.choice((1, 2, 3))) for _ in range(count)))
    whole = np.isfinite(rows).all(1)
    write_plda(folder / "plda", rows[whole].astype(np.float64), people[whole])


class _Choice:
    """Conversations to choose by, heard once; only what follows from the settings is done anew for each of them."""

    def __init__(self, folder: Path, seconds: float) -> None:
        import torch

        self.folder = folder
        kinds = tuple(f"{count} voices{noise}" for count in (2, 3) for noise in ("", ", noisy"))
        self.said = [made.said for made in trials("choosing", _EACH, seconds)]
        self.said += [made.said for made in trials("choosing", _EACH, min(seconds, _SHORT))]
        self.said += [made.said for made in trials("choosing", 1, seconds / _SECONDS * _LONG, kinds=kinds)]
        self.files = [
            {"waveform": torch.from_numpy(said.audio)[None], "sample_rate": 16_000, "uri": str(number)}
            for number, said in enumerate(self.said)
        ]
        write_config(folder, AHC, _GRID[AHC][0])
        pipeline = networks.pyannote().Pipeline.from_pretrained(folder)
        self.segmentations = [pipeline.get_segmentations(file) for file in self.files]
        self.embeddings = [
            pipeline.get_embeddings(file, heard, exclude_overlap=True)
            for file, heard in zip(self.files, self.segmentations, strict=True)
        ]

    def best(self, clustering: str) -> dict[str, Any]:
        """The settings with the fewest errors under `settings`, their `figures`, and those of all others `tried`."""
        from copy import deepcopy

        write_config(self.folder, clustering, _GRID[clustering][0])
        pipeline = networks.pyannote().Pipeline.from_pretrained(self.folder)
        # What was heard already is handed over instead of being heard again for every setting.
        pipeline.get_segmentations = lambda file, **_: deepcopy(self.segmentations[int(file["uri"])])
        pipeline.get_embeddings = lambda file, *_, **__: self.embeddings[int(file["uri"])].copy()
        tried = [self._tried(pipeline, settings) for settings in _GRID[clustering]]
        tried.sort(key=lambda one: float(one["figures"]["cost"]))
        return tried[0] | {"tried": tried}

    def _tried(self, pipeline: Any, settings: dict[str, Any]) -> dict[str, Any]:
        scored = []
        for said, file in zip(self.said, self.files, strict=True):
            fitted = _fitted(settings, said.duration)
            pipeline.instantiate({"segmentation": {"min_duration_off": 0.0}, "clustering": fitted})
            heard = _as_told(pipeline(dict(file)).exclusive_speaker_diarization)
            scored.append(scores.Scored(said.turns, heard, said.duration))
        return {"settings": settings, "figures": _figures(scored)}


def _fitted(settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The settings as `pipelines.engines.pyannote` changes them for a recording of this length."""
    if "min_cluster_size" not in settings:
        return settings
    size = round(settings["min_cluster_size"] * max(1.0, (seconds / _SECONDS) ** 0.5))
    return settings | {"min_cluster_size": min(_MOST_CLUSTER, size)}


def _as_told(annotation: Any) -> list[Turn]:
    """The turns as users get them: tidied, without speakers who are hardly there."""
    from pipelines import documents
    from pipelines.voices import tidy, without_tiny

    turns = [documents.Turn(start=start, end=end, speaker=who) for start, end, who in scores.turns_from(annotation)]
    return [Turn(turn.start, turn.end, turn.speaker) for turn in without_tiny(tidy(turns))]


def _figures(scored: Sequence[scores.Scored]) -> dict[str, float]:
    """Every recording counts the same, however long."""
    each = [scores.errors([one]) for one in scored]
    wrong = sum(len(set(one.speakers)) > 1 for one in scored) / len(scored)
    rate = sum(one.rate for one in each) / len(each)
    confused = sum(one.confused for one in each) / len(each)
    figures = {"cost": rate + _COUNT_WEIGHT * wrong, "rate": rate, "confused": confused, "wrong_count": wrong}
    return {name: round(value, 4) for name, value in figures.items()}


def finish(folder: Path, pool: Pool, *, scale: float = 1.0) -> dict[str, Any]:
    """Learn how embeddings differ, choose clustering and settings, and write the rest of a pipeline into its folder.

    The settings are those with the fewest errors in what the program tells its users, on voices nobody trained on.

    Args:
        folder: Where `segmentation` and `embedding` are already.
        pool: Everybody the networks were trained on.
        scale: Multiplies how much is looked at.
    """
    import torch

    torch.set_num_threads(1)
    _learnt_plda(folder, pool, max(300, round(_CHUNKS * scale)))
    choice = _Choice(folder, _SECONDS * min(1.0, max(0.2, scale)))
    found = {clustering: choice.best(clustering) for clustering in _GRID}
    chosen = min(found, key=lambda name: float(found[name]["figures"]["cost"]))
    write_config(folder, chosen, found[chosen]["settings"])
    told = {"chosen": chosen, **found}
    return told
