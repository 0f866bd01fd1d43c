"""Several ranked lists into one: each channel's hits become contributions, contributions of one item are added.

A fusion method is one small function from a channel's :class:`~kgrecall.recall.base.Hits` to non-negative contributions of the
same shape. Everything after that is a weighted sum, so that each channel's part of a final score can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kgrecall.recall.base import Hits
from kgrecall.types import FloatArray, IntArray, PosArray

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FusionConfig(BaseModel):
    """How channels are weighed against each other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["rrf", "score"] = "rrf"
    """``rrf`` looks at ranks only, ``score`` at scores over the channel's own mean."""
    weights: dict[str, Weight] = Field(default_factory=dict)
    """Weight per channel, >= 0; 1 when not named."""
    rrf_c: float = Field(default=60.0, gt=0)
    """Reciprocal rank fusion: how slowly a rank's worth falls."""
    depth: int = Field(default=20, ge=1)
    """Score fusion: a channel's scores are divided by the mean of its best ``depth``."""
    temperatures: dict[str, Temperature] = Field(default_factory=dict)
    """Score fusion: a channel of cosines is spread by ``exp(score / temperature)`` first."""

    text_weight: float = Field(default=4.0, gt=0)
    """Where a query has a text: weight of the text channel, as a multiple of all other channels' weights together."""
    text_temperature: float = Field(default=0.05, gt=0)
    """Where a query has a text: an item that is less similar by this much is worth 1/e, so that the text decides."""

    def weight(self, channel: str) -> float:
        return self.weights.get(channel, 1.0)

    def calibrate(self, channel: str, hits: Hits) -> FloatArray:
        """Contributions of a channel before its weight: float32 (q, k), 0 on padding."""
        if self.method == "rrf":
            return reciprocal_rank(hits, self.rrf_c)
        temperature = self.temperatures.get(channel)
        return score_over_mean(hits if temperature is None else exponential(hits, temperature), self.depth)


def reciprocal_rank(hits: Hits, c: float = 60.0) -> FloatArray:
    """``1 / (c + rank)``, rank from 1.

    Cormack, Clarke & Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods"
    (SIGIR 2009).
    """
    ranks = np.arange(1, hits.positions.shape[1] + 1, dtype=np.float32)
    return np.where(hits.positions >= 0, 1 / (np.float32(c) + ranks), 0).astype(np.float32)


def score_over_mean(hits: Hits, depth: int = 20) -> FloatArray:
    """Scores over the mean of the best ``depth`` of their row, negative ones as 0: a list's head is worth 1 in any channel.

    Sum-to-mean normalisation as in Montague & Aslam, "Relevance Score Normalization for Metasearch" (CIKM 2001).
    """
    valid = hits.positions >= 0
    scores = np.where(valid, np.maximum(hits.scores, 0), 0).astype(np.float32)
    head = valid[:, :depth].sum(axis=1)
    mean = scores[:, :depth].sum(axis=1) / np.maximum(head, 1)
    return (scores / np.where(mean > 0, mean, 1)[:, None]).astype(np.float32, copy=False)


def text_led(hits: Hits, contributions: FloatArray, temperature: float) -> FloatArray:
    """Contributions of a channel that leads: the best of each row keeps its worth, others fall with their score."""
    spread = exponential(hits, temperature).scores
    return np.where(hits.positions >= 0, spread * contributions[:, :1], 0).astype(np.float32)


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


def fuse(hits: Sequence[Hits], contributions: Sequence[FloatArray], k: int) -> Fused:
    """Add up contributions by item and keep the k best of each row; items whose sum is 0 are left out.

    Args:
        hits: one per channel, all over the same q queries; their k may differ.
        contributions: one per channel, already weighted, in the shape of its hits, >= 0.
    """
    num_queries = len(hits[0].positions)
    key, inverse, where = merge_keys(hits)
    sums = np.zeros(len(key), np.float64)
    parts = np.zeros((len(hits), len(key)), np.float32)
    raw = np.full((len(hits), len(key)), np.nan, np.float32)
    for channel, (hit, part) in enumerate(zip(hits, contributions, strict=True)):
        mine = inverse[where[channel] : where[channel + 1]]
        valid = hit.positions >= 0
        parts[channel, mine] = part[valid]
        raw[channel, mine] = hit.scores[valid]
        sums[mine] += part[valid]
    row, position = key >> 32, (key & 0xFFFFFFFF).astype(np.int32)
    scores = sums.astype(np.float32)
    order = np.lexsort((position, -scores, row))
    order = order[scores[order] > 0]
    counts = np.bincount(row[order], minlength=num_queries)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    order, rank = order[rank < k], rank[rank < k]
    fused = Fused(
        np.full((num_queries, k), -1, np.int32),
        np.full((num_queries, k), -np.inf, np.float32),
        np.full((len(hits), num_queries, k), np.nan, np.float32),
        np.zeros((len(hits), num_queries, k), np.float32),
    )
    at = row[order], rank
    fused.positions[at], fused.scores[at] = position[order], scores[order]
    fused.channel_scores[:, *at], fused.parts[:, *at] = raw[:, order], parts[:, order]
    return fused


def merge_keys(hits: Sequence[Hits]) -> tuple[IntArray, NDArray[np.intp], list[int]]:
    """The distinct (row << 32 | position) keys of all hits, the key of each hit, and where each channel's hits begin."""
    keys, where = [], [0]
    for hit in hits:
        row, column = np.nonzero(hit.positions >= 0)
        keys.append(row << 32 | hit.positions[row, column])
        where.append(where[-1] + len(row))
    key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return key, inverse, where


def rrf(hits: Sequence[Hits], k: int, *, weights: Sequence[float] | None = None, c: float = 60.0) -> Fused:
    """Weighted reciprocal rank fusion: ``score(i) = sum_channels weight / (c + rank of i)``."""
    weights = [1.0] * len(hits) if weights is None else weights
    return fuse(hits, [reciprocal_rank(h, c) * np.float32(w) for h, w in zip(hits, weights, strict=True)], k)
