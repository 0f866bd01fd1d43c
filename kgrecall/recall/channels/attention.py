"""What comes next, told by what came before: a history is encoded as one vector, items near it are searched."""

from __future__ import annotations

import numpy as np

from kgrecall.errors import ShapeError
from kgrecall.index.base import VectorIndex
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.recall.channels.history_encoder import HistoryEncoder
from kgrecall.recall.channels.item_knn import history_evidence
from kgrecall.recall.channels.sequence import FOLLOWED_BY
from kgrecall.recall.channels.vector import check_index, search_eligible
from kgrecall.recall.variations import without_items
from kgrecall.types import FloatArray

ATTENTION = "attention"
_ROUNDING = 1e-6
"""A difference of two cosines that says nothing."""


class AttentionChannel:
    """``score(i) = q_i user``, the vector of :class:`~kgrecall.recall.channels.history_encoder.HistoryEncoder` for the history.

    A user whom training never saw, and an event of this minute, are served like any other.

    Args:
        index: holds ``items``.
        items: float32 (num_items, dim), the side of the fused vectors that is searched.
    """

    def __init__(
        self,
        index: VectorIndex,
        items: FloatArray,
        encoder: HistoryEncoder,
        *,
        name: str = ATTENTION,
        naming: Naming | None = None,
    ) -> None:
        check_index(index, items)
        if encoder.inputs.shape != items.shape:
            raise ShapeError(
                "AttentionChannel", expected=f"inputs {items.shape}", got=encoder.inputs.shape, remedy="Take both of one build."
            )
        self.name = name
        self._index, self._items, self._encoder = index, items, encoder
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        return search_eligible(self._index, self._encoder.users(queries), queries, k)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The history items without which this item would score lower, by how much."""
        items, weights = query.history(0)
        items = np.unique(items[-self._encoder.length :][weights[-self._encoder.length :] > 0])
        if not len(items):
            return []
        target = self._items[item_pos]
        score = float(self._encoder.users(query)[0] @ target)
        falls = score - self._encoder.users(without_items(query, [items[i : i + 1] for i in range(len(items))])) @ target
        votes = np.where(falls > _ROUNDING, falls, 0).astype(np.float32)
        return history_evidence(query, item_pos, items, votes, limit, self._naming, FOLLOWED_BY)
