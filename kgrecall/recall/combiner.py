"""Small networks that reorder a fused list by what every channel said of an item, how popular it is and who asks.

There is one for items that somebody has chosen, and one for items that nobody has: what a channel's word is worth differs. Each
has one hidden layer and is applied with a handful of matrix products; no library is needed to serve them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.recall.combiner_weights import CombinerWeights, NetworkWeights
from kgrecall.recall.rank_fusion import Fused
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

_LEAST_SCORE = 1e-6
_PER_CHANNEL = 3


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What is known beside the hits.

    Shapes: ``popularity`` float32 (sources, num_items), from :func:`log_popularity`, as it was when each source was counted;
    ``source`` int64 (q,): which of them a query sees; ``history`` float32 (q,), from :func:`log_length`.
    """

    popularity: FloatArray
    source: IntArray
    history: FloatArray

    @classmethod
    def now(cls, popularity: FloatArray, history_indptr: IntArray) -> Surroundings:
        """One popularity for all: float32 (num_items,), from :func:`log_popularity`."""
        return cls(popularity[None], np.zeros(len(history_indptr) - 1, np.int64), log_length(history_indptr))

    def rows(self, rows: IntArray) -> Surroundings:
        """Of some queries."""
        return Surroundings(self.popularity, self.source[rows], self.history[rows])

    def of(self, query: IntArray, positions: PosArray) -> FloatArray:
        """Popularity of items as these queries see it, NaN where nobody has chosen one; all of one shape. -1 counts as 0."""
        return self.popularity[self.source[query], np.maximum(positions, 0)]


def log_popularity(popularity: FloatArray) -> FloatArray:
    """Popularity against the catalogue's mean, as a logarithm: float32 (num_items,), whatever time the counts cover.

    NaN where nobody has chosen an item: how popular it will be is not known.
    """
    logarithm: FloatArray = np.log((1 + popularity) / (1 + popularity.mean())).astype(np.float32)
    return np.where(popularity > 0, logarithm, np.float32(np.nan))


def log_length(indptr: IntArray) -> FloatArray:
    """``log(1 + length)`` of ragged rows: float32 (q,)."""
    return np.log1p(np.diff(indptr)).astype(np.float32)


