"""Items of the people most alike: user-kNN over the query's history, so that a new user is served like a known one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch, best_of, collect
from kgrecall.recall.channels.item_knn import faded_weights
from kgrecall.recall.channels.sparse_rows import Matrix, SparseRows, power, row_and_column_sums, scaled, transposed
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, PosArray


class UserKnnConfig(Settings):
    """``score(i) = d_i^-q sum_v X[v, i] d_v^-b sum_j w_j d_j^-a X[v, j]`` over the k people v with the largest summands.

    X is users x items, 1 where there is an event; j runs over the history. Degrees as in
    :class:`~kgrecall.recall.channels.item_knn.ItemKnnConfig`: choose all four on validation data.
    """

    a: float = Field(default=0.5, ge=0, le=2)
    """How much a popular history item says less about who is alike."""
    b: float = Field(default=0.5, ge=0, le=2)
    """How much active people are damped."""
    q: float = Field(default=0.1, ge=0, le=2)
    """How much a popular candidate is damped."""
    k: int = Field(default=200, ge=1)
    """People who vote."""
    half_life: float | None = Field(default=None, gt=0)
    """What a history item says about who is alike halves with this many newer ones; None: all say alike."""


class UserKnnChannel:
    """Votes of the people whose choices overlap most with the history; a known user's own choices do not vote.

    Args:
        chosen: who chose what, float32 (num_users, num_items), 1 per pair.
        prior: float32 (num_items,) or None: multiplies a candidate's score.
    """

    def __init__(
        self,
        chosen: Matrix,
        config: UserKnnConfig | None = None,
        *,
        name: str = "user_knn",
        naming: Naming | None = None,
        prior: FloatArray | None = None,
    ) -> None:
        config = config or UserKnnConfig()
        self.name = name
        self._k, self._half_life, self._naming = config.k, config.half_life, naming or Naming()
        activity, popularity = row_and_column_sums(chosen)
        likeness = scaled(chosen, power(activity, -config.b), power(popularity, -config.a))
        self._people_of, self._choices = SparseRows(transposed(likeness)), SparseRows(chosen)
        self._everybody = np.ones(len(activity), np.float32)
        self._item_weight = power(popularity, -config.q)
        if prior is not None:
            self._item_weight = self._item_weight * prior

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; a query without history gets nothing."""
        queries = self._faded(queries)
        if (loops := compiled()) is None:
            return collect(queries, k, lambda i: self._best(queries, i, k))
        found, left_out = loops.best_of_walks(
            self._people_of.csr,
            self._choices.csr,
            self._everybody,
            (queries.history_indptr, queries.history_pos, queries.history_weight),
            np.where(queries.user_pos < len(self._everybody), queries.user_pos, -1).astype(np.int32),
            self._k,
            (queries.exclude_indptr, queries.exclude_pos),
            k,
            self._item_weight,
            queries.mask,
        )
        for i in np.flatnonzero(left_out).tolist():
            best = self._best(queries, i, k)
            found[0][i, : len(best[0])], found[1][i, : len(best[0])] = best
        return Hits(*found)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """user - history item - a person who chose both - item, by that person's share of the votes.

        The history item is the one that makes the two most alike.
        """
        query = self._faded(query)
        people, likeness = self._alike(query, 0)
        votes = likeness * (self._choices.values_at(people, item_pos) > 0)
        total = float(votes.sum())
        best = np.argsort(-votes, kind="stable")[:limit]
        return [self._evidence(query, item_pos, int(people[p]), float(votes[p]) / total) for p in best if votes[p] > 0]

    def _evidence(self, query: QueryBatch, item_pos: int, person: int, share: float) -> Evidence:
        naming, (items, weights) = self._naming, query.history(0)
        link = int(items[np.argmax(weights * self._people_of.values_at(items, person))])
        nodes = (
            (naming.user, int(query.user_pos[0])),
            (naming.item, link),
            (naming.user, person),
            (naming.item, item_pos),
        )
        return Evidence(nodes, (naming.interaction, f"^{naming.interaction}", naming.interaction), share)

    def _faded(self, queries: QueryBatch) -> QueryBatch:
        return replace(queries, history_weight=faded_weights(queries, self._half_life))

    def _best(self, queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        people, likeness = self._alike(queries, i)
        drop = queries.excluded(i)
        return self._choices.best_columns(people, likeness, k, drop=drop, factor=self._item_weight, mask=queries.mask)

    def _alike(self, queries: QueryBatch, i: int) -> tuple[PosArray, FloatArray]:
        """The k people most alike, in the order in which the history reaches them, and how much."""
        items, weights = queries.history(i)
        own = queries.user_pos[i : i + 1]
        people, likeness = self._people_of.weighted_sum(items, weights, own[own >= 0])
        if len(people) <= self._k:
            return people, likeness
        best = np.sort(best_of(people, likeness, self._k))
        return people[best], likeness[best]
