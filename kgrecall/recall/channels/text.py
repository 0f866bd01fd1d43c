"""Nearest items by what their texts say."""

from __future__ import annotations

import numpy as np

from kgrecall.index.base import VectorIndex
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.recall.channels.item_knn import history_evidence
from kgrecall.recall.channels.vector import check_index, falls_without, history_sums, search_eligible
from kgrecall.types import BoolArray, FloatArray

SIMILAR_TEXT = "SIMILAR_TEXT"
"""The relation of evidence between two items with similar texts."""
ASKED_FOR = "ASKED_FOR"
"""The relation of evidence from a user to an item whose text is near the query's."""


class TextChannel:
    """The items whose texts are nearest to the query's text, or without one to the centroid of the history's texts.

    Args:
        index: holds ``item_texts``.
        item_texts: float32 (num_items, dim), L2-normalised; a zero row for an item without text, which is no candidate.
    """

    def __init__(self, index: VectorIndex, item_texts: FloatArray, *, name: str = "text", naming: Naming | None = None) -> None:
        check_index(index, item_texts)
        self.name = name
        self._index, self._texts = index, item_texts
        has_text: BoolArray = np.einsum("ij,ij->i", item_texts, item_texts) > 0
        self._served = None if has_text.all() else has_text
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; without text and history there is no answer."""
        return search_eligible(self._index, self._query_vectors(queries), queries, k, self._served)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The query's own text, or the history items without whose texts this item would score lower, by how much."""
        if limit < 1:
            return []
        if query.text is not None and query.text[0].any():
            nodes = ((self._naming.user, int(query.user_pos[0])), (self._naming.item, item_pos))
            return [Evidence(nodes, (ASKED_FOR,), 1.0)] if float(query.text[0] @ self._texts[item_pos]) > 0 else []
        score = float(self._query_vectors(query.rows(0, 1))[0] @ self._texts[item_pos])
        items, votes = falls_without(self._texts, query, self._texts[item_pos], score)
        return history_evidence(query, item_pos, items, votes, limit, self._naming, SIMILAR_TEXT)

    def _query_vectors(self, queries: QueryBatch) -> FloatArray:
        if queries.text is None:
            return history_sums(self._texts, queries)
        given = queries.text.any(axis=1)
        if given.all():
            return queries.text
        vectors = history_sums(self._texts, queries)
        vectors[given] = queries.text[given]
        return vectors
