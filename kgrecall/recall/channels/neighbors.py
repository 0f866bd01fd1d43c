"""A live walk over the graph: history -> shared node -> items, the node being an attribute or another user."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Evidence, Hits, QueryBatch, best_of, best_positive, collect
from kgrecall.recall.channels.node_space import NodeSpace, shared_columns, strongest_walks
from kgrecall.recall.channels.sparse_rows import SparseRows, is_in, power, row_and_column_sums, transposed
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, IntArray, PosArray


class NeighborsConfig(Settings):
    """``score(i) = d_i^-item_norm sum_n d_n^-node_norm M[i, n] sum_j w_j d_j^-history_norm M[j, n]`` over ``beam`` nodes n.

    n runs over the nodes with the largest summands without M[i, n]; d are the row and column sums of M.

    With users as nodes this is user-kNN, or for ``node_norm = 1`` close to RP3beta's three-step walk (Paudel et al.,
    "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications", TiiS 2017).
    """

    history_norm: float = Field(default=0.5, ge=0, le=2)
    """How much a history item of many nodes is damped: what everybody chose says little."""
    node_norm: float = Field(default=0.5, ge=0, le=2)
    """How much a node of many items is damped."""
    item_norm: float = Field(default=0.2, ge=0, le=2)
    """How much an item of many nodes is damped."""
    beam: int = Field(default=1000, ge=1)
    """The walk goes on from this many nodes at most; bounds the time of a request."""


class NeighborsChannel:
    """Walks item -> node -> item through everything that a :class:`NodeSpace` holds.

    No relation is walked twice inside one path, as in a Cypher pattern: an item is not its own neighbour, and a known user's
    own node leads nowhere.

    Args:
        space: attribute relations, and interactions as (relation, user label) columns when people count as neighbours.
        num_users: how many users the graph has, so that a known user is found among the nodes.
        prior: float32 (num_items,) or None: multiplies a candidate's score, for instance
            :func:`kgrecall.recall.channels.popularity.item_trend`.
    """

    def __init__(
        self,
        space: NodeSpace,
        config: NeighborsConfig | None = None,
        *,
        num_users: int = 0,
        name: str = "neighbors",
        prior: FloatArray | None = None,
    ) -> None:
        config = config or NeighborsConfig()
        self.name = name
        self._space, self._beam = space, config.beam
        matrix = space.matrix
        item_sums, node_sums = row_and_column_sums(matrix)
        self._item_weight, self._node_weight = power(item_sums, -config.item_norm), power(node_sums, -config.node_norm)
        self._history_weight = power(item_sums, -config.history_norm)
        if prior is not None:
            self._item_weight = self._item_weight * prior
        self._to_nodes, self._to_items = SparseRows(matrix), SparseRows(transposed(matrix))
        self._own_node = np.append(space.column_of(space.naming.user, num_users), np.int32(-1))  # of nobody, for -1 too

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        if (loops := compiled()) is None:
            return collect(queries, k, lambda i: self._best(queries, i, k))
        weights = queries.history_weight * self._history_weight[queries.history_pos]
        found, returned = loops.best_of_walks(
            self._to_nodes.csr,
            self._to_items.csr,
            self._node_weight,
            (queries.history_indptr, queries.history_pos, weights),
            self._own_nodes(queries.user_pos),
            self._beam,
            (queries.exclude_indptr, queries.exclude_pos),
            k,
            self._item_weight,
            queries.mask,
        )
        for i in np.flatnonzero(returned) if returned.any() else ():
            best = self._best(queries, int(i), k)
            found[0][i, : len(best[0])], found[1][i, : len(best[0])] = best
        return Hits(*found)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """user - history item - shared node - item, by the share of the walk in the score."""
        items, weights = query.history(0)
        nodes, _ = self._nodes_of(query, 0)
        weights = weights * self._history_weight[items]
        votes = []
        for place, columns, product in shared_columns(self._to_nodes, items, item_pos):
            walked = np.isin(columns, nodes)
            votes.append((place, columns[walked], weights[place] * product[walked] * self._node_weight[columns[walked]]))
        return strongest_walks(self._space, query, items, item_pos, votes, limit)

    def _best(self, queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        nodes, node_scores = self._nodes_of(queries, i)
        excluded = queries.excluded(i)
        history, weights = queries.history(i)
        returned = ~is_in(history, excluded)
        if not returned.any():
            return self._to_items.best_columns(
                nodes, node_scores, k, drop=excluded, factor=self._item_weight, mask=queries.mask
            )
        items, scores = self._to_items.weighted_sum(nodes, node_scores, excluded)
        scores = self._without_own_walks(items, scores, history[returned], weights[returned], nodes)
        return best_positive(items, scores, k, factor=self._item_weight, mask=queries.mask)

    def _nodes_of(self, queries: QueryBatch, i: int) -> tuple[PosArray, FloatArray]:
        """The nodes that the walk goes through, in the order in which they are reached, and their weights."""
        history, weights = queries.history(i)
        weights = weights * self._history_weight[history]
        own = self._own_nodes(queries.user_pos[i : i + 1])
        nodes, scores = self._to_nodes.weighted_sum(history, weights, own[own >= 0])
        scores = scores * self._node_weight[nodes]
        if len(nodes) <= self._beam:
            return nodes, scores
        best = np.sort(best_of(nodes, scores, self._beam))
        return nodes[best], scores[best]

    def _own_nodes(self, user_pos: IntArray) -> PosArray:
        """The node of each user, -1 for one that has none: int32 (q,)."""
        return self._own_node[np.minimum(user_pos, len(self._own_node) - 1)]

    def _without_own_walks(
        self, items: PosArray, scores: FloatArray, history: PosArray, weights: FloatArray, nodes: PosArray
    ) -> FloatArray:
        """Take from each history item what walked from it to itself, back over the same relation (before item weights)."""
        own: dict[int, float] = {}
        for item, weight in zip(history.tolist(), weights.tolist(), strict=True):
            columns, values = self._to_nodes.row(item)
            there_and_back = (values**2 * self._node_weight[columns])[np.isin(columns, nodes)].sum()
            own[item] = own.get(item, 0.0) + weight * float(there_and_back * self._history_weight[item])
        left = scores.copy()
        for item, walked in own.items():
            place = np.flatnonzero(items == item)
            left[place] = _unless_rounding(left[place] - np.float32(walked), walked)
        return left


def _unless_rounding(left: FloatArray, walked: float) -> FloatArray:
    """What is left of a difference of float32 sums, 0 when it is only their rounding."""
    return np.where(left > 1e-5 * walked, left, 0).astype(np.float32)
