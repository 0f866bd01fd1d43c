"""Weighted rows of a CSR matrix added up, compiled: half of :mod:`kgrecall.kernels.sums`.

Sums run in float64 in the order of the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.jit import inner
from kgrecall.kernels.machine import SIDE_BY_SIDE, copy_side_by_side, fetch, fill_side_by_side
from kgrecall.types import FloatArray, IntArray, PosArray

Sums = NDArray[np.float64]
_LONG, _MANY = 64, 24
_LINE = 16
"""Numbers of 4 bytes that arrive together."""
_SPREAD = 4096
"""Entries of short rows that are laid out before they are added."""


@inner
def add_rows(indptr: IntArray, indices: PosArray, values: FloatArray, rows: PosArray, weights: FloatArray, sums: Sums) -> None:
    """``sums += sum_r weights[r] * matrix[rows[r]]``; ``values`` of length 0 stand for ones."""
    ones, ahead = len(values) == 0, _rows_ahead(count_entries(indptr, rows), len(rows))
    if ones and ahead > 1:
        _add_short_rows(indptr, indices, rows, weights, sums)
        return
    columns = indices.view(np.uint32)  # numbers that cannot be negative save a third of the time
    for r in range(len(rows)):
        _fetch(indptr, indices, values, rows, r, ahead)
        weight = weights[r]
        first, last = np.uint64(indptr[rows[r]]), np.uint64(indptr[rows[r] + 1])
        if ones:
            for place in range(first, last):
                sums[columns[place]] += weight
        else:
            for place in range(first, last):
                sums[columns[place]] += weight * values[place]


@inner
def _add_short_rows(indptr: IntArray, indices: PosArray, rows: PosArray, weights: FloatArray, sums: Sums) -> None:
    """:func:`add_rows` for ones. Rows are laid out one after the other first: a loop over each would end where the processor
    does not foresee it, which takes longer than the row."""
    columns, spread = np.empty(_SPREAD + SIDE_BY_SIDE, np.int32), np.empty(_SPREAD + SIDE_BY_SIDE, np.float32)
    n, whole = 0, len(indices) - SIDE_BY_SIDE
    for r in range(len(rows)):
        if r + 2 * _MANY < len(rows):  # as _fetch, which would count references to each array
            fetch(indptr, np.int64(rows[r + 2 * _MANY]))
        if r + _MANY < len(rows):
            soon = indptr[rows[r + _MANY]]
            fetch(indices, soon)
            fetch(indices, soon + _LINE)
        place, last = indptr[rows[r]], indptr[rows[r] + 1]
        while place < last:  # mostly once
            m = min(last - place, SIDE_BY_SIDE)
            if place <= whole:
                copy_side_by_side(indices, place, columns, n)
            else:
                for j in range(m):
                    columns[n + j] = indices[place + j]
            fill_side_by_side(spread, n, weights[r])
            n, place = n + m, place + m
            if n >= _SPREAD:
                _add_each(columns, spread, n, sums)
                n = 0
    _add_each(columns, spread, n, sums)


@inner
def _add_each(columns: PosArray, weights: FloatArray, n: int, sums: Sums) -> None:
    named = columns.view(np.uint32)
    for i in range(n):
        sums[named[i]] += weights[i]


@inner
def add_rows_noting(
    indptr: IntArray,
    indices: PosArray,
    values: FloatArray,
    rows: PosArray,
    weights: FloatArray,
    sums: Sums,
    touched: PosArray,
) -> int:
    """As :func:`add_rows`; every column whose sum left 0 is written to ``touched``.

    Returns how many were written; one stands twice when its sum was 0 in between.
    """
    ones, ahead = len(values) == 0, _rows_ahead(count_entries(indptr, rows), len(rows))
    columns, n = indices.view(np.uint32), np.uint64(0)
    for r in range(len(rows)):
        _fetch(indptr, indices, values, rows, r, ahead)
        weight = weights[r]
        for place in range(np.uint64(indptr[rows[r]]), np.uint64(indptr[rows[r] + 1])):
            column = columns[place]
            before = sums[column]
            touched[n] = column  # without a branch, which the processor could not predict
            n += np.uint64(before == 0)
            sums[column] = before + (weight if ones else weight * values[place])
    return int(n)


@inner
def _rows_ahead(entries: int, num_rows: int) -> int:
    """For how many rows memory is asked before they are read: some hundred entries."""
    return 1 if entries >= _LONG * num_rows else _MANY


@inner
def _fetch(indptr: IntArray, indices: PosArray, values: FloatArray, rows: PosArray, r: int, ahead: int) -> None:
    """Ask for the beginning of a row that comes soon: what rows keep apart in memory then arrives together."""
    if r + 2 * ahead < len(rows):
        fetch(indptr, np.int64(rows[r + 2 * ahead]))
    if r + ahead < len(rows):
        soon = indptr[rows[r + ahead]]
        fetch(indices, soon)
        fetch(indices, soon + _LINE)
        if len(values):
            fetch(values, soon)
            fetch(values, soon + _LINE)


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
