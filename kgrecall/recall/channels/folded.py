"""Nearest items by matrix factors: the user's vector is solved for from the history at the moment of the question."""

from __future__ import annotations

import numpy as np

from kgrecall.index.base import VectorIndex
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.recall.channels.factors import ItemFactors
from kgrecall.recall.channels.item_knn import history_evidence
from kgrecall.recall.channels.vector import NEAR, check_index, search_eligible
from kgrecall.types import FloatArray, PosArray


class FactorsChannel:
    """``score(i) = q_i p``, where p has the least loss of :class:`~kgrecall.recall.channels.factors.FactorsConfig` for the
    history.

    History weights count as so many events. A user whom training never saw, and an event of this minute, are served like any
    other.

    Args:
        index: holds ``factors.items``.
    """

    def __init__(
        self, index: VectorIndex, factors: ItemFactors, *, name: str = "factors", naming: Naming | None = None
    ) -> None:
        check_index(index, factors.items)
        self.name = name
        self._index, self._factors = index, factors
        self._naming = naming or Naming()
        served = np.asarray(factors.items.any(axis=1))
        self._served = None if served.all() else served

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        users = np.zeros((len(queries), self._factors.items.shape[1]), np.float32)
        for i in range(len(queries)):
            users[i] = self._user(*queries.history(i))
        return search_eligible(self._index, users, queries, k, self._served)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The history items whose part of the score is positive: the score is their sum."""
        items, weights = query.history(0)
        vectors = self._factors.items[items]
        left = weights * (1 - vectors @ self._user(items, weights))
        votes = left * (vectors @ (self._factors.items[item_pos] / self._factors.penalty(float(weights.sum()))))
        return history_evidence(query, item_pos, items, np.maximum(votes, 0), limit, self._naming, NEAR)

    def _user(self, items: PosArray, weights: FloatArray) -> FloatArray:
        """The vector of a history, float32 (dim,): a system of as many equations as items, or as dimensions."""
        penalty = self._factors.penalty(float(weights.sum()))
        root = np.sqrt(weights)
        vectors = root[:, None] * self._factors.items[items]  # (n, dim)
        if len(items) < len(penalty):
            damped = vectors / penalty
            return np.linalg.solve(np.eye(len(items), dtype=np.float32) + damped @ vectors.T, root) @ damped
        return np.linalg.solve(vectors.T @ vectors + np.diag(penalty), root @ vectors)
