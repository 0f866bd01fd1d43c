"""The recall tower: items through graph and modalities, users through their history.

    x^0     = [a_i for items; free vectors for entities; 0 for users]
    x^l+1   = RelationConv_l(x^l)
    h_i     = sum_l>0 beta_l x_i^l
    z_i     = fusion(a_i, W t_i, h_i)                 t_i: text and own vectors
    z_u     = normalise(sum_{j in history(u)} w_uj d_j^-a p_j)
    z_s     = normalise(sum_{j in s} p_j) for a set s: the items of an entity, or of alike texts

z = [p | q]: ``p_i`` places users and sets, ``q_i`` is searched. Users and sets have no parameter of their own: an entity hears
its items in ``z_s``, and in the loss they hear the entity, which is one round of propagation there and back in each step.
Training begins where closed forms lead: ``a`` at collective factors of histories and sets, entities and ``W`` at a ridge
regression to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from kgrecall.graph.alternating import alternating_factors, in_own_basis
from kgrecall.graph.singular import item_factors
from kgrecall.model.feature_weights import learned_weights
from kgrecall.model.features import FeatureBlocks, FeatureWeights, ItemFeatures
from kgrecall.model.gcn import Adjacencies, RelationConv
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.item_sets import ItemSets, item_sets
from kgrecall.model.modality import ModalityFusion
from kgrecall.model.relations import INTERACTION, NodeSpace, relation_matrices
from kgrecall.model.ridge import ridge
from kgrecall.settings import Settings
from kgrecall.types import FloatArray

_ROUNDS = 5
"""Rounds of alternating least squares at the start."""


class TowerConfig(Settings):
    """The shape of the model."""

    dim: int = Field(default=128, ge=2)
    """Length of the vectors."""
    num_layers: int = Field(default=0, ge=0)
    """Steps of the relational convolution in training; with 0 the graph teaches through its sets alone: much faster."""
    interactions_in_graph: bool = False
    """Propagate over user-item edges too, not only over knowledge; this shows from two layers on."""
    history_power: float = Field(default=0.0, ge=0.0, le=1.0)
    """Exponent a of ``d_j^-a``: how much popular items of a history count less."""
    knowledge: float = Field(default=1.0, ge=0.0)
    """What the items of an entity count against the history of a user; 0 leaves sets of the graph out."""
    text: float = Field(default=0.03, ge=0.0)
    """What items of alike texts, or of alike own vectors, count against the history of a user; 0 leaves such sets out. Much
    more pulls apart what people choose together: Recall@20 of new items among themselves, ml1m-kg, .4661 by 0.3,
    .4700 by 0.03 (p .001)."""
    text_neighbours: int = Field(default=10, ge=1)
    """Items with the closest texts or vectors in such a set."""
    start: Literal["factors", "singular"] = "factors"
    """Vectors before training: least squares over histories and sets, or the singular vectors of the interactions."""
    unobserved: float = Field(default=100.0, gt=0.0)
    """In the start: what all items that a user has not chosen count together against one that was."""
    regularization: float = Field(default=0.02, gt=0.0)
    """In the start: how strongly vectors are pulled to zero."""
    ridge_penalty: float = Field(default=0.3, gt=0.0)
    """How strongly the regression from text, own vectors and neighbours to item vectors is pulled to zero."""
    text_scale: float = Field(default=0.3, gt=0.0)
    """Length of the vector of a text, or of an own one, beside the edges in that regression: the shorter, the less it is
    trusted."""
    learn_worth: bool = True
    """Place items without interactions by what each relation, the texts and own vectors are worth, learned on items held out;
    without, all relations are worth the same, and ``text_scale`` and ``ridge_penalty`` hold."""
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

    met: Tensor
    """Bool (num_items,): has interactions."""
    known: Tensor
    """Bool (num_items,): has interactions or is in a set, so that its id is learned."""
    described: Tensor
    """Bool (num_items,): has a text, a vector, or a neighbour in a layer, so that it can do without its id."""
    history_scale: Tensor
    dense: Tensor | None
    """Float32 (num_items, dense_dim): texts and own vectors side by side."""

    def __init__(self, inputs: ModelInputs, config: TowerConfig, *, seed: int, device: str = "cpu") -> None:
        super().__init__()
        self.num_items, self.config = inputs.num_items, config
        history = inputs.history()
        degree = np.bincount(history.indices, minlength=inputs.num_items).astype(np.float32)
        self._confidence = np.sqrt(degree) / np.sqrt(degree[degree > 0]).mean()
        self.space, matrices = relation_matrices(inputs, with_interactions=config.interactions_in_graph)
        self.blocks = _blocks(inputs, self.space, matrices)
        names, told_by = self.blocks.relations, dict.fromkeys(self.blocks.dense, config.text_scale)
        self.even = FeatureWeights(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.5), told_by, config.ridge_penalty)
        layers = config.num_layers if matrices else 0
        self.adjacencies = Adjacencies.build(matrices, device=device) if layers else None
        self.convs = nn.ModuleList(RelationConv(len(matrices)) for _ in range(layers))
        self.layer_weight = nn.Parameter(torch.eye(1, layers)[0])  # beta: begin with direct neighbours alone
        self.fusion = ModalityFusion(torch.from_numpy(degree))
        self._buffer("met", torch.from_numpy(degree > 0))
        self._buffer("history_scale", torch.from_numpy(np.maximum(degree, 1.0) ** -config.history_power)[:, None])
        features = self.features()
        dense = list(self.blocks.dense.values())
        self._buffer("dense", torch.from_numpy(np.concatenate(dense, axis=1)) if dense else None)
        told = features if layers else ItemFeatures(self.num_items, None, features.dense)
        self._buffer("described", torch.from_numpy(told.present()))
        self.sets = item_sets(inputs, knowledge=config.knowledge, text=config.text, neighbours=config.text_neighbours)
        self._buffer("known", self.met | torch.from_numpy(np.diff(self.sets.matrix.tocsc().indptr) > 0))
        start = _start(history, self.sets, config, seed) if config.start == "factors" else _singular(history, config.dim, seed)
        content = ridge(features, start, self._confidence, config.ridge_penalty)
        self.item_id = nn.Parameter(torch.from_numpy(start))  # (num_items, 2 d)
        self.entity = nn.Parameter(torch.from_numpy(content[: told.num_entities]))  # (num_entities, 2 d)
        self.dense_map = nn.Parameter(torch.from_numpy(content[features.num_entities :]))  # (dense_dim, 2 d)

    def _buffer(self, name: str, tensor: Tensor | None) -> None:
        self.register_buffer(name, tensor, persistent=False)  # follows from the inputs: a checkpoint need not hold it

    def features(self) -> ItemFeatures:
        """Direct neighbours, texts and vectors, each relation by its weight in the first layer."""
        if self.adjacencies is None:
            return self.blocks.weighed(self.even)
        first = functional.softplus(self.convs[0].get_parameter("logit").detach()).tolist()
        learned = dict(zip(self.adjacencies.relations, first, strict=True))
        return self.blocks.weighed(replace(self.even, relations={name: learned[name] for name in self.blocks.relations}))

    def forward(self, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input and output vectors of all items.

        Args:
            kept: bool (num_items,), False where modality dropout hides the id in this step.

        Shapes: ``(inputs (num_items, d) scaled for summing, outputs (num_items, d))``. Outputs have length 1, or at most 1
        where the id is hidden: what is less certain scores lower. At length 1 they would crowd out all others, for what
        text and neighbours predict lies near the mean of many items.
        """
        visible = self.known if kept is None else self.known & (kept | ~self.described)
        told = None if self.dense is None else self.config.text_scale * (self.dense @ self.dense_map)  # (num_items, 2 d)
        hood = self._neighbourhood(self.item_id * visible[:, None])
        sources, targets = self.fusion(self.item_id, told, hood, visible).chunk(2, dim=1)
        length = targets.norm(dim=1, keepdim=True)
        length = torch.where((visible & self.met)[:, None], length, length.clamp_min(1.0)).clamp_min(1e-12)
        return sources * self.history_scale, targets / length

    def _neighbourhood(self, items: Tensor) -> Tensor | None:
        if self.adjacencies is None or not len(self.convs):
            return None
        x = torch.cat([items, self.entity, items.new_zeros(self.space.num_users, items.shape[1])])  # (num_nodes, 2 d)
        total = torch.zeros_like(items)
        for weight, conv in zip(self.layer_weight, self.convs, strict=True):
            x = conv(x, self.adjacencies)
            total = total + weight * x[: self.num_items]
        return total

    def relation_weights(self) -> dict[str, tuple[float, ...]]:
        """Learned weight of each relation in each layer."""
        if self.adjacencies is None or not len(self.convs):
            return {}
        table = functional.softplus(torch.stack([conv.get_parameter("logit").detach() for conv in self.convs])).T
        return dict(zip(self.adjacencies.relations, (tuple(row) for row in table.tolist()), strict=True))

    def worth(self, history: sparse.csr_array, *, seed: int) -> FeatureWeights:
        """What each relation, the texts and own vectors are worth for placing an item without interactions, if there is any."""
        learn = self.config.learn_worth and not bool(self.met.all())
        return learned_weights(self.blocks, history, self.even, seed=seed) if learn else self.even

    @torch.no_grad()
    def export(self, worth: FeatureWeights | None = None) -> tuple[FloatArray, FloatArray, dict[str, float]]:
        """Final input and output vectors, each float32 (num_items, d), and the shares of what is known of items without
        interactions in where those lie: of each relation, of ``text`` and of ``NAME vectors``.

        Items without interactions lie midway between the direction that the sets have taught their own vector and that of a
        new regression from text, vectors and neighbours to the trained vectors of all others: the less the two agree, the
        shorter. Entities that were trained together with the ids explain what the ids leave over, and place new items a good
        deal worse.

        Args:
            worth: of relations, texts and vectors, in that regression; all relations alike where it is None.
        """
        worth = worth or self.even
        sources, targets = (t.cpu().numpy() for t in self())
        met, known, features = self.met.cpu().numpy(), self.known.cpu().numpy(), self.blocks.weighed(worth)
        if met.all() or not features.present().any():
            return sources, targets, {}
        roles = [sources / self.history_scale.cpu().numpy(), targets]
        weights = ridge(features, np.concatenate(roles, axis=1), self._confidence, worth.penalty)
        placed = np.split(features.apply(weights), 2, axis=1)
        new_sources, new_targets = (
            midway(by_features[~met], own[~met] * known[~met, None]) for by_features, own in zip(placed, roles, strict=True)
        )
        sources[~met] = new_sources * np.linalg.norm(roles[0][met], axis=1).mean()
        targets[~met] = self.config.unseen_scale * new_targets
        return sources, targets, self.blocks.take(np.flatnonzero(~met)).shares(weights, worth)


