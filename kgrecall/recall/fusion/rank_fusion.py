"""Several ranked lists into one: each channel's hits become contributions, contributions of one item are added.

A fusion method is one small function from a channel's :class:`~kgrecall.recall.base.Hits` to non-negative contributions of the
same shape. Everything after that is a weighted sum, so that each channel's part of a final score can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Hits, best_of
from kgrecall.recall.fusion.combiner_weights import CombinerWeights
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, IntArray, PosArray

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FusionConfig(Settings):
    """How channels are weighed against each other."""

    method: Literal["rrf", "score", "learned"] = "rrf"
    """``rrf`` looks at ranks only, ``score`` at scores over the channel's own mean; ``learned`` reorders the best ``depth`` of
    the engine by a small network (see :mod:`kgrecall.recall.fusion.combiner`), and is ``score`` until a build has trained
    one."""
    weights: dict[str, Weight] = Field(default_factory=dict)
    """Weight per channel, >= 0; 1 when not named."""
    new_weights: dict[str, Weight] = Field(default_factory=dict)
    """Weight per channel for an item that nobody has chosen yet; that of ``weights`` when not named."""
    rrf_c: float = Field(default=60.0, gt=0)
    """Reciprocal rank fusion: how slowly a rank's worth falls."""
    depth: int = Field(default=20, ge=1)
    """Score fusion: a channel's scores are divided by the mean of its best ``depth``."""
    temperatures: dict[str, Temperature] = Field(default_factory=dict)
    """Score fusion: a channel of cosines is spread by ``exp(score / temperature)`` first."""

    combiner: CombinerWeights | None = None
    """``learned``: the network, set by a build."""

    text_weight: float = Field(default=4.0, gt=0)
    """Where a query has a text: weight of the text channel, as a multiple of all other channels' weights together."""
    text_temperature: float = Field(default=0.05, gt=0)
    """Where a query has a text: an item that is less similar by this much is worth 1/e, so that the text decides."""
    text_popularity: float = Field(default=0.5, ge=0, le=2)
    """Where a query has a text: what matches it is worth popularity to this power, so that a text that fits many items alike
    gives those that people choose."""

    def weight(self, channel: str) -> float:
        return self.weights.get(channel, 1.0)

    def new_weight(self, channel: str) -> float:
        """For an item that nobody has chosen yet."""
        return self.new_weights.get(channel, self.weight(channel))

    def calibrate(self, channels: Sequence[str], lists: Hits) -> FloatArray:
        """Contributions of channels before their weights: float32 in the shape of :func:`stacked` lists, 0 on padding."""
        if self.method == "rrf":
            return reciprocal_rank(lists, self.rrf_c)
        spread = [(i, self.temperatures[name]) for i, name in enumerate(channels) if name in self.temperatures]
        if spread:
            lists = Hits(lists.positions, lists.scores.copy())
            for i, temperature in spread:
                lists.scores[i] = exponential(Hits(lists.positions[i], lists.scores[i]), temperature).scores
        return score_over_mean(lists, self.depth)


def stacked(hits: Sequence[Hits]) -> Hits:
    """The hits of some channels for the same q queries, as long as the longest: positions and scores (channels, q, k)."""
    widths = {hit.positions.shape[1] for hit in hits}
    if len(widths) == 1:
        return Hits(np.array([hit.positions for hit in hits]), np.array([hit.scores for hit in hits]))
    every = [Hits.empty(len(hit.positions), max(widths)) for hit in hits]
    for padded, hit in zip(every, hits, strict=True):
        padded.positions[:, : hit.positions.shape[1]] = hit.positions
        padded.scores[:, : hit.positions.shape[1]] = hit.scores
    return stacked(every)


def reciprocal_rank(hits: Hits, c: float = 60.0) -> FloatArray:
    """``1 / (c + rank)``, rank from 1.

    Cormack, Clarke & Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods"
    (SIGIR 2009).
    """
    return np.where(hits.positions >= 0, _worth(hits.positions.shape[-1], c), np.float32(0))


@lru_cache(maxsize=64)
def _worth(k: int, c: float) -> FloatArray:
    """Of each rank, float32 (k,)."""
    worth = (1 / (np.float32(c) + np.arange(1, k + 1, dtype=np.float32))).astype(np.float32)
    worth.flags.writeable = False
    return worth


def score_over_mean(hits: Hits, depth: int = 20) -> FloatArray:
    """Scores over the mean of the best ``depth`` of their row, negative ones as 0: a list's head is worth 1 in any channel.

    Sum-to-mean normalisation as in Montague & Aslam, "Relevance Score Normalization for Metasearch" (CIKM 2001).
    """
    scores = np.maximum(hits.scores, np.float32(0))  # padding too
    head = (hits.positions[..., :depth] >= 0).sum(axis=-1)
    mean = scores[..., :depth].sum(axis=-1) / np.maximum(head, 1)
    return (scores / np.where(mean > 0, mean, 1)[..., None]).astype(np.float32, copy=False)


