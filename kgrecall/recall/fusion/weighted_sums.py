"""The best of merged lists by weighted sums of scores: what a search for weights asks again and again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.tier import compiled
from kgrecall.threads import in_order, ranges
from kgrecall.types import FloatArray, PosArray

_AT_ONCE = 256
"""Queries that a thread looks at."""
_NOTHING = np.uint64(2**64 - 1)


def best_places(scores: FloatArray, positions: PosArray, weights: FloatArray, k: int, *, above: float = -np.inf) -> PosArray:
    """Where the k best of each list stand, by each of several weighted sums; ties in the order of the lists.

    Args:
        scores: float32 (q, u, channels) >= 0.
        positions: int32 (q, u), -1 on padding.
        weights: float32 (t, channels) >= 0.
        above: only sums that are more than this.

    Returns:
        int32 (t, q, k), padded with -1.
    """
    loops, by_channel = compiled(), np.ascontiguousarray(weights.T, np.float64)

    def some(rows: slice) -> PosArray:
        if loops is not None:
            return loops.best_sums(scores[rows], positions[rows], by_channel, above, k)
        return _by_numpy(scores[rows], positions[rows], by_channel, above, k)

    parts = list(in_order(some, ranges(len(positions), _AT_ONCE)))
    return np.concatenate(parts, axis=1) if parts else np.empty((len(weights), 0, k), np.int32)


def _by_numpy(scores: FloatArray, positions: PosArray, weights: NDArray[np.float64], above: float, k: int) -> PosArray:
    """The twin of :func:`kgrecall.kernels.trials.best_sums`."""
    totals = (scores.astype(np.float64) @ weights).astype(np.float32)
    listed = (positions >= 0)[..., None] & (totals > np.float32(above))
    place = np.arange(positions.shape[1], dtype=np.uint64)[:, None]
    keys = (np.uint64(0xFFFFFFFF) - totals.view(np.uint32)) << np.uint64(32) | place  # what is not negative has ordered bits
    keys = np.where(listed, keys, _NOTHING)
    if keys.shape[1] > k:
        keys = np.partition(keys, k - 1, axis=1)[:, :k]
    keys.sort(axis=1)
    places = np.full((keys.shape[2], len(keys), k), -1, np.int32)
    found = np.moveaxis(keys, 2, 0)
    places[..., : found.shape[2]] = np.where(found == _NOTHING, -1, (found & np.uint64(0xFFFFFFFF)).astype(np.int64))
    return places
