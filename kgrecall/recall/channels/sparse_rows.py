"""Weighted sums of sparse rows: the one primitive under every channel that walks from items to items."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Hits, QueryBatch, best_positive, collect, top_positive
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Matrix: TypeAlias = sp.csr_array[Any, tuple[int, int]]
"""A two-dimensional scipy CSR matrix."""

_LONG_ROW = 32
"""Mean row length from which copying row by row beats one gather of all entries."""
_DENSE_SHARE = 32
"""Sums are kept for every column while there are at most this many columns per gathered entry."""
_NOTHING = np.zeros(0, np.int32)


class SparseRows:
    """A CSR matrix prepared for sums of a few weighted rows. Immutable, safe for concurrent calls.

    Args:
        matrix: shape (num_rows, num_columns); values are kept as float32, duplicates must be summed already.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.num_rows, self.num_columns = matrix.shape
        # asarray turns memory-mapped subclasses into plain views, whose slices are ten times cheaper
        self._indptr: IntArray = np.asarray(matrix.indptr, np.int64)
        self._indices: PosArray = np.asarray(matrix.indices, np.int32)
        self._values: FloatArray = np.asarray(matrix.data, np.float32)
        self._only_ones = bool((self._values[:1] == 1).all() and (self._values == 1).all())

    @property
    def csr(self) -> tuple[IntArray, PosArray, FloatArray]:
        """``indptr`` int64, ``indices`` int32, ``values`` float32, of length 0 where all are 1: so much less is read."""
        return self._indptr, self._indices, self._values[:0] if self._only_ones else self._values

    @property
    def lengths(self) -> IntArray:
        """Stored entries of each row, int64 (num_rows,)."""
        return np.diff(self._indptr)

    def row(self, row: int) -> tuple[PosArray, FloatArray]:
        """Columns and values of one row, as views."""
        part = slice(self._indptr[row], self._indptr[row + 1])
        return self._indices[part], self._values[part]

    def weighted_sum(
        self, rows: NDArray[np.integer[Any]], weights: FloatArray, drop: NDArray[np.integer[Any]] = _NOTHING
    ) -> tuple[PosArray, FloatArray]:
        """The positive entries of ``sum_r weights[r] * matrix[rows[r]]``, without the columns in ``drop``, in the order in
        which the rows reach them.

        Sums run in float64 in the order of ``rows``, so that the same question has the same answer in every batch.

        Shapes: rows (m,), weights (m,) -> columns int32 (c,) distinct, values float32 (c,) > 0.
        """
        return _sum_few(*self._gather(rows, weights), drop, self.num_columns)

    def best_hits(self, queries: QueryBatch, weights: FloatArray, k: int, *, factor: FloatArray | None = None) -> Hits:
        """:meth:`best_columns` for every query of a batch: the rows are its history, what is excluded is dropped.

        Shapes: weights float32, one per item of ``queries.history_pos``.
        """
        if (loops := compiled()) is not None:
            rows, drop = (queries.history_indptr, queries.history_pos, weights), (queries.exclude_indptr, queries.exclude_pos)
            return Hits(*loops.best_of_rows(self.csr, self.num_columns, rows, drop, k, factor, queries.mask))

        def best(i: int) -> tuple[PosArray, FloatArray]:
            part = slice(queries.history_indptr[i], queries.history_indptr[i + 1])
            rows, drop = queries.history_pos[part], queries.excluded(i)
            return self.best_columns(rows, weights[part], k, drop=drop, factor=factor, mask=queries.mask)

        return collect(queries, k, best)

    def best_columns(
        self,
        rows: NDArray[np.integer[Any]],
        weights: FloatArray,
        k: int,
        *,
        drop: NDArray[np.integer[Any]] = _NOTHING,
        factor: FloatArray | None = None,
        mask: BoolArray | None = None,
    ) -> tuple[PosArray, FloatArray]:
        """The k largest positive entries of ``factor * weighted_sum(rows, weights, drop)``, best first, ties by column.

        Shapes: factor float32 (num_columns,) or None, mask bool (num_columns,) or None -> int32 (m,), float32 (m,), m <= k.
        """
        columns, values = self._gather(rows, weights)
        if not self._is_dense(columns):
            found, sums = _sum_few(columns, values, drop, self.num_columns)
            return best_positive(found, sums, k, factor=factor, mask=mask)
        scores = self._sum_all(columns, values, drop)
        if factor is not None:
            scores *= factor
        if mask is not None:
            scores *= mask
        return top_positive(scores, k)

    def _is_dense(self, columns: PosArray) -> bool:
        return self.num_columns <= _DENSE_SHARE * len(columns)

    def _sum_all(self, columns: PosArray, values: FloatArray, drop: NDArray[np.integer[Any]]) -> FloatArray:
        sums = np.bincount(columns, weights=values, minlength=self.num_columns).astype(np.float32)
        sums[drop] = 0
        return sums

    def values_at(self, rows: NDArray[np.integer[Any]], column: int) -> FloatArray:
        """The values of one column in these rows, 0 where nothing is stored: float32 (m,)."""
        found = np.zeros(len(rows), np.float32)
        for i, row in enumerate(rows):
            columns, values = self.row(int(row))
            found[i] = values[columns == column].sum()
        return found

    def _gather(self, rows: NDArray[np.integer[Any]], weights: FloatArray) -> tuple[PosArray, FloatArray]:
        """All entries of these rows, one row after the other, values multiplied by the row's weight."""
        if not len(rows):
            return _NOTHING, np.zeros(0, np.float32)
        starts = self._indptr[rows]
        lengths = self._indptr[np.add(rows, 1)] - starts
        ends = np.cumsum(lengths)
        spread = np.repeat(weights, lengths)
        if ends[-1] >= _LONG_ROW * len(rows):
            parts = [slice(a, a + n) for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)]
            columns = np.concatenate([self._indices[part] for part in parts])
            return columns, spread if self._only_ones else np.concatenate([self._values[part] for part in parts]) * spread
        flat = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        return self._indices[flat], spread if self._only_ones else self._values[flat] * spread


