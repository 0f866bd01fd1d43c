"""Exact search: every vector is scored, and the best of each row are kept."""

from __future__ import annotations

from threading import Lock

import numpy as np

from kgrecall.index.rounded import Rounded
from kgrecall.kernels.tier import compiled
from kgrecall.types import BoolArray, FloatArray, PosArray

_BLOCK_SCORES = 1 << 21
"""Scores held at a time: 8 MB."""
_GATHER_SHARE = 4
"""Where fewer than one vector in so many is eligible, a batch scores a copy of those alone."""


class Scan:
    """Scores all vectors, in the compiled loops first in 16 bits: they keep a copy of that kind, half as large as the vectors.

    Args:
        vectors: float32 (n, dim), C-contiguous and finite; not copied.
    """

    def __init__(self, vectors: FloatArray) -> None:
        self._vectors = np.asarray(vectors)
        self._longest = float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0)))
        self._rounded: Rounded | None = None
        self._rounding = Lock()

    def best(self, queries: FloatArray, k: int, mask: BoolArray | None) -> tuple[PosArray, FloatArray]:
        """The k best eligible vectors of each query, best first, ties by position, padded with position -1 and score -inf.

        Scores are sums in float64, rounded: an answer does not depend on the batch.

        Shapes: queries float32 (q, dim), mask bool (n,) or None: what is eligible -> positions int32 (q, k), scores float32
        (q, k).
        """
        if (loops := compiled()) is not None:
            rounded = self._in_16_bits()
            found = loops.best_of_dense((rounded.tiles, rounded.scale, rounded.lost), self._vectors, queries, k, mask)
        else:
            found = self._by_products(queries, k, mask)
        return found if found[0].shape[1] == k else _widened(found, k)

    def _in_16_bits(self) -> Rounded:
        with self._rounding:
            self._rounded = self._rounded or Rounded.of(self._vectors, self._longest)
        return self._rounded

    def _by_products(self, queries: FloatArray, k: int, mask: BoolArray | None) -> tuple[PosArray, FloatArray]:
        """What a matrix product finds best is scored again; lists are no longer than there are eligible vectors."""
        vectors = self._vectors
        eligible = None if mask is None else np.flatnonzero(mask).astype(np.int32)
        names = np.arange(len(vectors), dtype=np.int32) if eligible is None else eligible
        scored = vectors
        if eligible is not None and _GATHER_SHARE * len(eligible) < len(vectors) <= len(eligible) * len(queries):
            scored, eligible = vectors[eligible], None
        found = padded(len(queries), min(k, len(names)))
        # What rounding can put between two float32 sums: dim * 2^-24 of the lengths for each, at most
        lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries))
        margins = (vectors.shape[1] * self._longest * 2.0**-23 * lengths).astype(np.float32)
        block = max(1, _BLOCK_SCORES // max(1, len(scored)))
        for start in range(0, len(queries) if len(names) else 0, block):
            rows = range(start, min(start + block, len(queries)))
            with np.errstate(invalid="ignore"):  # all are finite; OpenBLAS raises the flag now and then, for what lies beside
                scores = queries[start : rows.stop] @ scored.T
            scores = scores if eligible is None else np.take(scores, eligible, axis=1)
            for i, row in zip(rows, scores, strict=True):
                self._keep_best(row, names, (queries[i], margins[i]), (found[0][i], found[1][i]))
        return found

    def _keep_best(
        self, scores: FloatArray, names: PosArray, asked: tuple[FloatArray, np.float32], found: tuple[PosArray, FloatArray]
    ) -> None:
        """``asked``: a query and its margin; ``found``: its answer."""
        query, margin = asked
        k = len(found[0])
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = names[scores >= np.float32(kth - margin)]
        exact = (self._vectors[near].astype(np.float64) @ query.astype(np.float64)).astype(np.float32) + np.float32(0)
        best = np.lexsort((near, -exact))[:k]
        found[0][:], found[1][:] = near[best], exact[best]


def padded(num_queries: int, k: int) -> tuple[PosArray, FloatArray]:
    """An answer without any hit: positions -1 and scores -inf, both (num_queries, k)."""
    return np.full((num_queries, k), -1, np.int32), np.full((num_queries, k), -np.inf, np.float32)


def _widened(found: tuple[PosArray, FloatArray], k: int) -> tuple[PosArray, FloatArray]:
    wide = padded(len(found[0]), k)
    for narrow, whole in zip(found, wide, strict=True):
        whole[:, : narrow.shape[1]] = narrow
    return wide
