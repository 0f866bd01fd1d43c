"""What friends chose: votes of users that the caller names."""

from __future__ import annotations

import numpy as np

from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch, collect
from kgrecall.recall.channels.sparse_rows import SparseRows, csr, power
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, PosArray

FRIEND = "FRIEND"
"""The relation of evidence between two users."""


class FriendsChannel:
    """``score(i) = sum_f [f chose i] / sqrt(items that f chose)`` over the friends of a query: many friends outweigh one that
    chose everything. A query without friends gets nothing.

    Args:
        histories: what each user chose.
    """

    def __init__(self, histories: Histories, *, name: str = "friends", naming: Naming | None = None) -> None:
        self.name = name
        self._rows = SparseRows(
            csr(np.ones(len(histories.item_pos), np.float32), histories.item_pos, histories.indptr, histories.num_items)
        )
        self._votes = power(np.diff(histories.indptr), -0.5)
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""
        asked = queries.friends
        if asked is None:
            return Hits.empty(len(queries), k)

        def best(i: int) -> tuple[PosArray, FloatArray]:
            friends = asked.row(i)
            return self._rows.best_columns(friends, self._votes[friends], k, drop=queries.excluded(i), mask=queries.mask)

        return collect(queries, k, best)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """user -FRIEND- friend -chose- item."""
        friends = np.zeros(0, np.int32) if query.friends is None else query.friends.row(0)
        votes = self._votes[friends] * self._rows.values_at(friends, item_pos)
        total = float(votes.sum())
        user, label = int(query.user_pos[0]), self._naming.user
        found = []
        for f in np.argsort(-votes, kind="stable")[: max(limit, 0)]:
            if votes[f] > 0:
                nodes = ((label, user), (label, int(friends[f])), (self._naming.item, item_pos))
                found.append(Evidence(nodes, (FRIEND, self._naming.interaction), float(votes[f]) / total))
        return found
