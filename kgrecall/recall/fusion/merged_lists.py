"""The hits of all channels for the same queries side by side: what a way of fusing them is fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, Shown
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.rank_fusion import FusionConfig, stacked
from kgrecall.recall.fusion.weighted_sums import best_places
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MergedLists:
    """The union of all channels' hits for those queries that have a held-out item, padded.

    Shapes: ``queries`` int64 (q,), which of the queries these are; ``positions`` int32 (q, u), -1 on padding; ``scores``
    float32 (q, u, channels), calibrated, 0 where a channel did not find the item; ``found`` bool (q, u, channels); ``relevant``
    bool (q, u); ``num_true`` int64 (q,).
    """

    queries: IntArray
    positions: PosArray
    scores: FloatArray
    found: BoolArray
    relevant: BoolArray
    num_true: IntArray

    def take(self, rows: IntArray | BoolArray) -> MergedLists:
        """Some of the queries."""
        return MergedLists(
            self.queries[rows],
            self.positions[rows],
            self.scores[rows],
            self.found[rows],
            self.relevant[rows],
            self.num_true[rows],
        )

    def among(self, kept: BoolArray, num_true: IntArray) -> MergedLists:
        """Some candidates alone, for the queries that have held-out items of their kind.

        Args:
            kept: bool (q, u).
            num_true: int64 (q,): how many of a query's held-out items are of their kind, found or not.
        """
        rows = np.flatnonzero(num_true > 0)
        kept = kept[rows] & (self.positions[rows] >= 0)
        order = np.argsort(~kept, axis=1, kind="stable")[:, : max(1, int(kept.sum(axis=1).max(initial=0)))]
        there, at = np.take_along_axis(kept, order, axis=1), (rows[:, None], order)
        found = self.found[at] & there[..., None]
        scores = self.scores[at]  # the largest array by far: copied once
        scores[~found] = 0
        return MergedLists(
            self.queries[rows],
            np.where(there, self.positions[at], np.int32(-1)),
            scores,
            found,
            self.relevant[at] & there,
            num_true[rows],
        )

    def head(self, weights: FloatArray, cut: int) -> MergedLists:
        """The ``cut`` best of each query by the weighted sum of scores, best first, ties by position."""
        totals = np.where(self.positions >= 0, self.scores @ weights, -np.inf)
        order = np.lexsort((self.positions, -totals), axis=1)[:, :cut]
        positions, relevant = (
            np.take_along_axis(self.positions, order, axis=1),
            np.take_along_axis(self.relevant, order, axis=1),
        )
        scores = np.take_along_axis(self.scores, order[..., None], axis=1)
        found = np.take_along_axis(self.found, order[..., None], axis=1)
        return MergedLists(self.queries, positions, scores, found, relevant, self.num_true)

    def top(self, totals: FloatArray, k: int) -> BoolArray:
        """Relevance of the k best of each query by ``totals`` float32 (q, u), -inf for what is not listed: bool (q, k)."""
        scores = np.where(self.positions >= 0, -totals, np.inf)
        if k < scores.shape[1]:
            best = np.argpartition(scores, k - 1, axis=1)[:, :k]
        else:
            best = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
        order = np.argsort(np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(self.relevant & (totals > -np.inf), np.take_along_axis(best, order, axis=1), axis=1)

    def top_by(self, weights: FloatArray, k: int, *, above: float = -np.inf) -> BoolArray:
        """As :meth:`top` by weighted sums of the scores, for several ``weights`` float32 (t, channels) >= 0: bool (t, q, k).

        Args:
            above: only sums that are more than this are listed.
        """
        places = best_places(self.scores, self.positions, weights, k, above=above)
        found: BoolArray = self.relevant[np.arange(len(self.positions))[:, None], places] & (places >= 0)
        return found

    def ndcg(self, totals: FloatArray, k: int) -> Values:
        """NDCG@k of each query's list by ``totals``: float64 (q,)."""
        return self._ndcg(self.top(totals, k), k)

    def ndcg_by(self, weights: FloatArray, k: int, *, above: float = -np.inf) -> Values:
        """NDCG@k of each query's list by weighted sums, arguments as :meth:`top_by`: float64 (t, q)."""
        return self._ndcg(self.top_by(weights, k, above=above), k)

    def recall_by(self, weights: FloatArray, k: int) -> Values:
        """Recall@k of each query's list by weighted sums: float64 (t, q)."""
        values: Values = self.top_by(weights, k).sum(axis=-1) / self.num_true
        return values

    def _ndcg(self, top: BoolArray, k: int) -> Values:
        """Shapes: (..., q, k) -> (..., q)."""
        discount = 1 / np.log2(np.arange(2, k + 2))
        ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(self.num_true, k)]
        values: Values = top @ discount[: top.shape[-1]] / ideal
        return values


def merge_lists(hits: Mapping[str, Hits], truth_indptr: IntArray, truth_pos: IntArray, config: FusionConfig) -> MergedLists:
    """Merge hits of the same q queries, calibrated by ``config``.

    Args:
        truth_indptr, truth_pos: the held-out items of query i are ``truth_pos[truth_indptr[i]:truth_indptr[i + 1]]``.

    Raises:
        ConfigError: no channel, or no query with a held-out item.
    """
    num_true = np.diff(truth_indptr)
    if not hits or not num_true.any():
        raise ConfigError(
            "merge_lists",
            expected="at least one channel and one query with a held-out item",
            got=Shown(f"{len(hits)} channels, {int((num_true > 0).sum())} such queries"),
            remedy="Cut a validation part from the training interactions first.",
        )
    key, inverse, where = _merge_keys(list(hits.values()))
    row = key >> 32
    counts = np.bincount(row, minlength=len(num_true))
    place = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = len(num_true), max(1, int(counts.max(initial=0)))
    scores, found = np.zeros((*shape, len(hits)), np.float32), np.zeros((*shape, len(hits)), np.bool_)
    for channel, (name, hit) in enumerate(hits.items()):
        mine = inverse[where[channel] : where[channel + 1]]
        scores[row[mine], place[mine], channel] = config.calibrate((name,), stacked([hit]))[0][hit.positions >= 0]
        found[row[mine], place[mine], channel] = True
    true_key = np.repeat(np.arange(len(num_true)), num_true) << 32 | truth_pos
    relevant, positions = np.zeros(shape, np.bool_), np.full(shape, -1, np.int32)
    relevant[row, place], positions[row, place] = np.isin(key, true_key), key & 0xFFFFFFFF
    everyone = MergedLists(np.arange(len(num_true)), positions, scores, found, relevant, num_true)
    return everyone.take(num_true > 0)


def _merge_keys(hits: Sequence[Hits]) -> tuple[IntArray, NDArray[np.intp], list[int]]:
    """The distinct (row << 32 | position) keys of all hits, the key of each hit, and where each channel's hits begin."""
    keys, where = [], [0]
    for hit in hits:
        row, column = np.nonzero(hit.positions >= 0)
        keys.append(row << 32 | hit.positions[row, column])
        where.append(where[-1] + len(row))
    key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return key, inverse, where