def midway(*vectors: FloatArray) -> FloatArray:
    """The mean of the directions of some vectors each (n, d), over those that are not zero: length 1 where all agree."""
    units = np.stack([functional.normalize(torch.from_numpy(some), dim=1).numpy() for some in vectors])
    mean: FloatArray = units.sum(axis=0) / np.maximum(units.any(axis=2, keepdims=True).sum(axis=0), 1).astype(np.float32)
    return mean


def _blocks(inputs: ModelInputs, space: NodeSpace, matrices: Mapping[str, sparse.csr_array]) -> FeatureBlocks:
    """The edges of each relation to entities, the texts, and own vectors."""
    items, entities = slice(0, space.num_items), slice(space.num_items, space.num_items + space.num_entities)
    edges = {name: matrix[items, entities] for name, matrix in matrices.items() if name != INTERACTION}
    return FeatureBlocks.of(space.num_items, edges, {name: centred(part) for name, part in inputs.dense.items()})


def _start(history: sparse.csr_array, sets: ItemSets, config: TowerConfig, seed: int) -> FloatArray:
    """Collective factors of histories and sets, float32 (num_items, 2 d): what places a user, and what is searched.

    A user's own least squares ``(Q^T C Q + L)^-1 sum_j q_j`` becomes a sum over the history when the solution for the average
    user takes its place: ``p_j = (u Q^T Q + L)^-1 q_j``. Both roles are scaled to a mean length of 1 over the items met.
    """
    met, unobserved = np.diff(history.tocsc().indptr) > 0, config.unobserved / history.shape[1]
    chosen = sparse.csr_array(sparse.vstack([history, sets.matrix], format="csr"), dtype=np.float32)
    chosen.data = np.ones_like(chosen.data)
    items, spectrum = in_own_basis(
        alternating_factors(
            chosen,
            dim=config.dim,
            unobserved=unobserved,
            regularization=config.regularization,
            rounds=_ROUNDS,
            seed=seed,
            weight=np.concatenate([np.ones(history.shape[0], np.float32), sets.weight]),
        )
    )
    counts = np.diff(history.indptr)
    usual = counts[counts > 0].mean() + config.unobserved
    roles = items / (unobserved * spectrum + config.regularization * usual), items
    scaled = [role / max(float(np.linalg.norm(role, axis=1)[met].mean()), 1e-12) for role in roles]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def _singular(history: sparse.csr_array, dim: int, seed: int) -> FloatArray:
    """Singular vectors in both roles, float32 (num_items, 2 d), of mean length 1 over the items met."""
    start = item_factors(history, dim, seed)
    start /= np.linalg.norm(start, axis=1)[np.diff(history.tocsc().indptr) > 0].mean()
    return np.concatenate([start, start], axis=1)


def centred(part: FloatArray) -> FloatArray:
    """Vectors without what all share; zero rows (nothing is known) stay zero."""
    present = np.asarray(part.any(axis=1))
    shared = part[present].mean(axis=0) if present.any() else 0.0
    return np.where(present[:, None], part - shared, 0.0).astype(np.float32)


def place_users(inputs: Tensor, items: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """Unit vectors of users from their histories: normalised weighted sums of input vectors.

    Shapes: inputs (num_items, d); items int64 (n,), weight (n,), all histories end to end; offsets int64 (q,), where
    each begins -> (q, d), a zero row for an empty history.
    """
    sums = functional.embedding_bag(items, inputs, offsets, mode="sum", per_sample_weights=weight)
    return functional.normalize(sums, dim=1)
