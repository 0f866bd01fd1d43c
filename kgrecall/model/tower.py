"""The recall tower: items through graph and modalities, users through their history.

    x^0     = [id_i + W t_i for items; free vectors for entities; 0 for users]
    x^l+1   = RelationConv_l(x^l)
    z_i     = fusion(id_i, W t_i, sum_l>0 beta_l x_i^l)
    z_u     = normalise(sum_{j in history(u)} w_uj d_j^-a p_j)

Every item has two vectors: ``p_i`` places users, ``q_i`` is searched. Neither users nor unseen items need a parameter of
their own.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from kgrecall.model.gcn import Adjacencies, RelationConv
from kgrecall.model.initial import item_factors
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.modality import ModalityFusion
from kgrecall.settings import Settings


class TowerConfig(Settings):
    """The shape of the model."""

    dim: int = Field(default=128, ge=2)
    """Length of the vectors."""
    num_layers: int = Field(default=2, ge=0)
    """Propagation steps over the graph; 0 leaves the graph out."""
    interactions_in_graph: bool = False
    """Propagate over user-item edges too, not only over knowledge."""
    history_power: float = Field(default=0.25, ge=0.0, le=1.0)
    """Exponent a of ``d_j^-a``: how much popular items of a history count less."""


def joint_adjacencies(inputs: ModelInputs, *, with_interactions: bool) -> dict[str, sparse.csr_array]:
    """Symmetric matrices over the node space [items | entities by label | users], one per relation."""
    offsets = {inputs.item_label: 0}
    size = inputs.num_items
    for label, count in inputs.node_sizes.items():
        offsets[label] = size
        size += count
    users_at = size
    size += inputs.num_users if with_interactions else 0
    out = {}
    for part in inputs.knowledge:
        name = f"{part.relation}:{part.label}{':reverse' if part.reverse else ''}"
        out[name] = _symmetric(part.matrix, 0, offsets[part.label], size)
    if with_interactions:
        out["interaction"] = _symmetric(inputs.history().T.tocsr(), 0, users_at, size)
    return out


def _symmetric(block: sparse.csr_array, row_offset: int, column_offset: int, size: int) -> sparse.csr_array:
    coo = block.tocoo()
    row, column = coo.row.astype(np.int64) + row_offset, coo.col.astype(np.int64) + column_offset
    half = sparse.coo_array((coo.data, (row, column)), (size, size)).tocsr()
    return sparse.csr_array(half + half.T)


class RecallTower(nn.Module):
    """Vectors for all items in both roles.

    Args:
        inputs: what is known of the catalogue.
        config: shape of the model.
        seed: of the initial values.
    """

    def __init__(self, inputs: ModelInputs, config: TowerConfig, *, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        history = inputs.history()
        events = torch.from_numpy(np.bincount(history.indices, minlength=inputs.num_items).astype(np.float32))
        self.num_items, self.config = inputs.num_items, config
        start = torch.from_numpy(item_factors(history, config.dim, seed))
        start = start / start.norm(dim=1).mean().clamp_min(1e-12)
        self.item_id = nn.Parameter(torch.cat([start, start], dim=1))  # (num_items, 2 dim)
        self.register_buffer("known", (events > 0).float()[:, None])
        self.register_buffer("history_scale", events.clamp_min(1.0).pow(-config.history_power)[:, None])
        self.register_buffer("text", None if inputs.text is None else torch.from_numpy(inputs.text))
        self.text_map: nn.Parameter | None = None
        if inputs.text is not None:
            width = inputs.text.shape[1]
            self.text_map = nn.Parameter(torch.randn(width, 2 * config.dim, generator=generator) * width**-0.5)
        matrices = joint_adjacencies(inputs, with_interactions=config.interactions_in_graph) if config.num_layers else {}
        self.adjacencies = Adjacencies.build(matrices) if matrices else None
        self.convs = nn.ModuleList()
        if self.adjacencies is not None:
            self.convs.extend(RelationConv(len(matrices)) for _ in range(config.num_layers))
            entities = sum(inputs.node_sizes.values())
            self.entity = nn.Parameter(torch.randn(entities, 2 * config.dim, generator=generator) * 0.1 * config.dim**-0.5)
        self.register_buffer("replaceable", _has_other_modality(inputs, graph=bool(matrices)))
        self.layer_weight = nn.Parameter(torch.full((config.num_layers,), 1.0 / max(config.num_layers, 1)))
        self.fusion = ModalityFusion(events)

    known: Tensor
    replaceable: Tensor
    history_scale: Tensor
    text: Tensor | None

    def forward(self, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input and output vectors of all items.

        Args:
            kept: bool (num_items,), False where modality dropout hides the id in this step.

        Shapes: ``(inputs (num_items, d) scaled for summing, outputs (num_items, d) of unit length)``.
        """
        visible = self.known if kept is None else self.known * (kept[:, None] | ~self.replaceable[:, None])
        item_id = self.item_id * visible  # (num_items, 2 d)
        text = None if self.text is None or self.text_map is None else self.text @ self.text_map  # (num_items, 2 d)
        fused = self.fusion(item_id, text, self._neighbourhood(item_id, text))
        sources, targets = fused.chunk(2, dim=1)
        return sources * self.history_scale, functional.normalize(targets, dim=1)

    def relation_weights(self) -> dict[str, tuple[float, ...]]:
        """Learned weight of each relation in each layer."""
        if self.adjacencies is None:
            return {}
        table = functional.softplus(torch.stack([conv.get_parameter("logit") for conv in self.convs])).T
        return dict(zip(self.adjacencies.relations, (tuple(row) for row in table.tolist()), strict=True))

    def _neighbourhood(self, item_id: Tensor, text: Tensor | None) -> Tensor | None:
        if self.adjacencies is None:
            return None
        items = item_id if text is None else item_id + text
        rest = self.adjacencies.num_nodes - self.num_items - len(self.entity)
        x = torch.cat([items, self.entity, items.new_zeros(rest, items.shape[1])])  # (num_nodes, 2 d)
        total = torch.zeros_like(items)
        for weight, conv in zip(self.layer_weight, self.convs, strict=True):
            x = conv(x, self.adjacencies)
            total = total + weight * x[: self.num_items]
        return total


def _has_other_modality(inputs: ModelInputs, *, graph: bool) -> Tensor:
    """Items that keep a text or a neighbour when their id is hidden: bool (num_items,)."""
    found = np.zeros(inputs.num_items, np.bool_)
    if inputs.text is not None:
        found |= inputs.text.any(axis=1)
    for part in inputs.knowledge if graph else ():
        found |= np.diff(part.matrix.indptr) > 0
    return torch.from_numpy(found)


def place_users(inputs: Tensor, items: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Unit vectors of users from their histories: normalised weighted sums of input vectors.

    Shapes: inputs (num_items, d); items int64 (n,), weight (n,), all histories end to end; offsets int64 (q,), where
    each begins -> (q, d), a zero row for an empty history.
    """
    sums = functional.embedding_bag(items, inputs, offsets, mode="sum", per_sample_weights=weight)
    return functional.normalize(sums, dim=1)
