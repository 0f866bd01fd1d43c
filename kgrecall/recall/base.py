"""What a channel is: positions in, positions and scores out, always in batches.

The engine turns a user's :class:`~kgrecall.types.Query` into one :class:`QueryBatch` (ids become positions once), asks each
channel, fuses the :class:`Hits` and turns positions back into ids. A channel never sees an id, a store or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ShapeError, Shown
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

_DTYPES = {
    "user_pos": np.dtype(np.int64),
    "history_indptr": np.dtype(np.int64),
    "history_pos": np.dtype(np.int32),
    "history_weight": np.dtype(np.float32),
    "exclude_indptr": np.dtype(np.int64),
    "exclude_pos": np.dtype(np.int32),
}
Signal = Literal["friends", "traits", "moment"]
"""A part of a query that channels of its own answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A row of int32 positions per query: row i is ``values[indptr[i]:indptr[i + 1]]``; ``indptr`` int64 (q + 1,)."""

    indptr: IntArray
    values: PosArray

    @classmethod
    def of(cls, rows: Sequence[PosArray]) -> Ragged:
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(indptr, np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32))

    def row(self, i: int) -> PosArray:
        return self.values[self.indptr[i] : self.indptr[i + 1]]

    def rows(self, start: int, stop: int) -> Ragged:
        """The rows start .. stop - 1, as views."""
        first = self.indptr[start]
        return Ragged(self.indptr[start : stop + 1] - first, self.values[first : self.indptr[stop]])


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """q queries as arrays.

    Shapes: ``user_pos`` int64 (q,), -1 for a user that is not in the graph; the history of query i is
    ``history_pos[history_indptr[i]:history_indptr[i + 1]]`` (int32 item positions, oldest first) beside
    ``history_weight`` (float32 >= 0; what weighs 0 does not count) and ``history_time`` (int64 ms, MISSING_TIME where not
    known; or None); ``exclude_pos`` by ``exclude_indptr`` in the same way: items never to be returned for query i (seen,
    excluded), ascending; ``mask`` bool (num_items,) or None: items that may be
    returned for any query of the batch; ``text`` float32 (q, text_dim) or None: encoded query texts, a zero row where a query
    has none; ``words`` (q,) or None: those texts as they were typed, "" where a query has none. ``friends`` (user positions),
    ``traits`` (codes of user attributes) and ``moment`` (codes of the context) are None where no query of the batch has any;
    only channels of their own read them. ``alike`` bool (q,), or None for nowhere: the query asks what is like an item,
    not what somebody will choose.

    Raises:
        ShapeError: an array of another dtype, or bounds and values that do not go together.
    """

    num_items: int
    user_pos: IntArray
    history_indptr: IntArray
    history_pos: PosArray
    history_weight: FloatArray
    exclude_indptr: IntArray
    exclude_pos: PosArray
    mask: BoolArray | None = None
    text: FloatArray | None = None
    words: tuple[str, ...] | None = None
    friends: Ragged | None = None
    traits: Ragged | None = None
    moment: Ragged | None = None
    alike: BoolArray | None = None
    history_time: IntArray | None = None

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            if array.dtype != dtype:
                raise ShapeError(
                    f"QueryBatch.{name}",
                    expected=str(dtype),
                    got=Shown(array.dtype),
                    remedy=f"Convert with .astype(np.{dtype}).",
                )
        self._check_bounds("history", self.history_indptr, len(self.history_pos), len(self.history_weight))
        self._check_bounds("exclude", self.exclude_indptr, len(self.exclude_pos), len(self.exclude_pos))

    def _check_bounds(self, what: str, indptr: IntArray, positions: int, weights: int) -> None:
        """Compiled loops read as far as the bounds say."""
        if len(indptr) != len(self) + 1 or not indptr[-1] == positions == weights:
            raise ShapeError(
                f"QueryBatch.{what}_indptr",
                expected=f"{len(self) + 1} bounds that end at the number of positions, and as many weights",
                got=Shown(f"{len(indptr)} bounds to {indptr[-1:].tolist()}, {positions} positions, {weights} weights"),
                remedy="Row i is what stands between the bounds i and i + 1.",
            )

    def __len__(self) -> int:
        return len(self.user_pos)

    @property
    def lengths(self) -> IntArray:
        """Of the histories, int64 (q,)."""
        return self.history_indptr[1:] - self.history_indptr[:-1]

    def history(self, i: int) -> tuple[PosArray, FloatArray]:
        """Positions and weights of query i's history."""
        part = slice(self.history_indptr[i], self.history_indptr[i + 1])
        return self.history_pos[part], self.history_weight[part]

    def excluded(self, i: int) -> PosArray:
        return self.exclude_pos[self.exclude_indptr[i] : self.exclude_indptr[i + 1]]

    def rows(self, start: int, stop: int) -> QueryBatch:
        """The queries start .. stop - 1, as views."""
        h = slice(self.history_indptr[start], self.history_indptr[stop])
        e = slice(self.exclude_indptr[start], self.exclude_indptr[stop])
        return replace(
            self,
            user_pos=self.user_pos[start:stop],
            history_indptr=self.history_indptr[start : stop + 1] - h.start,
            history_pos=self.history_pos[h],
            history_weight=self.history_weight[h],
            exclude_indptr=self.exclude_indptr[start : stop + 1] - e.start,
            exclude_pos=self.exclude_pos[e],
            text=None if self.text is None else self.text[start:stop],
            words=None if self.words is None else self.words[start:stop],
            friends=None if self.friends is None else self.friends.rows(start, stop),
            traits=None if self.traits is None else self.traits.rows(start, stop),
            moment=None if self.moment is None else self.moment.rows(start, stop),
            alike=None if self.alike is None else self.alike[start:stop],
            history_time=None if self.history_time is None else self.history_time[h],
        )


