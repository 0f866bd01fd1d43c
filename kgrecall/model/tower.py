"""The recall tower: items through graph and modalities, users through their history.

    x^0     = [a_i for items; free vectors for entities; 0 for users]
    x^l+1   = RelationConv_l(x^l)
    h_i     = sum_l>0 beta_l x_i^l
    z_i     = fusion(a_i, W t_i, h_i)
    z_u     = normalise(sum_{j in history(u)} w_uj d_j^-a p_j)

z = [p | q]: ``p_i`` places users, ``q_i`` is searched. Neither users nor unseen items have a parameter of their own. Training
begins where closed forms lead: ``a`` at the singular vectors of the interactions, entities and ``W`` at a ridge regression
to them.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from kgrecall.graph.singular import item_factors
from kgrecall.model.gcn import Adjacencies, RelationConv, csr_array
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.modality import ModalityFusion
from kgrecall.model.relations import relation_matrices
from kgrecall.model.ridge import ItemFeatures, ridge
from kgrecall.settings import Settings
from kgrecall.types import FloatArray


class TowerConfig(Settings):
    """The shape of the model."""

    dim: int = Field(default=128, ge=2)
    """Length of the vectors."""
    num_layers: int = Field(default=1, ge=0)
    """Propagation steps over the graph; 0 leaves the graph out."""
    interactions_in_graph: bool = False
    """Propagate over user-item edges too, not only over knowledge; this shows from two layers on."""
    history_power: float = Field(default=0.0, ge=0.0, le=1.0)
    """Exponent a of ``d_j^-a``: how much popular items of a history count less."""
    ridge_penalty: float = Field(default=0.3, gt=0.0)
    """How strongly the regression from text and neighbours to item vectors is pulled to zero."""
    unseen_scale: float = Field(default=1.0, ge=0.0)
    """Multiplies the searched vectors of items without interactions: below 1 they are recalled with more caution."""


class RecallTower(nn.Module):
    """Vectors for all items in both roles.

    Args:
        inputs: what is known of the catalogue.
        config: shape of the model.
        seed: of the initial values.
        device: where the graph lies.
    """

    known: Tensor
    """Bool (num_items,): has interactions."""
    described: Tensor
    """Bool (num_items,): has a text or a neighbour, so that it can do without its id."""
    history_scale: Tensor
    text: Tensor | None

    def __init__(self, inputs: ModelInputs, config: TowerConfig, *, seed: int, device: str = "cpu") -> None:
        super().__init__()
        self.num_items, self.config = inputs.num_items, config
        history = inputs.history()
        degree = np.bincount(history.indices, minlength=inputs.num_items).astype(np.float32)
        self._confidence = np.sqrt(degree) / np.sqrt(degree[degree > 0]).mean()
        self.space, matrices = relation_matrices(inputs, with_interactions=config.interactions_in_graph)
        layers = config.num_layers if matrices else 0
        self.adjacencies = Adjacencies.build(matrices, device=device) if layers else None
        self.convs = nn.ModuleList(RelationConv(len(matrices)) for _ in range(layers))
        self.layer_weight = nn.Parameter(torch.eye(1, layers)[0])  # beta: begin with direct neighbours alone
        self.fusion = ModalityFusion(torch.from_numpy(degree))
        self._buffer("known", torch.from_numpy(degree > 0))
        self._buffer("history_scale", torch.from_numpy(np.maximum(degree, 1.0) ** -config.history_power)[:, None])
        self._buffer("text", None if inputs.text is None else torch.from_numpy(centred(inputs.text)))
        features = self.features()
        self._buffer("described", torch.from_numpy(features.present()))
        start = item_factors(history, config.dim, seed)
        start /= np.linalg.norm(start, axis=1)[degree > 0].mean()
        content = ridge(features, start, self._confidence, config.ridge_penalty)
        self.item_id = nn.Parameter(_in_both_roles(start))  # (num_items, 2 d)
        self.entity = nn.Parameter(_in_both_roles(content[: features.num_entities]))  # (num_entities, 2 d)
        self.text_map = nn.Parameter(_in_both_roles(content[features.num_entities :]))  # (text_dim, 2 d)

    def _buffer(self, name: str, tensor: Tensor | None) -> None:
        self.register_buffer(name, tensor, persistent=False)  # follows from the inputs: a checkpoint need not hold it

    def features(self) -> ItemFeatures:
        """Direct neighbours, under the current relation weights, and texts."""
        text = None if self.text is None else self.text.cpu().numpy()
        if self.adjacencies is None:
            return ItemFeatures(self.num_items, None, text)
        weight = functional.softplus(self.convs[0].get_parameter("logit").detach())
        entities = slice(self.num_items, self.num_items + self.space.num_entities)
        return ItemFeatures(self.num_items, csr_array(self.adjacencies.weighted(weight))[: self.num_items, entities], text)

    def forward(self, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input and output vectors of all items.

        Args:
            kept: bool (num_items,), False where modality dropout hides the id in this step.

        Shapes: ``(inputs (num_items, d) scaled for summing, outputs (num_items, d))``. Outputs have length 1, or at most 1
        where the id is hidden: what is less certain scores lower. At length 1 they would crowd out all others, for what
        text and neighbours predict lies near the mean of many items.
        """
        visible = self.known if kept is None else self.known & (kept | ~self.described)
        text = None if self.text is None else self.text @ self.text_map  # (num_items, 2 d)
        hood = self._neighbourhood(self.item_id * visible[:, None])
        sources, targets = self.fusion(self.item_id, text, hood, visible).chunk(2, dim=1)
        length = targets.norm(dim=1, keepdim=True)
        length = torch.where(visible[:, None], length, length.clamp_min(1.0)).clamp_min(1e-12)
        return sources * self.history_scale, targets / length

    def _neighbourhood(self, items: Tensor) -> Tensor | None:
        if self.adjacencies is None:
            return None
        x = torch.cat([items, self.entity, items.new_zeros(self.space.num_users, items.shape[1])])  # (num_nodes, 2 d)
        total = torch.zeros_like(items)
        for weight, conv in zip(self.layer_weight, self.convs, strict=True):
            x = conv(x, self.adjacencies)
            total = total + weight * x[: self.num_items]
        return total

    def relation_weights(self) -> dict[str, tuple[float, ...]]:
        """Learned weight of each relation in each layer."""
        if self.adjacencies is None:
            return {}
        table = functional.softplus(torch.stack([conv.get_parameter("logit").detach() for conv in self.convs])).T
        return dict(zip(self.adjacencies.relations, (tuple(row) for row in table.tolist()), strict=True))

    @torch.no_grad()
    def export(self) -> tuple[FloatArray, FloatArray]:
        """Final input and output vectors, each float32 (num_items, d).

        Items without interactions are placed by a new regression from text and neighbours to the trained vectors of all others.
        Entities that were trained together with the ids explain what the ids leave over, and place new items a good deal worse.
        """
        sources, targets = (t.cpu().numpy() for t in self())
        known, features = self.known.cpu().numpy(), self.features()
        if known.all() or not features.present().any():
            return sources, targets
        both = np.concatenate([sources / self.history_scale.cpu().numpy(), targets], axis=1)
        placed = features.apply(ridge(features, both, self._confidence, self.config.ridge_penalty))
        new_sources, new_targets = np.split(placed[~known], 2, axis=1)
        sources[~known] = new_sources
        length = np.maximum(np.linalg.norm(new_targets, axis=1, keepdims=True), 1.0)
        targets[~known] = self.config.unseen_scale * new_targets / length
        return sources, targets


def _in_both_roles(x: FloatArray) -> Tensor:
    return torch.from_numpy(np.concatenate([x, x], axis=1))


def centred(text: FloatArray) -> FloatArray:
    """Text vectors without what all texts share; zero rows (no text) stay zero."""
    present = np.asarray(text.any(axis=1))
    shared = text[present].mean(axis=0) if present.any() else 0.0
    return np.where(present[:, None], text - shared, 0.0).astype(np.float32)


def place_users(inputs: Tensor, items: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Unit vectors of users from their histories: normalised weighted sums of input vectors.

    Shapes: inputs (num_items, d); items int64 (n,), weight (n,), all histories end to end; offsets int64 (q,), where
    each begins -> (q, d), a zero row for an empty history.
    """
    sums = functional.embedding_bag(items, inputs, offsets, mode="sum", per_sample_weights=weight)
    return functional.normalize(sums, dim=1)
