"""What everybody chooses: the channel that can answer anyone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.types import BoolArray, FloatArray, IntArray, Interactions, PosArray

MS_PER_DAY = 86_400_000
_STRAYS, _FEW = 1000, 100
POPULAR = "POPULAR"
"""The relation of evidence from a user to a popular item."""


def item_popularity(interactions: Interactions, *, half_life_days: float | None = None) -> FloatArray:
    """Events per item, float32 (num_items,), each counting ``0.5 ** (age / half_life_days)``; age is taken from the last event,
    strays left aside. An event without a time is as old as the oldest that has one; an item with any event has more than 0.

    Raises:
        ConfigError: a half-life that is not positive, or events without time.
    """
    if half_life_days is None:
        return np.bincount(interactions.item_pos, minlength=interactions.num_items).astype(np.float32)
    if half_life_days <= 0 or interactions.time is None:
        raise ConfigError(
            "half_life_days",
            expected="a positive number of days, and interactions with time",
            got=half_life_days,
            remedy="Leave it out to count all events alike.",
        )
    if not len(interactions):
        return np.zeros(interactions.num_items, np.float32)
    age = _ages(interactions.time) / (half_life_days * MS_PER_DAY)
    counts = np.bincount(interactions.item_pos, weights=0.5**age, minlength=interactions.num_items).astype(np.float32)
    counts[interactions.item_pos] = np.maximum(counts[interactions.item_pos], np.finfo(np.float32).tiny)
    return counts


def _ages(time: IntArray) -> NDArray[np.float64]:
    """Milliseconds before the last known time, float64 (n,), 0 for strays behind it; 0 for all where no time is known."""
    known = time != MISSING_TIME
    if not known.any():
        return np.zeros(len(time))
    oldest, last = time[known].min(), _last(time[known])
    ages: NDArray[np.float64] = np.maximum(np.float64(last) - np.where(known, time, oldest), 0)
    return ages


def _last(time: IntArray) -> int:
    """The last time that is no stray: of the latest thousandth of all events, what lies as far behind the others as those reach
    back to their median is one. A test event, or one of a clock that went wrong, would make all others infinitely old."""
    late = max(1, len(time) // _STRAYS)
    if len(time) < _FEW:
        return int(time.max())
    latest = np.partition(time, len(time) - late - 1)
    usual, middle = int(latest[len(time) - late - 1]), int(np.median(time))
    within = latest[latest <= usual + max(usual - middle, MS_PER_DAY)]
    return int(within.max())


def item_trend(
    interactions: Interactions, *, half_life_days: float, exponent: float = 1.0, smoothing: float = 5.0
) -> FloatArray:
    """How an item's present compares with its past, float32 (num_items,) > 0; 1 is what an average item has.

    ``((recent + s r) / (all + s) / r) ** exponent``: ``recent`` counts events with the half-life, ``all`` counts them alike, r
    is their ratio over the whole catalogue, and s imagined average events stand for what is not known of rare items (an item
    without events has 1). As a prior of personal channels it favours what is chosen now over what was chosen once.

    Raises:
        ConfigError: a half-life that is not positive, or events without time.
    """
    recent = item_popularity(interactions, half_life_days=half_life_days)
    overall = item_popularity(interactions)
    ratio = recent.sum() / max(overall.sum(), 1.0)
    if ratio == 0:
        return np.ones(interactions.num_items, np.float32)
    trend: FloatArray = ((recent + smoothing * ratio) / (overall + smoothing) / ratio) ** exponent
    return trend.astype(np.float32)


class PopularOrder:
    """All items, most popular first, ties by position.

    Args:
        popularity: float32 (num_items,).
    """

    def __init__(self, popularity: FloatArray) -> None:
        self._order = np.argsort(-popularity, kind="stable").astype(np.int32)

    def eligible(self, mask: BoolArray | None) -> PosArray:
        return self._order if mask is None else self._order[mask[self._order]]

    def fill(self, positions: PosArray, batch: QueryBatch) -> PosArray:
        """Rows that end early go on with the most popular eligible items that they do not hold yet.

        Shapes: positions int32 (q, k), padded with -1 -> the same, padded only where too few items are eligible.
        """
        short = np.flatnonzero(positions[:, -1] < 0)
        if not len(short):
            return positions
        order, filled = self.eligible(batch.mask), positions.copy()
        for i in short:
            n = int((filled[i] >= 0).sum())
            more = first_without(order, np.concatenate([filled[i, :n], batch.excluded(int(i))]), filled.shape[1] - n)
            filled[i, n : n + len(more)] = more
        return filled


def first_without(order: PosArray, taken: PosArray, k: int) -> PosArray:
    """The first k distinct positions of an order that are not taken."""
    head = order[: k + len(taken)]
    return head[~np.isin(head, taken)][:k]


class PopularityChannel:
    """The most popular eligible items, the same for everybody. Items with popularity 0 are no candidates.

    Args:
        popularity: float32 (num_items,), from :func:`item_popularity`.
    """

    def __init__(self, popularity: FloatArray, *, name: str = "popularity", naming: Naming | None = None) -> None:
        self.name = name
        self._popularity = np.asarray(popularity, np.float32)
        self._order = PopularOrder(self._popularity)
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""
        order = self._order.eligible(queries.mask)
        order = order[self._popularity[order] > 0]
        if (loops := compiled()) is not None:
            most = int((queries.exclude_indptr[1:] - queries.exclude_indptr[:-1]).max(initial=0))
            everybody = np.tile(order[: k + most], (len(queries), 1))
            lists, drop = (everybody, self._popularity[everybody]), (queries.exclude_indptr, queries.exclude_pos)
            return Hits(*loops.keep_eligible(lists, drop, queries.num_items, k))
        hits = Hits.empty(len(queries), k)
        for i in range(len(queries)):
            best = first_without(order, queries.excluded(i), k)
            hits.positions[i, : len(best)] = best
            hits.scores[i, : len(best)] = self._popularity[best]
        return hits

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """One step, user -POPULAR- item, when anybody chose it."""
        if limit < 1 or self._popularity[item_pos] <= 0:
            return []
        nodes = ((self._naming.user, int(query.user_pos[0])), (self._naming.item, item_pos))
        return [Evidence(nodes, (POPULAR,), 1.0)]
