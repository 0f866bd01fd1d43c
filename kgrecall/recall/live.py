"""A channel whose search runs outside the process, one query after the other: in a database, say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kgrecall.recall.base import Evidence, Hits, QueryBatch, collect, top_k_of
from kgrecall.types import FloatArray, PosArray

Search = Callable[[PosArray, FloatArray, PosArray, int], tuple[PosArray, FloatArray]]
"""``search(history, weights, excluded, k)``: positions and scores of at most k items, best first."""


class LiveChannel:
    """Asks ``search`` for each history; where a mask drops some of the answer, it asks again for more.

    Args:
        search: for instance :meth:`kgrecall.store.neo4j.walk.Neo4jWalk.search`.
        name: the channel's name in answers.
    """

    def __init__(self, search: Search, *, name: str) -> None:
        self.name = name
        self._search = search

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        return collect(queries, k, lambda i: self._best(queries, i, k))

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """None: what the search walked through stays where it ran."""
        return []

    def _best(self, queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        history, weights = queries.history(i)
        history, weights = history[weights > 0], weights[weights > 0]
        if not len(history):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        fetch = k
        while True:
            positions, scores = self._search(history, weights, queries.excluded(i), fetch)
            exhausted = len(positions) < fetch
            kept = slice(None) if queries.mask is None else queries.mask[positions]
            if exhausted or len(positions[kept]) >= k:
                return top_k_of(positions[kept], scores[kept], k)
            fetch *= 4
