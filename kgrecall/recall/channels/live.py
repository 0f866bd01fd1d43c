"""A channel whose search runs outside the process, one query after the other: in a database, say."""

from __future__ import annotations

from collections.abc import Callable

from kgrecall.recall.base import Evidence, Hits, QueryBatch, collect, top_k_of
from kgrecall.recall.channels.sparse_rows import is_in
from kgrecall.types import FloatArray, PosArray

Search = Callable[[QueryBatch, int, int], tuple[PosArray, FloatArray]]
"""``search(queries, i, k)``: positions and scores of the k best items for query i; fewer only when there are no more."""


class LiveChannel:
    """Asks ``search`` for each query; where a mask or the excluded items take some of the answer, it asks again for more.

    Args:
        search: for instance over :meth:`kgrecall.store.neo4j.walk.Neo4jWalk.search`; see :mod:`kgrecall.jobs.database`.
        name: the channel's name in answers.
    """

    def __init__(self, search: Search, *, name: str) -> None:
        self.name = name
        self._search = search

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""
        return collect(queries, k, lambda i: self._best(queries, i, k))

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """None: what the search went through stays where it ran."""
        return []

    def _best(self, queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        excluded = queries.excluded(i)
        fetch = k
        while True:
            positions, scores = self._search(queries, i, fetch)
            kept = ~is_in(positions, excluded)
            if queries.mask is not None:
                kept &= queries.mask[positions]
            if len(positions) < fetch or kept.sum() >= k:
                return top_k_of(positions[kept], scores[kept], k)
            fetch *= 4
