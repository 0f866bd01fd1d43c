"""Small networks that reorder a fused list by what every channel said of an item, how popular it is and who asks.

There is one for items that somebody has chosen, one for the same items when a visitor asks, and one for items that nobody has:
what a channel's word is worth differs. Each has one hidden layer and is applied with a handful of matrix products; no library
is needed to serve them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.numbers import FLAT, SLIGHT
from kgrecall.kernels.tier import compiled
from kgrecall.recall.fusion.combiner_weights import CombinerWeights, NetworkWeights
from kgrecall.recall.fusion.rank_fusion import Fused
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Values = NDArray[np.float64]
_LEAST_SCORE = np.float32(1e-6)
_PER_CHANNEL = 3
_COUNT, TOTAL = -4, -3
"""Places of the number of finders and of the weighted sum among the features."""


def features(
    scores: FloatArray, found: BoolArray, first: FloatArray, popularity: FloatArray, history: FloatArray
) -> FloatArray:
    """The inputs of a network.

    How far an item's popularity is from the mean of the history was one more for a while: on validation NDCG@20 it brought
    +.0014 on amazon-book and -.0003 to +.0005 on five other sets, on the test of amazon-book +.0001.

    Shapes: scores float32 (n, channels) >= 0, found bool (n, channels), first (channels,), popularity (NaN: nobody has chosen
    it) and history float32 (n,) -> float32 (n, 3 channels + 4).
    """
    exact = scores.astype(np.float64)  # sums are rounded once, whatever their order
    count, total = found.sum(axis=1, dtype=np.float32), (exact @ first.astype(np.float64)).astype(np.float32)
    context = np.stack([count, _logarithm(total), np.nan_to_num(popularity), history], axis=1)
    logarithms = np.log1p(exact).astype(np.float32)
    return np.concatenate((scores, logarithms, found, context), axis=1, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """n items of some queries.

    Shapes: ``row`` int64 (n,), ascending: their query, and ``column`` int64 (n,): their place in its list; ``scores`` float32
    (n, channels) >= 0, ``found`` bool (n, channels); ``popularity`` float32 (n,), NaN where nobody has chosen the item;
    ``history`` float32 (n,) and ``unknown`` bool (n,): of their query.
    """

    row: IntArray
    column: IntArray
    scores: FloatArray
    found: BoolArray
    popularity: FloatArray
    history: FloatArray
    unknown: BoolArray

    def inputs(self, first: FloatArray, at: BoolArray) -> FloatArray:
        """Of some of the items: see :func:`features`."""
        if at.all():
            return features(self.scores, self.found, first, self.popularity, self.history)
        return features(self.scores[at], self.found[at], first, self.popularity[at], self.history[at])


class Network:
    """Log odds of items against each other, and what each channel adds to them."""

    def __init__(self, weights: NetworkWeights) -> None:
        self.first = np.array(weights.first, np.float32)
        given = (weights.hidden, weights.bias, weights.out, weights.direct)
        self._hidden, self._bias, self._out, self._direct = (
            np.array(values, np.float32).astype(np.float64) for values in given
        )

    @property
    def numbers(self) -> tuple[Values, Values, Values, Values]:
        """float64: hidden (features, units), bias and out (units,), direct (features,)."""
        return self._hidden, self._bias, self._out, self._direct

    def log_odds(self, inputs: FloatArray) -> FloatArray:
        """float32 (n, features) -> (n,)."""
        exact = inputs.astype(np.float64)
        odds = np.maximum(exact @ self._hidden + self._bias, 0) @ self._out + exact @ self._direct
        return np.asarray(odds.astype(np.float32))

    def judge(self, items: Items) -> FloatArray:
        """float32 (n,)."""
        return self.log_odds(items.inputs(self.first, np.ones(len(items.row), np.bool_)))

    def added(self, inputs: FloatArray) -> FloatArray:
        """What each channel adds to the log odds of an item that nobody found: float32 (n, features) -> (channels, n)."""
        num, inputs = len(self.first), inputs.astype(np.float64)
        change = inputs.copy()
        change[:, -2:] = 0  # the item and the history are what they are, whoever finds the item
        active = inputs @ self._hidden + self._bias
        step = change @ self._hidden
        slope = np.where(np.abs(step) > FLAT, (np.maximum(active, 0) - np.maximum(active - step, 0)) / _not_0(step), active > 0)
        added = change * ((slope * self._out) @ self._hidden.T + self._direct)
        own = added[:, : _PER_CHANNEL * num].reshape(-1, _PER_CHANNEL, num).sum(axis=1)
        found, scores = inputs[:, 2 * num : 3 * num], inputs[:, :num] * self.first
        own += added[:, _COUNT, None] * found / _not_0(found.sum(axis=1, keepdims=True))
        own += added[:, TOTAL, None] * scores / _not_0(scores.sum(axis=1, keepdims=True))
        return np.asarray(own.T.astype(np.float32))


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
        visitor = weights.visitor
        self._visitor = self._known if visitor is None else Network(visitor.network)
        self._brief = np.float32(-np.inf if visitor is None else np.log1p(visitor.most))
        self._networks = _side_by_side(self._known, self._new, self._visitor)
        self._floor = np.float32(weights.floor)

    def rescore(self, fused: Fused, around: Surroundings, rows: BoolArray, k: int) -> Fused:
        """The k best of each row by the networks where ``rows`` bool (q,) says so; other rows are cut as they are.

        Args:
            fused: lists of k or more, whose parts are scores times ``first`` of the network that judges an item, in the order
                of ``channels``.
        """
        taken = np.flatnonzero(rows & (fused.positions[:, 0] >= 0))
        if len(taken) == len(rows):
            return self._best(fused, around, k)
        cut = fused.head(k)
        if len(taken):
            best = self._best(fused.rows(taken), around.rows(taken), k)
            cut.positions[taken], cut.scores[taken] = best.positions, best.scores
            cut.channel_scores[:, taken], cut.parts[:, taken] = best.channel_scores, best.parts
        return cut

    def log_odds(self, items: Items) -> FloatArray:
        """float32 (n,), of one scale within a query."""
        odds, new = self._apart_odds(items), np.isnan(items.popularity)
        if self._apart is None or not new.any():
            return odds
        every = np.full((int(items.row.max()) + 1, int(items.column.max()) + 1), -np.inf, np.float32)
        unmet, history = np.zeros(every.shape, np.bool_), np.zeros(len(every), np.float32)
        place = items.row, items.column
        every[place], unmet[place], history[items.row] = odds, new, items.history
        return np.asarray(self._levelled(every, unmet, history)[place])

    def _apart_odds(self, items: Items) -> FloatArray:
        """What the network of each item gives it: float32 (n,)."""
        odds = np.zeros(len(items.row), np.float32)
        for network, at in self._judges(items):
            odds[at] = network.log_odds(items.inputs(network.first, at))
        return odds

    def _judges(self, items: Items) -> list[tuple[Network, BoolArray]]:
        """The networks that have something to judge, and what: bool (n,)."""
        new: BoolArray = np.isnan(items.popularity)
        visiting = self._visiting(items.unknown, items.history) & ~new
        every = ((self._known, ~new & ~visiting), (self._new, new), (self._visitor, visiting))
        return [(network, at) for network, at in every if at.any()]

    def _visiting(self, unknown: BoolArray, history: FloatArray) -> BoolArray:
        """Who is judged as a visitor."""
        visiting: BoolArray = unknown & (history <= self._brief)
        return visiting

    def _usual(self, around: Surroundings) -> IntArray:
        """Which of ``_networks`` judges what somebody has chosen: int64 (q,)."""
        return np.where(self._visiting(around.unknown, around.history), 2, 0)

    def _levelled(self, odds: FloatArray, new: BoolArray, history: FloatArray) -> FloatArray:
        """Log odds (q, u), minus infinity on padding, of which those of new items stand on a scale of their own; on one."""
        if self._apart is None or not new.any():
            return odds
        level = together(np.where(new, np.float32(-np.inf), odds))
        level = np.where(level > -np.inf, level, np.float32(self._apart.level)) + np.float32(self._apart.offset)
        level += np.float32(self._apart.history) * history
        return np.where(new, odds + level[:, None], odds)

    def _best(self, lists: Fused, around: Surroundings, k: int) -> Fused:
        listed, loops = lists.positions >= 0, compiled()
        asked = (
            (lists.positions, lists.scores, lists.channel_scores, lists.parts),
            (around.popularity, around.source, around.history, self._usual(around)),
            self._networks,
        )
        odds = self._each_apart(lists, around, listed) if loops is None else loops.judged(*asked)
        if self._apart is not None:
            query = np.arange(len(listed))[:, None]
            odds = self._levelled(odds, listed & np.isnan(around.of(query, lists.positions)), around.history)
        scores = np.where(listed, np.maximum(odds - self._floor, _LEAST_SCORE), np.float32(-np.inf))
        if loops is not None:
            return Fused(*loops.rescored(*asked, scores, k))
        order = np.argsort(_keys(scores, lists.positions), axis=1)[:, :k]
        return self._kept(lists, around, scores, order)

    def _each_apart(self, lists: Fused, around: Surroundings, listed: BoolArray) -> FloatArray:
        """As :meth:`_apart_odds`, in the shape of the lists (q, u), minus infinity on padding."""
        odds = np.full(listed.shape, -np.inf, np.float32)
        odds[listed] = self._apart_odds(self._items(lists, around, *np.nonzero(listed)))
        return odds

    def _kept(self, lists: Fused, around: Surroundings, scores: FloatArray, order: IntArray) -> Fused:
        """What stands at ``order`` (q, k) of each list."""
        best = order + scores.shape[1] * np.arange(len(order))[:, None]
        positions, scores = lists.positions.take(best), scores.take(best)
        raw = lists.channel_scores.reshape(len(self.channels), -1).take(best, axis=1)
        row, rank = np.nonzero(positions >= 0)
        items = self._items(lists, around, row, order[row, rank])
        parts = np.zeros((len(self.channels), *order.shape), np.float32)
        for network, at in self._judges(items):
            parts[:, row[at], rank[at]] = network.added(items.inputs(network.first, at))
        return Fused(positions, scores, raw, _completed(parts, raw, scores))

    def _items(self, lists: Fused, around: Surroundings, row: IntArray, column: IntArray) -> Items:
        popularity = around.of(row, lists.positions[row, column])
        first = np.where(np.isnan(popularity)[:, None], self._new.first, self._known.first)  # a visitor's is the known one's
        found, scores = ~np.isnan(lists.channel_scores[:, row, column].T), lists.parts[:, row, column].T / first
        return Items(row, column, scores.astype(np.float32), found, popularity, around.history[row], around.unknown[row])


def _side_by_side(*networks: Network) -> tuple[FloatArray, Values, Values, Values, Values]:
    """first float32 and :attr:`Network.numbers` of some networks, hidden transposed, with as many units as the largest has."""
    units = max(len(network.numbers[1]) for network in networks)
    padded = []
    for network in networks:
        hidden, bias, out, direct = network.numbers
        more = (0, units - len(bias))
        padded.append((np.pad(hidden.T, (more, (0, 0))), np.pad(bias, more), np.pad(out, more), direct))
    hidden, bias, out, direct = (np.ascontiguousarray(np.stack(values)) for values in zip(*padded, strict=True))
    return np.stack([network.first for network in networks]), hidden, bias, out, direct


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
    completed = np.where(found, parts + missing / np.maximum(found.sum(axis=0), 1), 0)
    return np.asarray(completed.astype(np.float32))


def _logarithm(total: FloatArray) -> FloatArray:
    """``log(1 + total / SLIGHT)``, float32: 0 for what nobody found; ten times as much is the same step at the end of a list as
    at its head, so that the odds of different lists can be compared."""
    return np.log1p(total.astype(np.float64) / SLIGHT).astype(np.float32)


def _not_0(values: Values) -> Values:
    return np.where(np.abs(values) > FLAT, values, 1.0)
