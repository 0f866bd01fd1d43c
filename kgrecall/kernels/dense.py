"""The best of dense rows of scores, compiled: a sample tells which score the best reach, and only what reaches it is sorted."""

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


@entry(
    given(types.float32, 2),
    given(types.int32),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_dense(
    block: FloatArray, names: PosArray, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """The best of each row of finite scores, best first, ties by name.

    Shapes: block float32 (q, m), names int32 (m,): the position of each column, ascending; positions, scores (q, k), k <= m.
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
        write_best(kept, names_kept, n, counts, positions[i], scores[i])
