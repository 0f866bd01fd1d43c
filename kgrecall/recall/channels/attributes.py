"""Items that share entities with the history: the knowledge graph as a precomputed item-item similarity."""

from __future__ import annotations

from pydantic import Field

from kgrecall.recall.base import Evidence, Hits, QueryBatch
from kgrecall.recall.channels.cooccurrence import cooccurrence
from kgrecall.recall.channels.node_space import NodeSpace, NodeSpaceConfig, shared_columns, strongest_walks
from kgrecall.recall.channels.sparse_rows import Matrix, SparseRows, power, row_and_column_sums
from kgrecall.types import FloatArray, Progress, no_progress


class AttributesConfig(NodeSpaceConfig):
    """``W = D_i^-b (E D_e^-a E^T) D_i^-c``, zero diagonal, the k largest entries of each row; E is items x shared nodes."""

    a: float = Field(default=0.5, ge=0, le=2)
    """How much a node of many items is damped."""
    b: float = Field(default=0.5, ge=0, le=2)
    """How much a history item with many attributes is damped."""
    c: float = Field(default=0.2, ge=0, le=2)
    """How much a candidate with many attributes is damped."""
    k: int = Field(default=300, ge=1)
    """Neighbours kept per item."""


def build_attribute_similarity(
    space: NodeSpace, config: AttributesConfig | None = None, *, progress: Progress = no_progress
) -> Matrix:
    """The item-item similarity by shared nodes, float32 (num_items, num_items), row = history item."""
    config = config or AttributesConfig()
    return cooccurrence(
        space.matrix,
        column_norm=config.a,
        row_norm=config.b,
        target_norm=config.c,
        k=config.k,
        stage="attributes",
        progress=progress,
    )


class AttributesChannel:
    """``score(i) = sum_j w_j W[j, i]`` over the history, W from :func:`build_attribute_similarity`.

    Args:
        similarity: (num_items, num_items), row = history item.
        space: the nodes it was built from: they name the evidence.
        node_norm: the ``a`` it was built with: how a shared node of many items counts less in evidence.
        prior: float32 (num_items,) or None: multiplies a candidate's score, for instance
            :func:`kgrecall.recall.channels.popularity.item_trend`.
    """

    def __init__(
        self,
        similarity: Matrix,
        space: NodeSpace,
        *,
        name: str = "attributes",
        node_norm: float = 0.5,
        prior: FloatArray | None = None,
    ) -> None:
        self.name = name
        self._prior = prior
        self._rows = SparseRows(similarity)
        self._space = space
        self._nodes = SparseRows(space.matrix)
        self._node_weight = power(row_and_column_sums(space.matrix)[1], -node_norm)

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        return self._rows.best_hits(queries, queries.history_weight, k, factor=self._prior)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """user - history item - shared node - item, by the share of the node in the score."""
        items, weights = query.history(0)
        similar = weights * self._rows.values_at(items, item_pos)
        votes = []
        for place, columns, product in shared_columns(self._nodes, items, item_pos):
            weight = product * self._node_weight[columns]
            if similar[place] > 0:
                votes.append((place, columns, similar[place] * weight / weight.sum()))
        return strongest_walks(self._space, query, items, item_pos, votes, limit)
