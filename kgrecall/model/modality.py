"""Modality fusion: one vector per item from its id, its text and its neighbourhood.

    z_i = g_id(i) a_i + g_text(i) W t_i + g_hood(i) h_i,        g_m(i) = sigmoid(b_m + c_m log(1 + degree_i))

The gates depend on how often an item was met, so that rare items lean on text and neighbours. Modality dropout hides the id of
random items during training (DropoutNet, Volkovs et al., NeurIPS 2017), so text and neighbours alone must place an
item; an item without interactions has no id vector at all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MODALITIES = ("id", "text", "neighbourhood")


class ModalityFusion(nn.Module):
    """Gated sum of the modalities.

    Args:
        degree: float32 (num_items,), number of training events of each item.
    """

    def __init__(self, degree: Tensor) -> None:
        super().__init__()
        self.register_buffer("log_degree", torch.log1p(degree))
        self.bias = nn.Parameter(torch.empty(len(MODALITIES)))
        self.slope = nn.Parameter(torch.empty(len(MODALITIES)))
        self.reset_parameters()

    log_degree: Tensor

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.slope)

    def gates(self) -> Tensor:
        """Gate of each modality for each item, (num_items, 3)."""
        return torch.sigmoid(self.bias + self.log_degree[:, None] * self.slope)

    def forward(self, item_id: Tensor, text: Tensor | None, neighbourhood: Tensor | None) -> Tensor:
        """Fuse (num_items, d) vectors; a modality that the data lacks is None."""
        gates = self.gates()
        fused = gates[:, 0, None] * item_id
        if text is not None:
            fused = fused + gates[:, 1, None] * text
        if neighbourhood is not None:
            fused = fused + gates[:, 2, None] * neighbourhood
        return fused
