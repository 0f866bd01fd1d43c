"""Ranked lists merged and cut, compiled; the twins of loops in :mod:`kgrecall.recall.fusion.rank_fusion` and
``recall.channels.vector``."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.rows import check
from kgrecall.kernels.sums import write_best
from kgrecall.types import FloatArray, IntArray, PosArray


@inner
def _show(
    found: PosArray,
    contributions: FloatArray,
    raw: FloatArray,
    i: int,
    slot: PosArray,
    positions: PosArray,
    channel_scores: FloatArray,
    parts: FloatArray,
) -> None:
    """What each channel said of the kept positions of row i."""
    channels, _, width = found.shape
    for rank in range(positions.shape[1]):
        if positions[i, rank] >= 0:
            slot[positions[i, rank]] = rank + 1
    for c in range(channels):
        for j in range(width):
            if found[c, i, j] < 0:
                break
            rank = slot[found[c, i, j]] - 1
            if rank >= 0:
                channel_scores[c, i, rank], parts[c, i, rank] = raw[c, i, j], contributions[c, i, j]
    for rank in range(positions.shape[1]):
        if positions[i, rank] >= 0:
            slot[positions[i, rank]] = 0


@entry(
    given(types.int32, 3),
    given(types.float32, 3),
    given(types.float32, 3),
    written(types.int32),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
    written(types.float32, 3),
    written(types.float32, 3),
)
def merge(
    found: PosArray,
    contributions: FloatArray,
    raw: FloatArray,
    slot: PosArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
    channel_scores: FloatArray,
    parts: FloatArray,
) -> None:
    """Add up contributions by position and keep the best sums above 0 of each row.

    Shapes: found int32, contributions and raw float32 (channels, q, w): the lists of the channels, padded with -1; slot int32
    (largest position + 1,) and counts, zero before and after; positions int32 and scores float32 (q, k), filled with -1 and
    -inf, channel_scores (NaN) and parts (0) float32 (channels, q, k).
    """
    channels, num_queries, width = found.shape
    distinct, sums = np.empty(channels * width, np.int32), np.empty(channels * width, np.float64)
    summed = np.empty(channels * width, np.float32)
    for i in range(num_queries):
        n = 0
        for c in range(channels):
            for j in range(width):
                position = found[c, i, j]
                if position < 0:
                    break
                if slot[position] == 0:
                    distinct[n], sums[n] = position, 0
                    n += 1
                    slot[position] = n
                sums[slot[position] - 1] += contributions[c, i, j]
        m = 0
        for d in range(n):
            slot[distinct[d]] = 0
            if np.float32(sums[d]) > 0:
                summed[m], distinct[m] = np.float32(sums[d]), distinct[d]
                m += 1
        write_best(summed, distinct, m, counts, positions[i], scores[i])
        _show(found, contributions, raw, i, slot, positions, channel_scores, parts)


@entry(
    given(types.int32, 2),
    given(types.float32, 2),
    given(types.int64),
    given(types.int32),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def keep_eligible(
    found: PosArray,
    found_scores: FloatArray,
    drop_indptr: IntArray,
    drop: PosArray,
    slot: PosArray,
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """The first positions of each row of ``found`` (padded with -1) that are not dropped, in their order.

    Shapes: found, found_scores (q, w); slot int32 (num_items,), zero before and after; positions, scores (q, k), filled with -1
    and -inf.
    """
    check(drop, len(slot))
    for i in range(len(found)):
        dropped, n = drop[drop_indptr[i] : drop_indptr[i + 1]], 0
        slot[dropped] = 1
        for j in range(found.shape[1]):
            position = found[i, j]
            if position < 0 or n == positions.shape[1]:
                break
            if slot[position] == 0:
                positions[i, n], scores[i, n] = position, found_scores[i, j]
                n += 1
        slot[dropped] = 0