@dataclass(frozen=True, slots=True)
class Hits:
    """A channel's answer: ``positions`` int32 (q, k) and ``scores`` float32 (q, k), best first, ties by position.

    Rows that have fewer than k candidates end in position -1 and score -inf. Positions of a row are distinct and eligible.
    """

    positions: PosArray
    scores: FloatArray

    @classmethod
    def empty(cls, num_queries: int, k: int) -> Hits:
        return cls(np.full((num_queries, k), -1, np.int32), np.full((num_queries, k), -np.inf, np.float32))


@dataclass(frozen=True, slots=True)
class Naming:
    """What the graph calls the ends of an interaction: the labels of users and items, and the relation between them."""

    user: str = "User"
    item: str = "Item"
    interaction: str = "INTERACTED"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a channel gave an item: a walk over (label, position) nodes that ends in the item, and its share of the score.

    ``nodes`` ("User", 3), ("Movie", 17), ("Genre", 2), ("Movie", 40); ``relations`` one between every two nodes, ``^`` in
    front when walked against its direction; ``share`` 0..1 of the channel's score for this item.
    """

    nodes: tuple[tuple[str, int], ...]
    relations: tuple[str, ...]
    share: float


@runtime_checkable
class Channel(Protocol):
    """One way to find candidates. Immutable after construction and safe for concurrent calls."""

    @property
    def name(self) -> str: ...

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """At most k eligible items per query, best first; a query it cannot serve (no history, no text) gets none."""
        ...

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The strongest reasons for one item and one query (a batch of one), strongest first; empty when there is none."""
        ...


def top_k(scores: NDArray[np.float32], k: int) -> tuple[PosArray, FloatArray]:
    """Positions and values of the k largest scores above -inf of one row, best first, ties by position.

    Shapes: scores (n,) -> positions int32 (m,), scores float32 (m,), m <= k.
    """
    positions = np.flatnonzero(scores > -np.inf)
    return top_k_of(positions, scores[positions], k)


def top_k_of(positions: NDArray[np.integer[Any]], scores: FloatArray, k: int) -> tuple[PosArray, FloatArray]:
    """The k largest of sparse scores, best first, ties by position.

    Shapes: positions (n,) distinct, in any order, scores float32 (n,) without NaN -> int32 (m,), float32 (m,), m = min(k, n).
    """
    best = best_of(positions, scores, k)
    return positions[best].astype(np.int32), scores[best]


def best_of(positions: NDArray[np.integer[Any]], scores: FloatArray, k: int) -> NDArray[np.intp]:
    """Where the k largest of sparse scores stand, best first, ties by position. Arguments as :func:`top_k_of`."""
    if len(scores) <= k:
        return np.lexsort((positions, -scores))
    # The smallest k of the negated scores: selecting from the crowded low end is up to 40 times slower on ties.
    kth = -np.partition(-scores, k - 1)[k - 1]
    kept = np.flatnonzero(scores >= kth)
    best: NDArray[np.intp] = kept[np.lexsort((positions[kept], -scores[kept]))[:k]]
    return best


def top_positive(scores: FloatArray, k: int) -> tuple[PosArray, FloatArray]:
    """The k largest scores above 0 of one row (n,), best first, ties by position; not NaN."""
    if k < len(scores):
        kth = -np.partition(-scores, k - 1)[k - 1]
        positions = np.flatnonzero(scores >= kth if kth > 0 else scores > 0)
    else:
        positions = np.flatnonzero(scores > 0)
    return top_k_of(positions, scores[positions], k)


def best_positive(
    positions: PosArray, scores: FloatArray, k: int, *, factor: FloatArray | None = None, mask: BoolArray | None = None
) -> tuple[PosArray, FloatArray]:
    """The k largest of sparse scores above 0, after a factor and a mask by position; arguments else as :func:`top_k_of`."""
    if factor is not None:
        scores = scores * factor[positions]
    keep = scores > 0
    if mask is not None:
        keep &= mask[positions]
    return top_k_of(positions[keep], scores[keep], k)


def collect(queries: QueryBatch, k: int, best: Callable[[int], tuple[PosArray, FloatArray]]) -> Hits:
    """Hits of a channel that answers one query after the other.

    Args:
        best: ``best(i)`` gives at most k eligible positions of query i and their scores, best first, ties by position.
    """
    hits = Hits.empty(len(queries), k)
    for i in range(len(queries)):
        positions, scores = best(i)
        hits.positions[i, : len(positions)] = positions
        hits.scores[i, : len(positions)] = scores
    return hits
