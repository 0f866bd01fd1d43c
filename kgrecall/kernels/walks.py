"""Two steps through a bipartite graph, compiled; the twin of :mod:`kgrecall.recall.channels.neighbors` and
``recall.channels.user_knn``."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.rows import Sums, add_rows_noting, check, count_entries
from kgrecall.kernels.selection import key_of, nth_key
from kgrecall.kernels.sums import best_sums
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray


@inner
def take_nodes(
    sums: Sums,
    touched: PosArray,
    n: int,
    own: int,
    node_weight: FloatArray,
    beam: int,
    counts: NDArray[np.int32],
) -> tuple[PosArray, FloatArray]:
    """The nodes with a positive sum but the asker's own, times their weights, and clear the sums: all, or the ``beam`` best
    where there are more, in the order in which they were reached."""
    if own >= 0:
        sums[own] = 0
    nodes, scores, m = np.empty(n, np.int32), np.empty(n, np.float32), 0
    for i in range(n):
        node = np.uint32(touched[i])
        total = sums[node]
        sums[node] = 0
        nodes[m], scores[m] = node, np.float32(total) * node_weight[node]  # without a branch
        m += total > 0
    if m <= beam:
        return nodes[:m], scores[:m]
    bits, keys, kept = scores.view(np.uint32), np.empty(m, np.uint64), 0
    for i in range(m):
        keys[i] = key_of(bits[i], nodes[i])
    last = nth_key(keys, m, beam, counts)
    for i in range(m):
        nodes[kept], scores[kept] = nodes[i], scores[i]
        kept += keys[i] <= last
    return nodes[:beam], scores[:beam]


@inner
def _all_in(positions: PosArray, ascending: PosArray) -> bool:
    """Whether every position is one of ``ascending``."""
    for i in range(len(positions)):
        place = np.searchsorted(ascending, positions[i])
        if place == len(ascending) or ascending[place] != positions[i]:
            return False
    return True


@entry(
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.float32),
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.int32),
    types.int64,
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.bool_),
    written(types.float64),
    written(types.float64),
    written(types.int32),
    written(types.bool_),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_walks(
    out_indptr: IntArray,
    out_indices: PosArray,
    out_values: FloatArray,
    back_indptr: IntArray,
    back_indices: PosArray,
    back_values: FloatArray,
    node_weight: FloatArray,
    row_indptr: IntArray,
    rows: PosArray,
    weights: FloatArray,
    own: PosArray,
    beam: int,
    drop_indptr: IntArray,
    drop: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    node_sums: Sums,
    item_sums: Sums,
    counts: NDArray[np.int32],
    returned: BoolArray,
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """For each query the best items that walks over at most ``beam`` nodes reach from its rows. A query with a row that is not
    dropped is left out and marked in ``returned``.

    Shapes: out_* the CSR matrix items x nodes, back_* nodes x items; own int32 (q,): the node that is never walked through,
    -1 for none; node_sums float64 (num_nodes,), item_sums float64 (num_items,); the rest as in
    :func:`kgrecall.kernels.sums.best_of_rows`.
    """
    check(rows, len(out_indptr) - 1)
    check(drop, len(item_sums))
    for i in range(len(positions)):
        part = slice(row_indptr[i], row_indptr[i + 1])
        dropped = drop[drop_indptr[i] : drop_indptr[i + 1]]
        returned[i] = not _all_in(rows[part], dropped)
        if returned[i]:
            continue
        touched = np.empty(count_entries(out_indptr, rows[part]), np.int32)
        n = add_rows_noting(out_indptr, out_indices, out_values, rows[part], weights[part], node_sums, touched)
        nodes, node_scores = take_nodes(node_sums, touched, n, own[i], node_weight, beam, counts)
        walk = back_indptr, back_indices, back_values, nodes, node_scores
        best_sums(*walk, item_sums, dropped, factor, mask, counts, positions[i], scores[i])
