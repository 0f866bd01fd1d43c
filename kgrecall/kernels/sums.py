"""Weighted sums of sparse rows and their best columns, compiled; the twin of :mod:`kgrecall.recall.channels.sparse_rows`.

Sums run in float64 in the order of the rows and are rounded to float32, exactly as there.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.rows import Sums, add_rows, add_rows_noting, check, count_entries
from kgrecall.kernels.selection import best_keys, best_positive, key_of, order_of
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

_WHOLE = 5
"""All columns are looked at, not the ones reached, while there are at most so many times the entries."""


@inner
def best_sums(
    indptr: IntArray,
    indices: PosArray,
    values: FloatArray,
    rows: PosArray,
    weights: FloatArray,
    sums: Sums,
    drop: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """Write the best positive columns of ``factor * sum_r weights[r] * matrix[rows[r]]`` that are neither dropped nor masked,
    best first, ties by column.

    Args:
        values, factor, mask: of length 0 for ones, for none and for all.
        sums: float64 (num_columns,), zero before and after.
        positions, scores: int32 (k,) and float32 (k,), filled with -1 and -inf beforehand.
    """
    entries = count_entries(indptr, rows)
    if len(sums) <= _WHOLE * entries:
        add_rows(indptr, indices, values, rows, weights, sums)
        sums[drop] = 0
        _take_best(sums, factor, mask, counts, positions, scores)
    else:
        touched = np.empty(entries, np.int32)
        n = add_rows_noting(indptr, indices, values, rows, weights, sums, touched)
        sums[drop] = 0
        _take_best_touched(sums, touched, n, factor, mask, counts, positions, scores)


@inner
def _take_best(
    sums: Sums, factor: FloatArray, mask: BoolArray, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """Write the best of all columns and clear the sums."""
    row = np.empty(len(sums), np.float32)
    if len(factor):
        for j in range(len(sums)):
            row[j] = np.float32(sums[j]) * factor[j]
            sums[j] = 0
    else:
        for j in range(len(sums)):
            row[j] = np.float32(sums[j])
            sums[j] = 0
    if len(mask):
        for j in range(len(row)):
            row[j] = row[j] if mask[j] else np.float32(0)
    chosen = np.empty(len(row), np.int32)
    n = best_positive(row.view(np.int32), len(row), len(positions), counts, chosen)
    for c in range(n):
        row[c] = row[chosen[c]]  # ascending: nothing is overwritten before it is read
    write_best(row, chosen, n, counts, positions, scores)


@inner
def _take_best_touched(
    sums: Sums,
    touched: PosArray,
    n: int,
    factor: FloatArray,
    mask: BoolArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """Write the best of the columns that were reached and clear the sums."""
    row, columns, m = np.empty(n, np.float32), np.empty(n, np.int32), 0
    for i in range(n):
        column = np.uint32(touched[i])
        score = np.float32(sums[column])
        sums[column] = 0
        if len(factor):
            score *= factor[column]
        if len(mask) and not mask[column]:
            score = np.float32(0)
        row[m], columns[m] = score, column  # without a branch
        m += int(score > 0)
    write_best_positive(row, columns, m, counts, positions, scores)


@inner
def write_best_positive(
    found: FloatArray, kept: PosArray, n: int, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """As :func:`write_best`, of the scores above 0 alone; overwrites what was found."""
    chosen = np.empty(n, np.int32)
    m = best_positive(found.view(np.int32), n, len(positions), counts, chosen)
    for c in range(m):
        found[c], kept[c] = found[chosen[c]], kept[chosen[c]]  # ascending: nothing is overwritten before it is read
    write_best(found, kept, m, counts, positions, scores)


@inner
def write_best(
    found: FloatArray, kept: PosArray, m: int, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """Write the best of ``found[:m]`` at ``kept[:m]`` to positions and scores, best first, ties by position."""
    bits, keys, best = found.view(np.uint32), np.empty(m, np.uint64), np.empty(m, np.uint64)
    for i in range(m):
        keys[i] = key_of(bits[i], kept[i])
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
    """:func:`best_sums` for each query i over its rows.

    Shapes: row_indptr, drop_indptr int64 (q + 1,); sums float64 (num_columns,) and counts int32 (MAX_BUCKETS,), zero before
    and after; positions int32 (q, k) and scores float32 (q, k), filled with -1 and -inf beforehand.
    """
    check(rows, len(indptr) - 1)
    check(drop, len(sums))
    for i in range(len(positions)):
        part, dropped = slice(row_indptr[i], row_indptr[i + 1]), drop[drop_indptr[i] : drop_indptr[i + 1]]
        csr = indptr, indices, values, rows[part], weights[part]
        best_sums(*csr, sums, dropped, factor, mask, counts, positions[i], scores[i])
