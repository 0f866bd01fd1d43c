"""What people with a visitor's taste choose at such a moment: co-occurrence conditioned on the context of the choice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ShapeError, Shown
from kgrecall.graph.orders import order_by
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch, collect, top_k_of, top_positive
from kgrecall.recall.channels.sparse_rows import SparseRows, csr, power, transposed
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, IntArray, PosArray

GLOBAL = 0.2
"""What a choice counts at any other moment; at the moment asked for it counts 1 more."""
BEAM = 1000
"""Users that the walk goes on from; with :data:`NEWEST` it bounds the time of a request."""
NEWEST = 500
"""Events of one user that count."""


@dataclass(frozen=True, slots=True, eq=False)
class MomentEvents:
    """The events of each user with the codes of their moments.

    Shapes: ``indptr`` int64 (num_users + 1,), ``item_pos`` int32 (n,), ``codes`` int32 (n, num_fields), -1 where unknown.
    """

    indptr: IntArray
    item_pos: PosArray
    codes: NDArray[np.int32]

    def __post_init__(self) -> None:
        if len(self.codes) != len(self.item_pos) or self.indptr[-1] != len(self.item_pos):
            raise ShapeError(
                "MomentEvents",
                expected="codes and rows of every event",
                got=Shown(f"{len(self.item_pos)} events, {len(self.codes)} codes, rows to {self.indptr[-1:]}"),
                remedy="Make them with MomentEvents.of.",
            )

    @classmethod
    def of(
        cls, user_pos: PosArray, item_pos: PosArray, time: IntArray, codes: NDArray[np.int32], num_users: int
    ) -> MomentEvents:
        """From events in any order; those of each user stand oldest first."""
        order = order_by(user_pos, time, item_pos)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(user_pos, minlength=num_users))]).astype(np.int64)
        return cls(indptr, item_pos[order], codes[order])

    def newest(self, users: PosArray, limit: int) -> tuple[IntArray, IntArray]:
        """At most ``limit`` newest events of each user (m,): int64 (n,) the user's place, int64 (n,) the event."""
        stops = self.indptr[users + 1]
        starts = np.maximum(self.indptr[users], stops - limit)
        lengths = stops - starts
        which = np.repeat(np.arange(len(users)), lengths)
        return which, np.arange(len(which)) + (starts - np.cumsum(lengths) + lengths)[which]


class MomentKnnChannel:
    """``score(i) = d_i^-0.2 sum_u a_u sum_e (g + matching fields of e / fields asked)``, e being the events of u on i.

    ``a_u = len_u^-0.5 sum_j w_j d_j^-0.5 [u chose j]`` over the history: how much of one taste u and the visitor are. With g
    alone (:data:`GLOBAL`) this is user-kNN over all moments; the rest leans it towards the one asked for. A query without
    history or without a context that is known gets nothing.

    Args:
        events: all choices with their moments.
        histories: what each user chose.
    """

    def __init__(
        self, events: MomentEvents, histories: Histories, *, name: str = "context_knn", naming: Naming | None = None
    ) -> None:
        self.name = name
        self._events, self._histories = events, histories
        popularity = histories.popularity()
        self._history_weight, self._item_weight = power(popularity, -0.5), power(popularity, -0.2)
        self._user_weight = power(np.diff(histories.indptr), -0.5)
        self._naming = naming or Naming()

    @cached_property
    def _users_of(self) -> SparseRows:
        """Item -> the users who chose it; made at the first query, since only those with a context need it."""
        rows = self._histories
        ones = np.ones(len(rows.item_pos), np.float32)
        return SparseRows(transposed(csr(ones, rows.item_pos, rows.indptr, rows.num_items)))

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""

        def best(i: int) -> tuple[PosArray, FloatArray]:
            scores = self._scores(queries, i)
            if scores is None:
                return np.zeros(0, np.int32), np.zeros(0, np.float32)
            scores[queries.excluded(i)] = 0
            if queries.mask is not None:
                scores *= queries.mask
            return top_positive(scores, k)

        return collect(queries, k, best)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """user - history item - a user of the same taste - item, by the share of that user's choices in the score."""
        items, weights = query.history(0)
        found = self._choices(query, 0)
        if found is None or limit < 1:
            return []
        users, user, item, value = found
        votes = np.bincount(user[item == item_pos], value[item == item_pos], minlength=len(users))
        total, paths = float(votes.sum()), []
        for place in np.argsort(-votes, kind="stable")[:limit]:
            if votes[place] <= 0:
                break
            chosen = np.isin(items, self._histories.row(int(users[place]))[0])
            start = int(items[chosen][int(np.argmax(weights[chosen]))])
            nodes = (
                (self._naming.user, int(query.user_pos[0])),
                (self._naming.item, start),
                (self._naming.user, int(users[place])),
                (self._naming.item, item_pos),
            )
            step = self._naming.interaction
            paths.append(Evidence(nodes, (step, f"^{step}", step), float(votes[place]) / total))
        return paths

    def _scores(self, queries: QueryBatch, i: int) -> FloatArray | None:
        found = self._choices(queries, i)
        if found is None:
            return None
        _, _, item, value = found
        sums = np.bincount(item, value, minlength=queries.num_items).astype(np.float32)
        return sums * self._item_weight

    def _choices(self, queries: QueryBatch, i: int) -> tuple[PosArray, IntArray, PosArray, NDArray[Any]] | None:
        """Users of the same taste; and per event of theirs: the user's place, the item, and what it counts."""
        items, weights = queries.history(i)
        asked = queries.moment.row(i) if queries.moment is not None else np.zeros(0, np.int32)
        if not len(items) or not len(asked):
            return None
        own = queries.user_pos[i : i + 1]
        users, alike = self._users_of.weighted_sum(items, weights * self._history_weight[items], own[own >= 0])
        alike = alike * self._user_weight[users]
        if len(users) > BEAM:
            users, alike = top_k_of(users, alike, BEAM)
        which, entry = self._events.newest(users, NEWEST)
        matches = np.isin(self._events.codes[entry], asked).sum(axis=1) / len(asked)
        return users, which, self._events.item_pos[entry], alike[which] * (GLOBAL + matches)
