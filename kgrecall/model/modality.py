"""Modality fusion: one vector per item from its id, what describes it (text, own vectors) and its neighbourhood.

    z_i = g_id(i) a_i + g_text(i) W t_i + g_hood(i) h_i,        g_m(i) = sigmoid(b_m + c_m log(1 + degree_i))

The gates depend on how often an item was met. Modality dropout hides the id of random items during training (DropoutNet,
Volkovs et al., NeurIPS 2017): a hidden item is ``W t_i + h_i``, ungated, exactly as an item without interactions is later.
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

    log_degree: Tensor

    def __init__(self, degree: Tensor) -> None:
        super().__init__()
        log_degree = torch.log1p(degree)
        self.register_buffer("log_degree", log_degree / log_degree[degree > 0].mean())
        self.bias = nn.Parameter(torch.empty(len(MODALITIES)))
        self.slope = nn.Parameter(torch.empty(len(MODALITIES)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with the id: the other modalities add to it and are half open."""
        with torch.no_grad():
            self.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
            self.slope.zero_()

    def gates(self) -> Tensor:
        """Gate of each modality for each item, (num_items, 3)."""
        return torch.sigmoid(self.bias + self.log_degree[:, None] * self.slope)

    def forward(self, item_id: Tensor, text: Tensor | None, hood: Tensor | None, visible: Tensor) -> Tensor:
        """Fuse (num_items, d) vectors; a modality that the data lacks is None; visible bool (num_items,): id shown."""
        gates = self.gates()
        shown, hidden = gates[:, 0, None] * item_id, torch.zeros_like(item_id)
        for column, part in ((1, text), (2, hood)):
            if part is not None:
                shown, hidden = shown + gates[:, column, None] * part, hidden + part
        return torch.where(visible[:, None], shown, hidden)