def features(
    scores: FloatArray, found: BoolArray, first: FloatArray, popularity: FloatArray, history: FloatArray
) -> FloatArray:
    """The inputs of a network.

    Shapes: scores float32 (n, channels) >= 0, found bool (n, channels), first (channels,), popularity (NaN: nobody has chosen
    it) and history float32 (n,) -> float32 (n, 3 channels + 4).
    """
    count, total = found.sum(axis=1, dtype=np.float32), scores @ first
    context = np.stack([count, total, np.nan_to_num(popularity), history], axis=1)
    return np.concatenate((scores, np.log1p(scores), found, context), axis=1, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """n items of some queries.

    Shapes: ``row`` int64 (n,), ascending: their query, and ``column`` int64 (n,): their place in its list; ``scores`` float32
    (n, channels) >= 0, ``found`` bool (n, channels); ``popularity`` float32 (n,), NaN where nobody has chosen the item;
    ``history`` float32 (n,).
    """

    row: IntArray
    column: IntArray
    scores: FloatArray
    found: BoolArray
    popularity: FloatArray
    history: FloatArray

    def inputs(self, first: FloatArray, at: BoolArray) -> FloatArray:
        """Of some of the items: see :func:`features`."""
        if at.all():
            return features(self.scores, self.found, first, self.popularity, self.history)
        return features(self.scores[at], self.found[at], first, self.popularity[at], self.history[at])


class Network:
    """Log odds of items against each other, and what each channel adds to them."""

    def __init__(self, weights: NetworkWeights) -> None:
        self.first = np.array(weights.first, np.float32)
        self._hidden, self._bias = np.array(weights.hidden, np.float32), np.array(weights.bias, np.float32)
        self._out, self._direct = np.array(weights.out, np.float32), np.array(weights.direct, np.float32)

    def log_odds(self, inputs: FloatArray) -> FloatArray:
        """float32 (n, features) -> (n,)."""
        odds: FloatArray = np.maximum(inputs @ self._hidden + self._bias, 0) @ self._out + inputs @ self._direct
        return odds

    def judge(self, items: Items) -> FloatArray:
        """float32 (n,)."""
        return self.log_odds(items.inputs(self.first, np.ones(len(items.row), np.bool_)))

    def added(self, inputs: FloatArray) -> FloatArray:
        """What each channel adds to the log odds of an item that nobody found: float32 (n, features) -> (channels, n)."""
        num = len(self.first)
        change = inputs.copy()
        change[:, -2:] = 0  # the item and the history are what they are, whoever finds the item
        active = inputs @ self._hidden + self._bias
        step = change @ self._hidden
        slope = np.where(np.abs(step) > 1e-7, (np.maximum(active, 0) - np.maximum(active - step, 0)) / _not_0(step), active > 0)
        added = change * ((slope * self._out) @ self._hidden.T + self._direct)
        own = added[:, : _PER_CHANNEL * num].reshape(-1, _PER_CHANNEL, num).sum(axis=1)
        found, scores = inputs[:, 2 * num : 3 * num], inputs[:, :num] * self.first
        own += added[:, -4, None] * found / _not_0(found.sum(axis=1, keepdims=True))
        own += added[:, -3, None] * scores / _not_0(scores.sum(axis=1, keepdims=True))
        transposed: FloatArray = own.T
        return transposed


class Combiner:
    """Rescores fused lists.

    A score is the log odds of an item against the least validation candidate. What a channel adds is exact: the difference to
    the same item found by nobody, carried back through the network by the rescale rule (Shrikumar, Greenside & Kundaje,
    "Learning Important Features Through Propagating Activation Differences", ICML 2017), whose parts add up to that difference;
    the rest (popularity, history, bias) is shared evenly by the channels that found the item. A part can be negative.
    """

    def __init__(self, weights: CombinerWeights) -> None:
        self.channels = weights.channels
        self._known, self._apart = Network(weights.known), weights.new
        self._new = self._known if self._apart is None else Network(self._apart.network)
        self._floor = np.float32(weights.floor)

    def rescore(self, fused: Fused, around: Surroundings, rows: BoolArray, k: int) -> Fused:
        """The k best of each row by the networks where ``rows`` bool (q,) says so; other rows are cut as they are.

        Args:
            fused: lists of k or more, whose parts are scores times ``first`` of the network that judges an item, in the order
                of ``channels``.
        """
        taken = np.flatnonzero(rows & (fused.positions[:, 0] >= 0))
        cut = fused.head(k)
        if len(taken):
            best = self._best(fused.rows(taken), around.rows(taken), k)
            cut.positions[taken], cut.scores[taken] = best.positions, best.scores
            cut.channel_scores[:, taken], cut.parts[:, taken] = best.channel_scores, best.parts
        return cut

    def log_odds(self, items: Items) -> FloatArray:
        """float32 (n,), of one scale within a query."""
        return self._judged(items)[0]

    def _judged(self, items: Items) -> tuple[FloatArray, tuple[tuple[Network, BoolArray, FloatArray], ...]]:
        """Log odds, and for each network which items it judged and what it was shown of them."""
        new: BoolArray = np.isnan(items.popularity)
        odds = np.zeros(len(new), np.float32)
        asked = ((network, at) for network, at in ((self._known, ~new), (self._new, new)) if at.any())
        judged = tuple((network, at, items.inputs(network.first, at)) for network, at in asked)
        for network, at, inputs in judged:
            odds[at] = network.log_odds(inputs)
        if self._apart is not None and new.any():
            known = np.full((int(items.row.max()) + 1, int(items.column.max()) + 1), -np.inf, np.float32)
            known[items.row[~new], items.column[~new]] = odds[~new]
            level = together(known)[items.row[new]]
            odds[new] += np.where(level > -np.inf, level, np.float32(self._apart.level)) + np.float32(self._apart.offset)
            odds[new] += np.float32(self._apart.history) * items.history[new]
        return odds, judged

    def _best(self, lists: Fused, around: Surroundings, k: int) -> Fused:
        listed = lists.positions >= 0
        row, column = np.nonzero(listed)
        odds, judged = self._judged(self._items(lists, around, row, column))
        scores = np.full(listed.shape, -np.inf, np.float32)
        scores[listed] = np.maximum(odds - self._floor, _LEAST_SCORE)
        order = np.argsort(_keys(scores, lists.positions), axis=1)[:, :k]
        best = order + listed.shape[1] * np.arange(len(order))[:, None]
        positions, scores = lists.positions.take(best), scores.take(best)
        raw = lists.channel_scores.reshape(len(self.channels), -1).take(best, axis=1)
        number = np.zeros(listed.shape, np.int64)
        number[listed] = np.arange(len(row))
        chosen, shown = number.take(best), positions >= 0
        parts = np.zeros((len(self.channels), *chosen.shape), np.float32)
        for network, at, inputs in judged:
            mine = shown & at[chosen]
            parts[:, mine] = network.added(inputs[(np.cumsum(at) - 1)[chosen[mine]]])
        return Fused(positions, scores, raw, _completed(parts, raw, scores))

    def _items(self, lists: Fused, around: Surroundings, row: IntArray, column: IntArray) -> Items:
        popularity = around.of(row, lists.positions[row, column])
        first = np.where(np.isnan(popularity)[:, None], self._new.first, self._known.first)
        found, scores = ~np.isnan(lists.channel_scores[:, row, column].T), lists.parts[:, row, column].T / first
        return Items(row, column, scores.astype(np.float32, copy=False), found, popularity, around.history[row])


def _keys(scores: FloatArray, positions: PosArray) -> NDArray[np.uint64]:
    """Ascending where scores, none of which is negative but minus infinity, descend, and positions ascend."""
    bits = np.where(scores > -np.inf, scores, np.float32(0)).view(np.uint32)
    keys: NDArray[np.uint64] = (np.uint64(0xFFFFFFFF) - bits) << np.uint64(32) | positions.astype(np.uint32)
    return keys


def together(odds: FloatArray, most: int = 100) -> FloatArray:
    """``log(sum(exp(odds)))`` of the best of each row, so that it does not depend on how far down a list goes.

    Shapes: float32 (q, u), minus infinity where there is nothing -> (q,), minus infinity for a row of nothing.
    """
    best = odds if odds.shape[1] <= most else -np.partition(-odds, most - 1, axis=1)[:, :most]
    top = best.max(axis=1, initial=-np.inf)
    sums = np.exp(best - np.where(top > -np.inf, top, 0)[:, None]).sum(axis=1)
    return np.where(top > -np.inf, top + np.log(np.maximum(sums, 1)), -np.inf).astype(np.float32)


def _completed(parts: FloatArray, raw: FloatArray, scores: FloatArray) -> FloatArray:
    """Parts (channels, q, k) that add up to the scores: what is missing is shared by the channels that found the item."""
    found = ~np.isnan(raw)
    missing = np.where(scores > -np.inf, scores, 0) - parts.sum(axis=0)
    completed: FloatArray = np.where(found, parts + missing / np.maximum(found.sum(axis=0), 1), 0)
    return completed


def _not_0(values: FloatArray) -> FloatArray:
    return np.where(np.abs(values) > 1e-7, values, np.float32(1))
