"""Exact search: every vector is scored, and the best of each row are kept."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.tier import compiled
from kgrecall.types import BoolArray, FloatArray, PosArray

_BLOCK_SCORES = 1 << 21
"""Scores held at a time: 8 MB."""
_GATHER_SHARE = 4
"""Where fewer than one vector in so many is eligible, a batch scores a copy of those alone."""


def scan(vectors: FloatArray, queries: FloatArray, k: int, mask: BoolArray | None) -> tuple[PosArray, FloatArray]:
    """The k best eligible vectors of each query, best first, ties by position, padded with position -1 and score -inf.

    Shapes: vectors float32 (n, dim), queries float32 (q, dim), mask bool (n,) or None: what is eligible -> positions int32
    (q, k), scores float32 (q, k).
    """
    eligible = None if mask is None else np.flatnonzero(mask).astype(np.int32)
    names = _everything(len(vectors)) if eligible is None else eligible
    if eligible is not None and _GATHER_SHARE * len(eligible) < len(vectors) <= len(eligible) * len(queries):
        vectors, eligible = vectors[eligible], None
    found = padded(len(queries), min(k, len(names)))
    block = max(1, _BLOCK_SCORES // max(1, len(vectors)))
    for start in range(0, len(queries) if len(names) else 0, block):
        rows = slice(start, start + block)
        scores = queries[rows] @ vectors.T
        _keep_best(scores if eligible is None else np.take(scores, eligible, axis=1), names, found[0][rows], found[1][rows])
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


def _keep_best(block: FloatArray, names: PosArray, positions: PosArray, scores: FloatArray) -> None:
    if (loops := compiled()) is not None:
        loops.best_of_dense(block, names, (positions, scores))
        return
    for row, row_scores in enumerate(block):
        best = _best(row_scores, positions.shape[1])
        positions[row], scores[row] = names[best], row_scores[best]


def _best(scores: FloatArray, k: int) -> NDArray[np.intp]:
    """Places of the k largest scores of one row (n,), k <= n, best first, ties by place."""
    if k < len(scores):
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        above, equal = np.flatnonzero(scores > kth), np.flatnonzero(scores == kth)
        chosen = np.concatenate([above, equal[: k - len(above)]])
    else:
        chosen = np.arange(len(scores))
    best: NDArray[np.intp] = chosen[np.lexsort((chosen, -scores[chosen]))]
    return best
