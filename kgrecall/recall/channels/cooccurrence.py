"""Degree-normalised co-occurrence: how strongly two rows of a sparse matrix share columns.

Under item-kNN the columns are users, under attribute similarity they are entities. Block by block, so that the memory stays
bounded however large the catalogue is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kgrecall.recall.base import top_k_of
from kgrecall.recall.channels.sparse_rows import Matrix, csr, power, row_and_column_sums, scaled, transposed
from kgrecall.threads import in_order
from kgrecall.types import FloatArray, IntArray, PosArray, Progress, no_progress

BLOCK_PRODUCTS = 1 << 23
"""Multiplications per block; a block's result has at most as many entries of 8 bytes, and each thread has a block."""


def cooccurrence(
    matrix: Matrix,
    *,
    column_norm: float,
    row_norm: float,
    target_norm: float,
    k: int,
    block_products: int = BLOCK_PRODUCTS,
    stage: str = "co-occurrence",
    progress: Progress = no_progress,
) -> Matrix:
    """``W = D_r^-row_norm (M D_c^-column_norm M^T) D_r^-target_norm``, zero diagonal, the k largest of each row.

    ``D_r`` and ``D_c`` hold the row and column sums of M. With ``row_norm = target_norm = .5`` and ``column_norm = 0`` on a
    binary M this is the cosine; a smaller ``target_norm`` lets popular targets score higher.

    Shapes: matrix (n, m), non-negative -> float32 (n, n) with at most k entries a row, columns ascending, ties by position.
    """
    row_sums, column_sums = row_and_column_sums(matrix)
    left = scaled(matrix, power(row_sums, -row_norm), power(column_sums, -column_norm))
    right = transposed(scaled(matrix, power(row_sums, -target_norm)))
    products = _products(matrix, np.diff(right.indptr))

    def best(block: tuple[int, int]) -> list[tuple[PosArray, FloatArray]]:
        start, stop = block
        return _best_of_rows(left[start:stop] @ right, start, k)

    rows: list[tuple[PosArray, FloatArray]] = []
    for found in in_order(best, _blocks(products, block_products)):
        rows += found
        progress(stage, len(rows), matrix.shape[0])
    return stack_rows(rows, matrix.shape[0])


def stack_rows(rows: list[tuple[PosArray, FloatArray]], num_columns: int) -> Matrix:
    """A CSR matrix from (columns, values) of each row."""
    indptr = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows], dtype=np.int64)])
    indices = np.concatenate([columns for columns, _ in rows]) if rows else np.zeros(0, np.int32)
    values = np.concatenate([values for _, values in rows]) if rows else np.zeros(0, np.float32)
    return csr(values, indices, indptr, num_columns)


def _products(matrix: Matrix, column_lengths: IntArray) -> IntArray:
    """Multiplications that each row of ``M M^T`` takes, int64 (n,)."""
    total = np.concatenate([[0], np.cumsum(column_lengths[matrix.indices], dtype=np.int64)])
    return np.diff(total[matrix.indptr])


def _blocks(products: IntArray, limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose products stay below the limit (a single row may exceed it)."""
    total = np.concatenate([[0], np.cumsum(products)])
    start = 0
    while start < len(products):
        stop = int(np.searchsorted(total, total[start] + limit, side="right")) - 1
        stop = min(max(stop, start + 1), len(products))
        yield start, stop
        start = stop


def _best_of_rows(block: Matrix, start: int, k: int) -> list[tuple[PosArray, FloatArray]]:
    """The k largest positive entries of each row of a block whose first row is row ``start`` of the whole; no diagonal."""
    best = []
    for i in range(block.shape[0]):
        part = slice(block.indptr[i], block.indptr[i + 1])
        columns, values = block.indices[part], block.data[part]
        keep = (columns != start + i) & (values > 0)
        columns, values = top_k_of(columns[keep], values[keep], k)
        order = np.argsort(columns)
        best.append((columns[order], values[order]))
    return best
