"""The best of lists by several weighted sums at once, compiled; the twin of :mod:`kgrecall.recall.fusion.weighted_sums`.

Scores are read once for all sums, and no sum is written down. Sums run in float64 and are rounded to float32 once, so that the
order of their terms does not show.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import any_order, entry, given, inner, written
from kgrecall.types import FloatArray, PosArray

Sums = NDArray[np.float64]


@any_order
def _add(scores: FloatArray, weights: Sums, sums: Sums) -> None:
    for t in range(len(sums)):
        sums[t] = 0.0
    for c in range(len(scores)):
        score = np.float64(scores[c])
        for t in range(len(sums)):
            sums[t] += score * weights[c, t]


@inner
def _insert(total: np.float32, place: int, count: int, best: FloatArray, places: PosArray) -> int:
    """Into a list of the best so far, behind its equals; how many it then holds."""
    at = min(count, len(best) - 1)
    while at > 0 and best[at - 1] < total:
        best[at], places[at] = best[at - 1], places[at - 1]
        at -= 1
    best[at], places[at] = total, place
    return min(count + 1, len(best))


@entry(given(types.float32, 3), given(types.int32, 2), given(types.float64, 2), types.float32, written(types.int32, 3))
def best_sums(scores: FloatArray, positions: PosArray, weights: Sums, above: float, places: PosArray) -> None:
    """Shapes: scores float32 (q, u, channels), positions int32 (q, u), -1 on padding; weights float64 (channels, t); places
    int32 (t, q, k), filled with -1: the best of each query by each sum that is more than ``above``."""
    trials, _, k = places.shape
    best, sums, counts = np.empty((trials, k), np.float32), np.empty(trials, np.float64), np.empty(trials, np.int64)
    for i in range(len(positions)):
        counts[:] = 0
        for j in range(positions.shape[1]):
            if positions[i, j] < 0:
                continue
            _add(scores[i, j], weights, sums)
            for t in range(trials):
                total = np.float32(sums[t])
                if total > above and (counts[t] < k or total > best[t, k - 1]):
                    counts[t] = _insert(total, j, counts[t], best[t], places[t, i])
