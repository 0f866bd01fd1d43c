"""Exact search: every vector is scored, and the best of each row are kept."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kgrecall.kernels.tier import compiled
from kgrecall.types import BoolArray, FloatArray, PosArray

_BLOCK_SCORES = 1 << 21
"""Scores held at a time: 8 MB."""
_GATHER_SHARE = 4
"""Where fewer than one vector in so many is eligible, a batch scores a copy of those alone."""


def scan(
    vectors: FloatArray, queries: FloatArray, k: int, mask: BoolArray | None, length: float
) -> tuple[PosArray, FloatArray]:
    """The k best eligible vectors of each query, best first, ties by position, padded with position -1 and score -inf.

    What a matrix product finds best is scored again in float64 and rounded: an answer does not depend on the batch.

    Shapes: vectors float32 (n, dim), queries float32 (q, dim), mask bool (n,) or None: what is eligible -> positions int32
    (q, k), scores float32 (q, k).

    Args:
        length: the :func:`longest` of the vectors.
    """
    eligible = None if mask is None else np.flatnonzero(mask).astype(np.int32)
    names = _everything(len(vectors)) if eligible is None else eligible
    scored = vectors
    if eligible is not None and _GATHER_SHARE * len(eligible) < len(vectors) <= len(eligible) * len(queries):
        scored, eligible = vectors[eligible], None
    found = padded(len(queries), min(k, len(names)))
    # What rounding can put between two float32 sums: dim * 2^-24 of the lengths for each, at most
    margins = (vectors.shape[1] * length * 2.0**-23 * np.sqrt(np.einsum("ij,ij->i", queries, queries))).astype(np.float32)
    block = max(1, _BLOCK_SCORES // max(1, len(scored)))
    for start in range(0, len(queries) if len(names) else 0, block):
        rows = slice(start, start + block)
        scores = queries[rows] @ scored.T
        scores = scores if eligible is None else np.take(scores, eligible, axis=1)
        _keep_best(scores, names, vectors, (queries[rows], margins[rows]), (found[0][rows], found[1][rows]))
    return found if k <= len(names) else _widened(found, k)


def padded(num_queries: int, k: int) -> tuple[PosArray, FloatArray]:
    """An answer without any hit: positions -1 and scores -inf, both (num_queries, k)."""
    return np.full((num_queries, k), -1, np.int32), np.full((num_queries, k), -np.inf, np.float32)


def _widened(found: tuple[PosArray, FloatArray], k: int) -> tuple[PosArray, FloatArray]:
    wide = padded(len(found[0]), k)
    for narrow, whole in zip(found, wide, strict=True):
        whole[:, : narrow.shape[1]] = narrow
    return wide


@lru_cache(maxsize=8)
def _everything(num_vectors: int) -> PosArray:
    return np.arange(num_vectors, dtype=np.int32)


def _keep_best(
    block: FloatArray,
    names: PosArray,
    vectors: FloatArray,
    asked: tuple[FloatArray, FloatArray],
    found: tuple[PosArray, FloatArray],
) -> None:
    """``asked``: queries float32 (q, dim) and the margin of each, float32 (q,)."""
    queries, margins = asked
    if (loops := compiled()) is not None:
        loops.best_of_dense(block, names, vectors, queries, margins, found)
        return
    k = found[0].shape[1]
    for i, scores in enumerate(block):
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = names[scores >= np.float32(kth - margins[i])]
        exact = (vectors[near].astype(np.float64) @ queries[i].astype(np.float64)).astype(np.float32) + np.float32(0)
        best = np.lexsort((near, -exact))[:k]
        found[0][i], found[1][i] = near[best], exact[best]


def longest(vectors: FloatArray) -> float:
    """The largest length of a vector, 0 without any."""
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0)))
