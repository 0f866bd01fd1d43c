"""Items placed by what is known of them, in the metric that common choices teach: how an item that nobody has met is found.

    F = [text, own vectors, graph],   M = (F^T F + l I)^-1 F^T W F (F^T F + l I)^-1,   score(i) = sum_j w_j F_j M F_i

over the history j, with F and W of the items that were met. M is the ridge regression of item-kNN W from both sides on features
F: which words and which entities go together in what people choose, not only which are alike. Closed form, so that a new item
needs its own row of F and no training. Low-rank bilinear maps from side information: Menon & Elkan (2010), "A log-linear model
with latent features for dyadic prediction"; attribute-to-feature maps for cold items: Gantner et al. (ICDM 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from kgrecall.recall.channels.item_knn import ItemKnnConfig, build_item_knn
from kgrecall.recall.channels.node_space import NodeSpace
from kgrecall.recall.channels.sparse_rows import Matrix, row_and_column_sums, scaled
from kgrecall.recall.channels.vector import normalised
from kgrecall.settings import Settings
from kgrecall.types import BoolArray, Embeddings, FloatArray, Interactions

_ROUNDS, _SPARE = 4, 16


class ContentConfig(Settings):
    """How items are described, and how closely common choices are followed."""

    graph_dim: int = Field(default=256, ge=1)
    """Directions kept of the nodes that items share."""
    l2: float = Field(default=100.0, gt=0)
    """How strongly M is pulled to zero; in units of items. Choose on items hidden from training."""
    target: ItemKnnConfig = ItemKnnConfig(a=0.5, b=0.5, c=0.5, k=200)
    """The item-kNN that M follows: symmetric, so that rare items count as much as popular ones."""


def content_features(
    space: NodeSpace | None, told: Sequence[FloatArray], num_items: int, *, dim: int = 256, seed: int = 0
) -> FloatArray:
    """Texts and own vectors (centred, of length 1) beside the strongest directions of the shared nodes (mean length 1).

    Shapes: told float32 (num_items, some_dim) each -> float32 (num_items, f); a zero row where nothing is known.
    """
    parts = [np.zeros((num_items, 0), np.float32)]
    for vectors in told:
        has: BoolArray = (vectors != 0).any(axis=1)
        mean = vectors[has].mean(axis=0) if has.any() else np.zeros(vectors.shape[1], np.float32)
        parts.append(normalised((vectors - mean) * has[:, None]))
    if space is not None and space.matrix.nnz:
        parts.append(_directions(space.matrix, dim, seed))
    return np.concatenate(parts, axis=1)


def build_content(interactions: Interactions, features: FloatArray, config: ContentConfig | None = None) -> Embeddings:
    """Arrays for a :class:`~kgrecall.recall.channels.vector.VectorChannel`; users have none of their own, their history places
    them.

    Shapes: features float32 (num_items, f) -> items (num_items, f): the features; item_inputs (num_items, f): features times M.
    """
    config = config or ContentConfig()
    met = met_items(interactions) & features.any(axis=1)
    known = features[met].astype(np.float64)
    similarity = build_item_knn(interactions, config.target)[met][:, met]
    inverse = np.linalg.inv(known.T @ known + config.l2 * np.eye(features.shape[1]))
    metric = inverse @ (known.T @ (similarity @ known)) @ inverse
    scale = np.abs(metric).max(initial=0.0) or 1.0  # a metric knows no unit; float32 does
    inputs = (features @ (metric / scale)).astype(np.float32)
    return Embeddings(np.zeros((0, features.shape[1]), np.float32), features, inputs)


def met_items(interactions: Interactions) -> BoolArray:
    """bool (num_items,): items with an event."""
    met: BoolArray = np.bincount(interactions.item_pos, minlength=interactions.num_items) > 0
    return met


def _directions(matrix: Matrix, dim: int, seed: int) -> FloatArray:
    """Left singular vectors times singular values, rows of length 1 on average, of items x nodes with rare nodes counting more.

    Randomised subspace iteration (Halko, Martinsson & Tropp, 2011).
    """
    degree = np.bincount(matrix.indices, minlength=matrix.shape[1])
    lengths = np.sqrt(row_and_column_sums(matrix.multiply(matrix).tocsr())[0])
    rows = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)
    weighed = scaled(matrix, rows, (np.maximum(degree, 1) ** -0.5).astype(np.float32))
    width = min(dim + _SPARE, *matrix.shape)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], width)).astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(weighed.T @ (weighed @ basis))[0]
    left, values, _ = np.linalg.svd(weighed @ basis, full_matrices=False)
    found = (left * values)[:, :dim].astype(np.float32)
    length = np.sqrt((found * found).sum(axis=1).mean())
    directions: FloatArray = found / np.float32(length if length > 0 else 1)
    return directions
