"""What is done otherwise than by pyannote.audio's own pipeline, with the same answer to who speaks when."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines.clustering import AgglomerativeClustering


class SharedFrames(SpeakerDiarization):
    """Looks at each window once for all who speak in it.

    The library runs the embedding network once for each of the (three) voices that a window may hold, the silent ones
    included. But voices of one window differ only in which frames count, and that is weighed after the network's
    expensive part, if it takes weights for several voices.
    """

    @staticmethod
    def fits(pipeline: Any) -> bool:
        """Whether a pipeline does nothing of its own and its network takes such weights and heeds them."""
        if type(pipeline) is not SpeakerDiarization or not hasattr(pipeline, "_embedding"):
            return False
        network = getattr(pipeline._embedding, "model_", None)
        if network is None:
            return False
        device = pipeline._embedding.device
        audio = torch.linspace(-1, 1, 2 * pipeline._embedding.sample_rate, device=device).sin()[None, None]
        weights = torch.zeros(1, 2, 100, device=device)
        weights[0, 0, :60] = weights[0, 1, 30:] = 1
        try:
            with torch.inference_mode():
                both = network(audio, weights=weights)
                alone = [network(audio, weights=weights[:, number]) for number in range(2)]
        except Exception:  # whatever it is, such weights are not for this network
            return False
        return tuple(both.shape) == (1, 2, pipeline._embedding.dimension) and all(
            torch.allclose(both[:, number], one, atol=1e-4) for number, one in enumerate(alone)
        )

    def get_embeddings(
        self, file: Any, binary_segmentations: Any, exclude_overlap: bool = False, hook: Any = None
    ) -> Any:
        """Embeddings (windows, voices, dimension); NaN for a voice that is silent in a window.

        Args:
            file: Waveform and sample rate.
            binary_segmentations: Who speaks when in each window: (windows, frames, voices).
            exclude_overlap: Take only what one person says alone, where that is enough.
            hook: Told how many batches are done.
        """
        masks = np.nan_to_num(binary_segmentations.data, nan=0.0).astype(np.float32)
        windows = [window for window, _ in binary_segmentations]
        weights = self._alone(masks, binary_segmentations.sliding_window.duration) if exclude_overlap else masks
        found = np.full((*masks.shape[::2], self._embedding.dimension), np.nan, np.float32)
        spoken = np.flatnonzero(masks.any(axis=(1, 2)))
        size = max(1, self.embedding_batch_size)
        total = -(-len(spoken) // size)
        for done in range(total + 1):
            if hook is not None:
                hook("embeddings", None, total=max(1, total), completed=done)
            some = spoken[done * size : (done + 1) * size]
            if len(some):
                audio = torch.stack([self._audio.crop(file, windows[number], mode="pad")[0] for number in some])
                found[some] = self._embed(audio, weights[some])
        found[masks.sum(axis=1) == 0] = np.nan
        return found

    def _alone(self, masks: Any, seconds: float) -> Any:
        """The masks without frames in which several speak, except for voices of which too little would be left."""
        frames = masks.shape[1]
        least = np.ceil(frames * self._embedding.min_num_samples / (seconds * self._embedding.sample_rate))
        alone = masks * (masks.sum(axis=2, keepdims=True) < 2)
        return np.where(alone.sum(axis=1, keepdims=True) > least, alone, masks)

    def _embed(self, audio: Any, weights: Any) -> Any:
        device = self._embedding.device
        by_voice = torch.from_numpy(np.ascontiguousarray(weights.transpose(0, 2, 1)))
        with torch.inference_mode():
            return self._embedding.model_(audio.to(device), weights=by_voice.to(device)).cpu().numpy()


class UnitVoices(AgglomerativeClustering):
    """Describes a speaker by the mean of their windows' embeddings, each of length one.

    The product of two such means is the average likeness of all pairs of windows: just what the clustering itself
    compares with its threshold. Between the library's own means, voices seem more alike than that.
    """

    @staticmethod
    def fits(pipeline: Any) -> bool:
        """Whether a pipeline clusters by angles in the library's own way."""
        clustering: Any = getattr(pipeline, "clustering", None)
        return type(clustering) is AgglomerativeClustering and clustering.metric == "cosine"

    def __call__(self, embeddings: Any, segmentations: Any = None, **options: Any) -> Any:
        """Clusters (windows, voices), their scores, and the speakers' voices (clusters, dimension)."""
        # The library normalises in place, for some methods.
        windows, numbers, voices = self.filter_embeddings(embeddings, segmentations=segmentations)
        hard, soft, means = super().__call__(embeddings, segmentations=segmentations, **options)
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = windows / np.linalg.norm(windows, axis=1, keepdims=True)
            means = means / np.linalg.norm(means, axis=1, keepdims=True)
        cluster_of = hard[numbers, voices]
        for cluster in range(len(means)):
            if (own := unit[cluster_of == cluster]).size:
                means[cluster] = own.mean(axis=0)
        return hard, soft, means
