"""Causal self-attention over histories: learns what comes next from the fused vectors of what came before.

The arithmetic, and what each array means, stand in :mod:`kgrecall.recall.channels.history_encoder`, which serves what is
exported here.
Training begins at the mean of the history, so at the tower's own way of placing users: attention is even, values pass
unchanged. Where a history is at a place, the items of the next ``horizon`` places are right, nearer ones more (dense all-action
loss: Pancha et al., "PinnerFormer", KDD 2022), among negatives whose number makes up for popularity (Klenitskiy & Vasilev,
"Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kgrecall.graph.gaps import NUM_GAPS
from kgrecall.model.sequences import Windows
from kgrecall.settings import Settings
from kgrecall.types import FloatArray

_NEVER = -1e30
_SMALL = 0.16
"""Standard deviation of the first questions and keys: attention is nearly even."""


class AttentionConfig(Settings):
    """The shape of the encoder and how it is trained."""

    length: int = Field(default=50, ge=2)
    """Newest events of a history that count."""
    num_layers: int = Field(default=1, ge=1)
    """Layers of attention."""
    heads: int = Field(default=2, ge=1)
    """Heads of each layer; they divide the dimension of the item vectors."""
    inner: int = Field(default=128, ge=1)
    """Width of what each event goes through after attention."""
    time_tokens: bool = False
    """Tell how long after the one before each event came."""
    horizon: int = Field(default=10, ge=1)
    """Events ahead that are right."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """What each further event ahead counts against the one before."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the events."""
    min_steps: int = Field(default=40, ge=1)
    """Least steps in all; few events are passed over more often."""
    batch_events: int = Field(default=3200, ge=2)
    """Events in one step, about."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """Step size of Adam."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the numbers of each event that are hidden in a step."""
    temperature: float = Field(default=0.15, gt=0)
    """Cosines are divided by this before the loss, at the beginning: it is learned."""
    num_negatives: int = Field(default=512, ge=1)
    """Negatives drawn for each step; smaller catalogues are used whole."""
    negative_power: float = Field(default=0.5, ge=0, le=1)
    """Negatives are drawn in proportion to ``degree ** negative_power``."""
    moment_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the events that are predicted without knowing hour, weekday and other contexts, as most questions are asked."""


class AttentionEncoder(nn.Module):
    """Users from histories, at every place of each.

    Args:
        inputs: float32 (num_items, dim), vectors of what was chosen; stays as it is, beside changes that are learned.
        num_moments: codes of contexts.
        seed: of the initial values.
    """

    inputs: Tensor

    def __init__(self, inputs: FloatArray, config: AttentionConfig, *, num_moments: int, seed: int) -> None:
        super().__init__()
        dim = inputs.shape[1]
        generator = torch.Generator().manual_seed(seed)
        lengths = np.linalg.norm(inputs, axis=1)
        usual = np.float32(lengths[lengths > 0].mean() if lengths.any() else 1)
        self.dropout = config.dropout
        self.register_buffer("inputs", torch.from_numpy(inputs / usual), persistent=False)
        self.change = nn.Embedding(len(inputs), dim, sparse=True)
        nn.init.zeros_(self.change.weight)
        self.gaps = nn.Parameter(torch.zeros(NUM_GAPS if config.time_tokens else 0, dim))
        self.moments = nn.Parameter(torch.zeros(num_moments, dim))
        self.layers = nn.ModuleList(AttentionLayer(dim, config, generator) for _ in range(config.num_layers))
        self.sharpness = nn.Parameter(torch.tensor(-np.log(config.temperature), dtype=torch.float32))

    def forward(self, windows: Windows) -> Tensor:
        """Unit vectors (q, n, dim), each divided by the temperature."""
        x = self.inputs[windows.items] + self.change(windows.items)
        if len(self.gaps):
            x = x + functional.embedding(windows.gaps, self.gaps)
        x = functional.dropout(x, self.dropout, self.training)
        for layer in self.layers[:-1]:
            x = layer(x, x)
        x = self.layers[-1](x + self._asked(windows), x)
        return functional.normalize(x, dim=-1) * self.sharpness.exp()

    def _asked(self, windows: Windows) -> Tensor | float:
        """What each place knows of the moment of the event after it: the sum of its contexts, (q, n, dim)."""
        if windows.moments is None or not len(self.moments):
            return 0.0
        known = windows.moments >= 0
        tokens = functional.embedding(windows.moments.clamp_min(0), self.moments)  # (q, n, num_fields, dim)
        return (tokens * known[..., None]).sum(dim=2)

    @torch.no_grad()
    def export(self) -> dict[str, FloatArray]:
        """Arrays by the names of :class:`~kgrecall.recall.channels.history_encoder.HistoryEncoder`, and ``inputs`` (num_items,
        dim)."""
        named = {"inputs": self.inputs + self.change.weight, "gaps": self.gaps, "moments": self.moments}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, AttentionLayer)
            named |= {f"{number}.{name}": tensor for name, tensor in layer.export().items()}
        return {name: tensor.detach().float().cpu().contiguous().numpy() for name, tensor in named.items()}


class AttentionLayer(nn.Module):
    """One layer: attention without normalisation of what is summed, then a network of one hidden layer."""

    def __init__(self, dim: int, config: AttentionConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ask = nn.Parameter(torch.randn(dim, dim, generator=generator) * _SMALL)
        self.key = nn.Parameter(torch.randn(dim, dim, generator=generator) * _SMALL)
        self.value, self.out = nn.Parameter(torch.eye(dim)), nn.Parameter(torch.eye(dim))
        self.distance = nn.Parameter(torch.zeros(config.heads, config.length))
        self.keep = nn.Parameter(torch.tensor([0.2]))
        self.up = nn.Parameter(torch.randn(dim, config.inner, generator=generator) * dim**-0.5)
        self.up_bias = nn.Parameter(torch.zeros(config.inner))
        self.down, self.down_bias = nn.Parameter(torch.zeros(config.inner, dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, asking: Tensor, x: Tensor) -> Tensor:
        """What each place becomes when it asks those up to it. Shapes: (q, n, dim) -> (q, n, dim)."""
        q, n, dim = x.shape
        asks, keys, values = (
            part.view(q, n, self.heads, -1).transpose(1, 2)
            for part in (self.before(asking) @ self.ask, self.before(x) @ self.key, x @ self.value)
        )
        step = torch.arange(n, device=x.device)[:, None] - torch.arange(n, device=x.device)
        near = self.distance[:, step.clamp_min(0)].masked_fill(step < 0, _NEVER)
        heard = functional.scaled_dot_product_attention(asks, keys, values, attn_mask=near[None])
        x = self.keep * asking + heard.transpose(1, 2).reshape(q, n, dim) @ self.out
        inner = functional.relu(self.between(x) @ self.up + self.up_bias)
        return x + functional.dropout(inner @ self.down + self.down_bias, self.dropout, self.training)

    def export(self) -> dict[str, Tensor]:
        """Gains and shifts of the normalisations become part of the matrices after them."""
        before, between = self.before, self.between
        return {
            "ask": before.weight[:, None] * self.ask,
            "ask_bias": before.bias @ self.ask,
            "key": before.weight[:, None] * self.key,
            "value": self.value,
            "out": self.out,
            "distance": self.distance,
            "keep": self.keep,
            "up": between.weight[:, None] * self.up,
            "up_bias": self.up_bias + between.bias @ self.up,
            "down": self.down,
            "down_bias": self.down_bias,
        }
