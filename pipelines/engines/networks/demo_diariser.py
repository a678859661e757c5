"""The network that tells the voices of the demo diariser apart.

Its checkpoint names this module, and pyannote.audio imports it by that name. It needs torch, which only workers that
diarise have.
"""

from __future__ import annotations

from typing import Any

from pyannote.audio.models.blocks.pooling import StatsPool
from pyannote.audio.models.embedding.wespeaker import BaseWeSpeakerResNet
from torch import nn

_LAYERS = ((1, 5, 1), (1, 3, 2), (1, 3, 3), (1, 1, 1), (2, 1, 1))
"""Of each convolution over time: its width (in ``channels``), its kernel, its dilation."""


class TinyXVector(BaseWeSpeakerResNet):
    """A small x-vector: mel bands, convolutions over time, mean and deviation of those frames that count, a projection.

    Args:
        sample_rate: Hz.
        num_channels: Of the audio; 1.
        num_mel_bins: Bands.
        frame_shift: Milliseconds from one frame to the next.
        channels: Width of the convolutions.
        embed_dim: Length of an embedding.
        task: pyannote.audio's, for training.
        **fbank: How else the bands are made; kept with the checkpoint.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        num_channels: int = 1,
        num_mel_bins: int = 40,
        frame_shift: float = 20.0,
        channels: int = 160,
        embed_dim: int = 96,
        task: Any = None,
        **fbank: Any,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            num_channels=num_channels,
            num_mel_bins=num_mel_bins,
            frame_shift=frame_shift,
            task=task,
            **fbank,
        )
        self.save_hyperparameters("num_mel_bins", "frame_shift", "channels", "embed_dim")
        self.tdnn = nn.Sequential()
        width = num_mel_bins
        for times, kernel, dilation in _LAYERS:
            wider = times * channels
            padding = dilation * (kernel // 2)  # as many frames come out as go in, so that weights keep their places
            self.tdnn.extend(
                [
                    nn.Conv1d(width, wider, kernel, dilation=dilation, padding=padding),
                    nn.LeakyReLU(0.1),
                    nn.BatchNorm1d(wider),
                ]
            )
            width = wider
        self.stats_pool = StatsPool()
        self.embedding = nn.Linear(2 * width, embed_dim)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.hparams.embed_dim)

    def forward_frames(self, waveforms: Any) -> Any:
        """Features (batch, channels, frames) of audio (batch, 1, samples)."""
        return self.tdnn(self.compute_fbank(waveforms).transpose(1, 2))

    def forward_embedding(self, frames: Any, weights: Any = None) -> Any:
        """Embeddings of frames; ``weights`` (batch, frames) or (batch, speakers, frames) say which of them count."""
        return self.embedding(self.stats_pool(frames, weights=weights))

    def forward(self, waveforms: Any, weights: Any = None) -> Any:
        """Embeddings (batch, embed_dim), or (batch, speakers, embed_dim) with weights for several speakers."""
        return self.forward_embedding(self.forward_frames(waveforms), weights)