def text_led(hits: Hits, contributions: FloatArray, temperature: float, prior: FloatArray | None = None) -> FloatArray:
    """Contributions of a channel that leads: the best of each row keeps its worth, others fall with their score.

    Args:
        prior: float32 (q, k), logarithms of what each item is worth before the text is read; None: all alike.
    """
    valid = hits.positions >= 0
    odds = np.where(valid, hits.scores, 0) / np.float32(temperature) + (0 if prior is None else prior)
    odds = np.where(valid, odds, -np.inf)
    best = odds.max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):  # -inf - -inf where a row is empty
        worth = np.exp(odds - best)
    return (np.where(valid, worth, 0) * contributions[:, :1]).astype(np.float32)


def exponential(hits: Hits, temperature: float) -> Hits:
    """``exp((score - best score of the row) / temperature)``: turns cosines into the odds a sampled softmax was trained on."""
    best = hits.scores[:, :1]
    with np.errstate(invalid="ignore"):  # -inf - -inf on padding
        spread = np.exp((hits.scores - best) / np.float32(temperature))
    return Hits(hits.positions, np.where(hits.positions >= 0, spread, -np.inf).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """The fused answer of q queries.

    Shapes: ``positions`` int32 (q, k) padded with -1, ``scores`` float32 (q, k) padded with -inf, best first, ties by position;
    ``channel_scores`` float32 (channels, q, k): raw scores, NaN where a channel did not recall the item; ``parts`` float32
    (channels, q, k): weighted contributions, which add up to ``scores``.
    """

    positions: PosArray
    scores: FloatArray
    channel_scores: FloatArray
    parts: FloatArray

    def head(self, k: int) -> Fused:
        """A copy of the first k of each row."""
        copied = (self.scores[:, :k].copy(), self.channel_scores[:, :, :k].copy(), self.parts[:, :, :k].copy())
        return Fused(self.positions[:, :k].copy(), *copied)

    def rows(self, rows: IntArray) -> Fused:
        """A copy of some rows."""
        told, parts = self.channel_scores.take(rows, axis=1), self.parts.take(rows, axis=1)
        return Fused(self.positions[rows], self.scores[rows], told, parts)


def fuse(lists: Hits, contributions: FloatArray, k: int) -> Fused:
    """Add up contributions by item and keep the k best of each row; items whose sum is 0 are left out.

    Shapes: lists of positions and scores (channels, q, w), from :func:`stacked`; contributions float32 (channels, q, w),
    already weighted, >= 0.
    """
    channels, num_queries, _ = lists.positions.shape
    if (loops := compiled()) is not None:
        return Fused(*loops.merge(lists.positions, contributions, lists.scores, k))
    fused = Fused(
        np.full((num_queries, k), -1, np.int32),
        np.full((num_queries, k), -np.inf, np.float32),
        np.full((channels, num_queries, k), np.nan, np.float32),
        np.zeros((channels, num_queries, k), np.float32),
    )
    for i in range(num_queries):
        _fuse_row(fused, i, lists, contributions)
    return fused


def _fuse_row(fused: Fused, i: int, lists: Hits, contributions: FloatArray) -> None:
    """Write the answer of query i."""
    listed = lists.positions[:, i] >= 0
    positions, parts = lists.positions[:, i][listed], contributions[:, i][listed]
    if not len(positions):
        return
    distinct, place = _distinct(positions)
    sums = np.bincount(place, weights=parts, minlength=len(distinct)).astype(np.float32)
    best = best_of(distinct, sums, fused.positions.shape[1])
    best = best[sums[best] > 0]
    fused.positions[i, : len(best)], fused.scores[i, : len(best)] = distinct[best], sums[best]
    rank = np.full(len(distinct), -1)
    rank[best] = np.arange(len(best))
    shown = np.flatnonzero(rank[place] >= 0)
    channel, rank = np.nonzero(listed)[0][shown], rank[place[shown]]
    fused.channel_scores[channel, i, rank] = lists.scores[:, i][listed][shown]
    fused.parts[channel, i, rank] = parts[shown]


def _distinct(positions: PosArray) -> tuple[PosArray, PosArray]:
    """The distinct positions, in any order, and where each position stands among them.

    ``slot`` is read only where it was written before: the last occurrence of a position stands for it. No sorting.
    """
    slot = np.empty(int(positions.max()) + 1, np.int32)
    order = np.arange(len(positions), dtype=np.int32)
    slot[positions] = order
    distinct = positions[slot[positions] == order]
    slot[distinct] = order[: len(distinct)]
    return distinct, slot[positions]


def rrf(hits: Sequence[Hits], k: int, *, weights: Sequence[float] | None = None, c: float = 60.0) -> Fused:
    """Weighted reciprocal rank fusion: ``score(i) = sum_channels weight / (c + rank of i)``."""
    lists = stacked(hits)
    given = np.ones(len(hits), np.float32) if weights is None else np.array(weights, np.float32)
    return fuse(lists, reciprocal_rank(lists, c) * given[:, None, None], k)
