"""A few rows and columns of a large sparse matrix as a dense one, compiled; the twin of
:mod:`kgrecall.recall.channels.slim`."""

from __future__ import annotations

from numba import types

from kgrecall.kernels.jit import entry, given, written
from kgrecall.kernels.rows import check
from kgrecall.types import FloatArray, IntArray, PosArray


@entry(
    given(types.int64),
    given(types.int32),
    given(types.float32),
    types.int64,
    given(types.int32),
    written(types.int32),
    written(types.float32, 2),
    written(types.float32),
)
def gather_gram(
    indptr: IntArray,
    indices: PosArray,
    values: FloatArray,
    item: int,
    neighbours: PosArray,
    place: PosArray,
    normal: FloatArray,
    met: FloatArray,
) -> None:
    """``normal[a, b]``: the larger of the entries (a, b) and (b, a) among the neighbours; ``met[a]``: the item's entry at a.

    Shapes: neighbours int32 (m,), distinct; place int32 (num_items,), zero before and after; normal float32 (m, m) and met
    float32 (m,), zero beforehand.
    """
    check(neighbours, len(place))
    for a in range(len(neighbours)):
        place[neighbours[a]] = a + 1
    for a in range(len(neighbours)):
        for e in range(indptr[neighbours[a]], indptr[neighbours[a] + 1]):
            b = place[indices[e]] - 1
            if b >= 0:
                larger = max(normal[b, a], values[e])
                normal[a, b] = larger
                normal[b, a] = larger
    for e in range(indptr[item], indptr[item + 1]):
        a = place[indices[e]] - 1
        if a >= 0:
            met[a] = values[e]
    for a in range(len(neighbours)):
        place[neighbours[a]] = 0
