"""A small network that reorders a fused list by what every channel said of an item, how popular it is and who asks.

It has one hidden layer and is applied with a handful of matrix products; no library is needed to serve it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.recall.combiner_weights import CombinerWeights
from kgrecall.recall.rank_fusion import Fused
from kgrecall.types import BoolArray, FloatArray, IntArray

CONTENT = ("attributes", "content", "text")
"""Channels that can tell an item nobody has chosen: their scores do not depend on who chose it."""
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


def log_popularity(popularity: FloatArray) -> FloatArray:
    """Popularity against the catalogue's mean, as a logarithm: float32 (num_items,), whatever time the counts cover.

    NaN where nobody has chosen an item: how popular it will be is not known.
    """
    logarithm: FloatArray = np.log((1 + popularity) / (1 + popularity.mean())).astype(np.float32)
    return np.where(popularity > 0, logarithm, np.float32(np.nan))


def log_length(indptr: IntArray) -> FloatArray:
    """``log(1 + length)`` of ragged rows: float32 (q,)."""
    return np.log1p(np.diff(indptr)).astype(np.float32)


def by_content(names: Sequence[str]) -> BoolArray:
    """Which channels go by what items are: bool (channels,)."""
    return np.array([name in CONTENT for name in names])


def features(
    scores: FloatArray, found: BoolArray, first: FloatArray, popularity: FloatArray, history: FloatArray, content: BoolArray
) -> FloatArray:
    """The inputs of the network.

    Of an item that nobody has chosen, only what the channels ``content`` say is heard, where one of them found it: in training,
    too, such items are judged by them alone.

    Shapes: scores float32 (n, channels) >= 0, found bool (n, channels), first (channels,), popularity (NaN: nobody has chosen
    it) and history float32 (n,), content bool (channels,) -> float32 (n, 3 channels + 5).
    """
    unmet = np.isnan(popularity)
    heard = ~(unmet & found[:, content].any(axis=1))[:, None] | content
    scores, found = np.where(heard, scores, np.float32(0)), found & heard
    count, total = found.sum(axis=1, dtype=np.float32), scores @ first
    context = np.stack([count, total, np.where(unmet, np.float32(0), popularity), history, unmet], axis=1)
    columns = (scores, np.log1p(scores), found, context)
    return np.concatenate(columns, axis=1, dtype=np.float32)


class Combiner:
    """Rescores fused lists.

    A score is the log odds of an item against the least validation candidate. What a channel adds is exact: the difference to
    the same item found by nobody, carried back through the network by the rescale rule (Shrikumar, Greenside & Kundaje,
    "Learning Important Features Through Propagating Activation Differences", ICML 2017), whose parts add up to that difference;
    the rest (popularity, history, bias) is shared evenly by the channels that found the item. A part can be negative.
    """

    def __init__(self, weights: CombinerWeights) -> None:
        self.channels = weights.channels
        self.first, self._content = np.array(weights.first, np.float32), by_content(weights.channels)
        self._hidden, self._bias = np.array(weights.hidden, np.float32), np.array(weights.bias, np.float32)
        self._out, self._direct = np.array(weights.out, np.float32), np.array(weights.direct, np.float32)
        self._floor = np.float32(weights.floor)

    def rescore(self, fused: Fused, around: Surroundings, rows: BoolArray, k: int) -> Fused:
        """The k best of each row by the network where ``rows`` bool (q,) says so; other rows are cut as they are.

        Args:
            fused: lists of k or more, whose parts are scores times ``first``, in the order of ``channels``.
        """
        taken = np.flatnonzero(rows & (fused.positions[:, 0] >= 0))
        cut = fused.head(k)
        if len(taken):
            best = self._best(fused.rows(taken), around.rows(taken), k)
            cut.positions[taken], cut.scores[taken] = best.positions, best.scores
            cut.channel_scores[:, taken], cut.parts[:, taken] = best.channel_scores, best.parts
        return cut

    def log_odds(self, inputs: FloatArray) -> FloatArray:
        """The network itself: float32 (n, features) -> (n,)."""
        odds: FloatArray = np.maximum(inputs @ self._hidden + self._bias, 0) @ self._out + inputs @ self._direct
        return odds

    def _best(self, lists: Fused, around: Surroundings, k: int) -> Fused:
        valid = lists.positions >= 0
        inputs = self._inputs(lists, around, valid)
        scores = np.full(valid.shape, -np.inf, np.float32)
        scores[valid] = np.maximum(self.log_odds(inputs) - self._floor, _LEAST_SCORE)
        order = np.lexsort((lists.positions, -scores), axis=1)[:, :k]
        positions, scores = np.take_along_axis(lists.positions, order, axis=1), np.take_along_axis(scores, order, axis=1)
        raw = np.take_along_axis(lists.channel_scores, order[None], axis=2)
        kept = np.zeros(valid.shape, np.bool_)
        np.put_along_axis(kept, order, True, axis=1)
        every = np.zeros((len(self.channels), *valid.shape), np.float32)
        every[:, kept & valid] = self._added(inputs[kept[valid]])
        parts = np.take_along_axis(every, order[None], axis=2)
        return Fused(positions, scores, raw, _completed(parts, raw, scores))

    def _inputs(self, lists: Fused, around: Surroundings, valid: BoolArray) -> FloatArray:
        found = ~np.isnan(lists.channel_scores[:, valid].T)
        scores = lists.parts[:, valid].T / self.first
        row = np.repeat(np.arange(len(valid)), valid.sum(axis=1))
        popularity = around.popularity[around.source[row], lists.positions[valid]]
        return features(scores, found, self.first, popularity, around.history[row], self._content)

    def _added(self, inputs: FloatArray) -> FloatArray:
        """What each channel adds to the log odds of an item that nobody found: float32 (n, features) -> (channels, n)."""
        num = len(self.channels)
        change = inputs.copy()
        change[:, -3:] = 0  # the item and the history are what they are, whoever finds the item
        active = inputs @ self._hidden + self._bias
        step = change @ self._hidden
        slope = np.where(np.abs(step) > 1e-7, (np.maximum(active, 0) - np.maximum(active - step, 0)) / _not_0(step), active > 0)
        added = change * ((slope * self._out) @ self._hidden.T + self._direct)
        own = added[:, : _PER_CHANNEL * num].reshape(-1, _PER_CHANNEL, num).sum(axis=1)
        found, scores = inputs[:, 2 * num : 3 * num], inputs[:, :num] * self.first
        own += added[:, -5, None] * found / _not_0(found.sum(axis=1, keepdims=True))
        own += added[:, -4, None] * scores / _not_0(scores.sum(axis=1, keepdims=True))
        transposed: FloatArray = own.T
        return transposed


def _completed(parts: FloatArray, raw: FloatArray, scores: FloatArray) -> FloatArray:
    """Parts (channels, q, k) that add up to the scores: what is missing is shared by the channels that found the item."""
    found = ~np.isnan(raw)
    missing = np.where(scores > -np.inf, scores, 0) - parts.sum(axis=0)
    completed: FloatArray = np.where(found, parts + missing / np.maximum(found.sum(axis=0), 1), 0)
    return completed


def _not_0(values: FloatArray) -> FloatArray:
    return np.where(np.abs(values) > 1e-7, values, np.float32(1))
