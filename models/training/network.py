"""The demo model's network: a small Whisper with a short vocabulary table and helpers that only training uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.batches import LETTER_CLASSES
from models.training.corpus import BANDS
from models.training.tokens import TIMES, VOCABULARY_SIZE

POSITIONS, LONGEST_TEXT = 1500, 448
# Beyond this many pairs of positions torch's fused attention is no slower than plain products, and needs less memory.
_PLAIN_ATTENTION = 400_000


@dataclass(frozen=True, slots=True)
class Size:
    """The network's dimensions."""

    width: int = 160
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 3


def sinusoids(count: int, width: int) -> Tensor:
    """Whisper's fixed position codes: sines in the first half of each row, cosines in the second."""
    steps = torch.exp(-math.log(10000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(count)[:, None] * steps[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Multi-head attention; on demand with the log-probabilities of its first head, which training supervises."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor, source: Tensor, *, causal: bool = False) -> Tensor:
        """Attend from `x` to `source`."""
        q, k, v = self._split(self.q_proj(x)), self._split(self.k_proj(source)), self._split(self.v_proj(source))
        if causal or q.shape[2] * k.shape[2] > _PLAIN_ATTENTION:
            heard = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:
            scores = q.flatten(0, 1) * q.shape[-1] ** -0.5 @ k.flatten(0, 1).transpose(1, 2)
            heard = (torch.softmax(scores, -1, dtype=scores.dtype) @ v.flatten(0, 1)).view_as(q)
        return self.out_proj(heard.transpose(1, 2).flatten(2))

    def first_head(self, x: Tensor, source: Tensor) -> Tensor:
        """Log-probability, for each position of `x`, of each position of `source` in the first head."""
        q, k = self._split(self.q_proj(x))[:, 0], self._split(self.k_proj(source))[:, 0]
        return torch.log_softmax((q @ k.transpose(1, 2)).float() / math.sqrt(q.shape[-1]), -1)

    @torch.no_grad()
    def look_at_offsets(self, offsets: tuple[int, ...], strength: float) -> None:
        """Start the first heads so that each looks a fixed number of positions away.

        From a random start they find this out only after hours: position codes are rotated into queries and keys.
        """
        width = self.q_proj.in_features
        step = math.exp(-math.log(10000) / (width // 2 - 1))
        for head, offset in enumerate(offsets):
            for pair in range(width // self.heads // 2):
                sine, row = 2 * pair, head * (width // self.heads) + 2 * pair
                cosine, angle = width // 2 + sine, step**sine * offset
                self.q_proj.weight[row, sine] += strength
                self.q_proj.weight[row + 1, cosine] += strength
                self.k_proj.weight[row, sine] += strength * math.cos(angle)
                self.k_proj.weight[row, cosine] -= strength * math.sin(angle)
                self.k_proj.weight[row + 1, cosine] += strength * math.cos(angle)
                self.k_proj.weight[row + 1, sine] += strength * math.sin(angle)


class Layer(nn.Module):
    """A transformer layer; with `across`, one that also attends to the encoder."""

    def __init__(self, size: Size, *, across: bool) -> None:
        super().__init__()
        width = size.width
        self.self_attn = Attention(width, size.heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.across = across
        if across:
            self.encoder_attn = Attention(width, size.heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, encoded: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The layer's output, and the first head's view of the encoder where there is one."""
        normed = self.self_attn_layer_norm(x)
        x = x + self.self_attn(normed, normed, causal=self.across)
        view = None
        if self.across and encoded is not None:
            normed = self.encoder_attn_layer_norm(x)
            x = x + self.encoder_attn(normed, encoded)
            view = self.encoder_attn.first_head(normed, encoded)
        return x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x)))), view


class Network(nn.Module):
    """A small Whisper over the rows of a `Vocabulary`."""

    sound_positions: Tensor
    time_codes: Tensor

    def __init__(self, known: int, size: Size) -> None:
        super().__init__()
        width = size.width
        self.known = known
        self.conv1 = nn.Conv1d(BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.encoder = nn.ModuleList([Layer(size, across=False) for _ in range(size.encoder_layers)])
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList([Layer(size, across=True) for _ in range(size.decoder_layers)])
        self.decoder_norm = nn.LayerNorm(width)
        self.register_buffer("sound_positions", sinusoids(POSITIONS, width))
        self.register_buffer("time_codes", sinusoids(TIMES, width))
        self.text_positions = nn.Parameter(sinusoids(LONGEST_TEXT, width) * 0.1)
        self.rows = nn.Parameter(torch.randn(known + 1, width) * 0.08)
        self.time_map = nn.Parameter(torch.eye(width) * 0.08)
        self.time_bias = nn.Parameter(torch.randn(width) * 0.08)
        self.frame_token = nn.Linear(width, known)
        self.frame_letter = nn.Linear(width, LETTER_CLASSES)
        for layer in self.encoder:
            layer.self_attn.look_at_offsets((-8, -2, 2, 8), 1.1)
        for layer in self.decoder:
            layer.self_attn.look_at_offsets((-1, -2), 1.6)

    def table(self) -> Tensor:
        """Embeddings: known ids, the row of all others, times (learned as one map of their position codes)."""
        return torch.cat([self.rows, self.time_codes @ self.time_map + self.time_bias])

    def encode(self, mel: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder output, and what its second layer gives; `shift` moves a short window along the 30 s."""
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.sound_positions[shift[:, None] + torch.arange(x.shape[1])]
        middle = x
        for index, layer in enumerate(self.encoder):
            x, _ = layer(x)
            middle = x if index == 1 else middle
        return self.encoder_norm(x), middle

    def decode(self, rows: Tensor, encoded: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits over the table (of the `wanted` positions only), and each layer's view of the sound.

        The row of all other ids counts as often as there are such ids, so that the loss is that of the full vocabulary.
        """
        table = self.table()
        x = table[rows] + self.text_positions[: rows.shape[1]]
        views = []
        for layer in self.decoder:
            x, view = layer(x, encoded)
            views.append(view)
        x = self.decoder_norm(x)
        logits = ((x if wanted is None else x[wanted]) @ table.T).float()
        others = torch.zeros(len(table))
        others[self.known] = math.log(VOCABULARY_SIZE - TIMES - self.known)
        return logits + others, views
