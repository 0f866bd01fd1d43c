"""Weighted sums of sparse rows and their best columns, compiled; the twin of :mod:`kgrecall.recall.sparse_rows`.

Sums run in float64 in the order of the rows and are rounded to float32, exactly as there.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.selection import best_keys, order_of
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Sums = NDArray[np.float64]


@inner
def add_rows(
    indptr: IntArray,
    indices: PosArray,
    values: FloatArray,
    rows: PosArray,
    weights: FloatArray,
    sums: Sums,
    touched: PosArray,
) -> int:
    """``sums += sum_r weights[r] * matrix[rows[r]]``; every column whose sum left 0 is written to ``touched``.

    Returns how many were written; one stands twice when its sum was 0 in between. ``values`` of length 0 stand for ones.
    """
    n, ones = 0, len(values) == 0
    for r in range(len(rows)):
        weight = weights[r]
        for place in range(indptr[rows[r]], indptr[rows[r] + 1]):
            column = indices[place]
            before = sums[column]
            touched[n] = column  # without a branch, which the processor could not predict
            n += before == 0
            sums[column] = before + (weight if ones else weight * values[place])
    return n


@inner
def count_entries(indptr: IntArray, rows: PosArray) -> int:
    """Stored entries of these rows, each as often as it stands there."""
    n = 0
    for r in range(len(rows)):
        n += int(indptr[rows[r] + 1] - indptr[rows[r]])
    return n


@inner
def check(positions: PosArray, limit: int) -> None:
    """Raises IndexError unless all positions lie in 0 .. limit - 1: a loop must not read beside an array."""
    for i in range(len(positions)):
        if not 0 <= positions[i] < limit:
            raise IndexError("a position is out of range: use positions of the graph that the channel was built from")


@inner
def fetch_rows(indptr: IntArray, indices: PosArray, values: FloatArray, rows: PosArray, scratch: PosArray) -> None:
    """Look at both ends of every row: what many short rows keep apart in memory then arrives together.

    Shapes: scratch int32 (>= len(rows),), written to so that the compiler keeps the looks.
    """
    ones = len(values) == 0
    for r in range(len(rows)):
        first, last = indptr[rows[r]], max(indptr[rows[r] + 1] - 1, indptr[rows[r]])
        if first < len(indices):
            scratch[r] = indices[first] ^ indices[last]
            if not ones:
                scratch[r] ^= np.int32(values[first] + values[last])


@inner
def take_best(
    sums: Sums,
    touched: PosArray,
    n: int,
    drop: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """Write the best positive ``factor * sums`` that are neither dropped nor masked, ties by column, and clear the sums.

    Args:
        factor, mask: of length 0 for none.
        positions, scores: int32 (k,) and float32 (k,), filled with -1 and -inf beforehand.
    """
    for i in range(len(drop)):
        sums[drop[i]] = 0
    found, kept, m = np.empty(n, np.float32), np.empty(n, np.int32), 0
    for i in range(n):
        column = touched[i]
        total = sums[column]
        sums[column] = 0
        if total <= 0 or (len(mask) and not mask[column]):
            continue
        score = np.float32(total)
        if len(factor):
            score *= factor[column]
        if score > 0:
            found[m], kept[m] = score, column
            m += 1
    write_best(found, kept, m, counts, positions, scores)


@inner
def write_best(
    found: FloatArray, kept: PosArray, m: int, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """Write the best of ``found[:m]`` at ``kept[:m]`` to positions and scores, best first, ties by position."""
    bits, keys, best = found.view(np.uint32), np.empty(m, np.uint64), np.empty(m, np.uint64)
    for i in range(m):
        keys[i] = (order_of(bits[i]) << np.uint64(32)) | np.uint64(kept[i])
    wanted = best_keys(keys, m, len(positions), counts, best)
    ordered = scores.view(np.uint32)
    for i in range(wanted):
        positions[i] = np.int32(best[i] & np.uint64(0xFFFFFFFF))
        ordered[i] = np.uint32(order_of(np.uint32(best[i] >> np.uint64(32))))


@entry(
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.bool_),
    written(types.float64),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_rows(
    indptr: IntArray,
    indices: PosArray,
    values: FloatArray,
    row_indptr: IntArray,
    rows: PosArray,
    weights: FloatArray,
    drop_indptr: IntArray,
    drop: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    sums: Sums,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """For each query i, the best columns of ``factor * sum_r weights[r] matrix[rows[r]]`` over its rows.

    Shapes: row_indptr, drop_indptr int64 (q + 1,); sums float64 (num_columns,) and counts int32 (MAX_BUCKETS,), zero before
    and after; positions int32 (q, k) and scores float32 (q, k), filled with -1 and -inf beforehand.
    """
    check(rows, len(indptr) - 1)
    check(drop, len(sums))
    for i in range(len(positions)):
        part = slice(row_indptr[i], row_indptr[i + 1])
        touched = np.empty(count_entries(indptr, rows[part]), np.int32)
        n = add_rows(indptr, indices, values, rows[part], weights[part], sums, touched)
        dropped = drop[drop_indptr[i] : drop_indptr[i + 1]]
        take_best(sums, touched, n, dropped, factor, mask, counts, positions[i], scores[i])