def is_in(values: NDArray[np.integer[Any]], ascending: NDArray[np.integer[Any]]) -> BoolArray:
    """Where a value is one of ``ascending`` (sorted); a tenth of the time of ``np.isin`` for the short lists of a request."""
    if not len(ascending):
        return np.zeros(values.shape, np.bool_)
    place = np.searchsorted(ascending, values)
    place[place == len(ascending)] = 0
    found: BoolArray = ascending[place] == values
    return found


def _sum_few(
    columns: PosArray, values: FloatArray, drop: NDArray[np.integer[Any]], num_columns: int
) -> tuple[PosArray, FloatArray]:
    """Sums by column in time that depends on the entries alone, not on the number of columns.

    ``slot`` is read only where it was written before, so it needs no clearing: the first entry of a column, written last,
    stands for it.
    """
    slot = np.empty(num_columns, np.int32)
    order = np.arange(len(columns), dtype=np.int32)
    slot[columns[::-1]] = order[::-1]
    distinct = columns[slot[columns] == order]
    slot[distinct] = order[: len(distinct)]
    sums = np.bincount(slot[columns], weights=values, minlength=len(distinct))
    kept = sums > 0
    if len(drop):
        kept &= ~is_in(distinct, np.sort(drop))
    return distinct[kept], sums[kept].astype(np.float32)


def csr(values: NDArray[Any], columns: NDArray[Any], indptr: NDArray[Any], num_columns: int) -> Matrix:
    """A float32 CSR matrix from its arrays."""
    return sp.csr_array((values.astype(np.float32, copy=False), columns, indptr), shape=(len(indptr) - 1, num_columns))


def power(sums: NDArray[np.floating[Any]], exponent: float) -> FloatArray:
    """``sums ** exponent`` in float32, 0 where the sum is 0."""
    result = np.zeros(len(sums), np.float32)
    used = sums > 0
    result[used] = sums[used] ** exponent
    return result


def scaled(matrix: Matrix, by_row: FloatArray | None = None, by_column: FloatArray | None = None) -> Matrix:
    """``diag(by_row) @ matrix @ diag(by_column)`` in float32."""
    values = matrix.data.astype(np.float32)
    if by_row is not None:
        values *= np.repeat(by_row, np.diff(matrix.indptr))
    if by_column is not None:
        values *= by_column[matrix.indices]
    return csr(values, matrix.indices, matrix.indptr, matrix.shape[1])


def transposed(matrix: Matrix) -> Matrix:
    return sp.csr_array(matrix.T)


def row_and_column_sums(matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums in float64 of each row and each column."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    row_sums = np.bincount(rows, matrix.data, matrix.shape[0]).astype(np.float64)
    column_sums = np.bincount(matrix.indices, matrix.data, matrix.shape[1]).astype(np.float64)
    return row_sums, column_sums
