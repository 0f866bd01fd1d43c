"""The best of dense rows of scores, compiled: a sample tells which score the best reach, and only what reaches it is scored
again, exactly, and sorted. The twin of :mod:`kgrecall.index.scan`."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.selection import best_keys, order_of
from kgrecall.kernels.sums import write_best
from kgrecall.types import BoolArray, FloatArray, PosArray

_SAMPLE = 1024


@inner
def _at_least(
    row: FloatArray, threshold: np.float32, flags: BoolArray, names: PosArray, kept: FloatArray, names_kept: PosArray
) -> int:
    """Write the scores from ``threshold`` on and their names; returns how many. ``flags`` has room for 8 more."""
    for j in range(len(row)):
        flags[j] = row[j] >= threshold
    flags[len(row) : len(row) + 8] = False
    eights, n = flags.view(np.uint64), 0
    for e in range((len(row) + 7) // 8):  # most eights are empty
        if eights[e]:
            for j in range(8 * e, 8 * e + 8):
                if flags[j]:
                    kept[n], names_kept[n] = row[j] + np.float32(0), names[j]  # -0 becomes 0
                    n += 1
    return n


@inner
def _reached(row: FloatArray, wanted: float, counts: NDArray[np.int32]) -> float:
    """The score that about ``wanted`` of the row reach, by a sample; -inf when that is about all of them."""
    step = max(len(row) // _SAMPLE, 1)
    m = (len(row) + step - 1) // step
    rank = int(wanted / step) + 4
    if rank >= m:
        return -np.inf
    sample = np.empty(m, np.float32)
    for j in range(m):
        sample[j] = row[j * step]
    bits, keys, best = sample.view(np.uint32), np.empty(m, np.uint64), np.empty(m, np.uint64)
    for j in range(m):
        keys[j] = (order_of(bits[j]) << np.uint64(32)) | np.uint64(j)
    best_keys(keys, m, rank, counts, best)
    return float(sample[np.int64(best[rank - 1] & np.uint64(0xFFFFFFFF))])


@inner
def _exact(first: FloatArray, second: FloatArray) -> float:
    """Inner product, added up in float64: rounded to float32 it does not depend on the order of its terms."""
    total = 0.0
    for j in range(len(first)):
        total += np.float64(first[j]) * np.float64(second[j])
    return total


@inner
def _cut(kept: FloatArray, n: int, k: int, margin: np.float32, counts: NDArray[np.int32]) -> np.float32:
    """The k-th best of ``kept[:n]``, less the margin."""
    bits, keys, best = kept.view(np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint64)
    for j in range(n):
        keys[j] = (order_of(bits[j]) << np.uint64(32)) | np.uint64(j)
    best_keys(keys, n, k, counts, best)
    return np.float32(kept[np.int64(best[k - 1] & np.uint64(0xFFFFFFFF))] - margin)


@entry(
    given(types.float32, 2),
    given(types.int32),
    given(types.float32, 2),
    given(types.float32, 2),
    given(types.float32),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_dense(
    block: FloatArray,
    names: PosArray,
    vectors: FloatArray,
    queries: FloatArray,
    margins: FloatArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """The k vectors with the largest inner product with each query, ties by name.

    Shapes: block float32 (q, m): inner products, each off by at most half of its query's margin; names int32 (m,), ascending:
    the row of ``vectors`` float32 (n, dim) behind each column; queries float32 (q, dim), margins float32 (q,); positions and
    scores (q, k), k <= m.
    """
    num_columns, k = block.shape[1], positions.shape[1]
    kept, names_kept = np.empty(num_columns, np.float32), np.empty(num_columns, np.int32)
    flags = np.empty(num_columns // 8 * 8 + 16, np.bool_)
    for i in range(len(block)):
        row = block[i]
        share, n = 2.0, 0
        while n < k:
            threshold = np.float32(_reached(row, share * k, counts))
            n = _at_least(row, threshold, flags, names, kept, names_kept)
            share *= 8
        cut = _cut(kept, n, k, margins[i], counts)
        if cut < threshold:
            n = _at_least(row, cut, flags, names, kept, names_kept)
        m = 0
        for j in range(n):
            if kept[j] >= cut:
                kept[m] = np.float32(_exact(vectors[names_kept[j]], queries[i])) + np.float32(0)
                names_kept[m] = names_kept[j]
                m += 1
        write_best(kept, names_kept, m, counts, positions[i], scores[i])
