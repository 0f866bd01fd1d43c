"""Items that the same users chose: degree-normalised item-kNN, and any other item-item similarity served the same way."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kgrecall.errors import ShapeError
from kgrecall.graph.orders import order_by
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.recall.channels.cooccurrence import cooccurrence
from kgrecall.recall.channels.sparse_rows import Matrix, SparseRows, transposed
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, Interactions, PosArray, Progress, no_progress

CO_CHOSEN = "CO_CHOSEN"
"""The relation of evidence between two items that the same users chose."""

MAX_PER_USER = 5000


class ItemKnnConfig(Settings):
    """``W = D_i^-b (X^T D_u^-a X) D_i^-c``, zero diagonal, the k largest entries of each row.

    X is users x items. The normalisation is the largest single lever of item-kNN: choose a, b, c on validation data.
    Deshpande & Karypis, "Item-Based Top-N Recommendation Algorithms" (TOIS 2004).
    """

    a: float = Field(default=0.5, ge=0, le=2)
    """How much an active user's votes are damped."""
    b: float = Field(default=0.5, ge=0, le=2)
    """How much a popular history item's votes are damped."""
    c: float = Field(default=0.3, ge=0, le=2)
    """How much a popular candidate is damped."""
    k: int = Field(default=500, ge=1)
    """Neighbours kept per item."""
    values: Literal["binary", "log", "raw"] = "binary"
    """What an interaction counts: 1, ``log(1 + weight)``, or its weight."""


def build_item_knn(
    interactions: Interactions, config: ItemKnnConfig | None = None, *, progress: Progress = no_progress
) -> Matrix:
    """The item-item similarity of a set of interactions, float32 (num_items, num_items), row = history item.

    Work grows with the square of what one user chose: only the newest :data:`MAX_PER_USER` events of each user count.
    """
    config = config or ItemKnnConfig()
    by_item = transposed(interaction_matrix(newest_of_each_user(interactions, MAX_PER_USER), config.values))
    return cooccurrence(
        by_item,
        column_norm=config.a,
        row_norm=config.b,
        target_norm=config.c,
        k=config.k,
        stage="item-kNN",
        progress=progress,
    )


def newest_of_each_user(interactions: Interactions, limit: int) -> Interactions:
    """At most ``limit`` events of each user, the newest (without times the last ones), in their order."""
    counts = np.bincount(interactions.user_pos, minlength=1)
    if counts.max() <= limit:
        return interactions
    time = np.zeros(len(interactions), np.int64) if interactions.time is None else interactions.time
    order = order_by(interactions.user_pos, time)
    left = np.cumsum(counts)[interactions.user_pos[order]] - np.arange(len(order))
    return interactions.take(np.sort(order[left <= limit]))


def interaction_matrix(interactions: Interactions, values: Literal["binary", "log", "raw"] = "binary") -> Matrix:
    """The events as a float32 matrix (num_users, num_items), events of one pair summed (before the logarithm)."""
    shape = (interactions.num_users, interactions.num_items)
    weight = interactions.weight.astype(np.float32)
    matrix: Matrix = sp.csr_array((weight, (interactions.user_pos, interactions.item_pos)), shape=shape)
    matrix.sum_duplicates()
    if values == "binary":
        matrix.data[:] = 1
    elif values == "log":
        matrix.data = np.log1p(matrix.data)
    return matrix


class ItemKnnChannel:
    """``score(i) = sum_j w_j W[j, i]`` over the history, from any item-item matrix W (item-kNN, EASE, ...).

    Args:
        similarity: (num_items, num_items), row = history item; entries may be negative, sums <= 0 are no candidates.
        half_life: the weight of a history item halves with this many newer ones; None weighs old and new alike.
        relation: what evidence calls the link between two items.
        prior: float32 (num_items,) or None: multiplies a candidate's score, for instance
            :func:`kgrecall.recall.channels.popularity.item_trend`.
    """

    def __init__(
        self,
        similarity: Matrix,
        *,
        name: str = "item_knn",
        naming: Naming | None = None,
        half_life: float | None = None,
        relation: str = CO_CHOSEN,
        prior: FloatArray | None = None,
    ) -> None:
        if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
            raise ShapeError(
                "similarity", expected="a square item-item matrix", got=similarity.shape, remedy="Build it with build_item_knn."
            )
        self.name = name
        self._rows = SparseRows(similarity)
        self._naming = naming or Naming()
        self._half_life = half_life
        self._relation = relation
        self._prior = prior

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        return self._rows.best_hits(queries, self._weights(queries), k, factor=self._prior)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The history items that vote for this item: user -chose- history item -CO_CHOSEN- item."""
        items, weights = query.history(0)[0], self._weights(query.rows(0, 1))
        votes = np.maximum(weights * self._rows.values_at(items, item_pos), 0)
        return history_evidence(query, item_pos, items, votes, limit, self._naming, self._relation)

    def _weights(self, queries: QueryBatch) -> FloatArray:
        return faded_weights(queries, self._half_life)


def faded_weights(queries: QueryBatch, half_life: float | None) -> FloatArray:
    """Weights of all history items of a batch, float32 (n,), halved with every ``half_life`` newer items; None: as they are."""
    if half_life is None:
        return queries.history_weight
    ends = np.repeat(queries.history_indptr[1:], np.diff(queries.history_indptr))
    age = (ends - 1 - np.arange(len(ends))).astype(np.float32)
    faded: FloatArray = queries.history_weight * np.float32(0.5) ** (age / np.float32(half_life))
    return faded


def history_evidence(
    query: QueryBatch, item_pos: int, items: PosArray, votes: FloatArray, limit: int, naming: Naming, relation: str
) -> list[Evidence]:
    """Evidence ``user -interaction- history item -relation- item``, one per history item with a vote, largest share first."""
    total = float(votes.sum())
    if total <= 0:
        return []
    start = (naming.user, int(query.user_pos[0]))
    found = []
    for j in np.argsort(-votes, kind="stable")[:limit]:
        if votes[j] > 0:
            nodes = (start, (naming.item, int(items[j])), (naming.item, item_pos))
            found.append(Evidence(nodes, (naming.interaction, relation), float(votes[j]) / total))
    return found
