"""Small networks that judge the items of fused lists, compiled; the twin of :mod:`kgrecall.recall.fusion.combiner`.

Sums run in float64 and are rounded to float32 once, so that the order of their terms does not show.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import any_order, entry, given, inner, written
from kgrecall.kernels.numbers import FLAT, SLIGHT
from kgrecall.kernels.sums import write_best
from kgrecall.types import FloatArray, IntArray, PosArray

Sums = NDArray[np.float64]
_ASKED = (
    given(types.int32, 2),
    given(types.float32, 3),
    given(types.float32, 3),
    given(types.float32, 2),
    given(types.int64),
    given(types.float32),
    given(types.int64),
    given(types.float32, 2),
    given(types.float64, 3),
    given(types.float64, 2),
    given(types.float64, 2),
    given(types.float64, 2),
)
"""Lists, what is known around them, and the networks: see :func:`judge_lists`."""


@inner
def _read(
    said: FloatArray, parts: FloatArray, i: int, j: int, first: FloatArray, popularity: float, history: float, inputs: Sums
) -> None:
    """Write the inputs of a network for item j of list i: see :func:`kgrecall.recall.fusion.combiner.features`."""
    num, count, total = len(first), 0.0, 0.0
    for c in range(num):
        score = parts[c, i, j] / first[c]
        inputs[c] = score
        inputs[num + c] = np.float32(math.log1p(np.float64(score)))
        inputs[2 * num + c] = 0.0 if math.isnan(said[c, i, j]) else 1.0
        count += inputs[2 * num + c]
        total += np.float64(score) * np.float64(first[c])
    inputs[3 * num] = count
    inputs[3 * num + 1] = np.float32(math.log1p(np.float64(np.float32(total)) / SLIGHT))
    inputs[3 * num + 2] = 0.0 if math.isnan(popularity) else popularity
    inputs[3 * num + 3] = history


@any_order
def _activate(inputs: Sums, num: int, hidden: Sums, n: int, bias: Sums, units: Sums) -> None:
    """Write what each unit of network n sees of the first ``num`` inputs, on top of its bias."""
    for u in range(len(units)):
        total = 0.0
        for f in range(num):
            total += inputs[f] * hidden[n, u, f]
        units[u] = bias[u] + total


@entry(
    *_ASKED,
    written(types.float32, 2),
)
def judge_lists(
    positions: PosArray,
    said: FloatArray,
    parts: FloatArray,
    popularity: FloatArray,
    source: IntArray,
    history: FloatArray,
    usual: IntArray,
    first: FloatArray,
    hidden: Sums,
    bias: Sums,
    out: Sums,
    direct: Sums,
    odds: FloatArray,
) -> None:
    """The log odds of all items of some lists: by the second network of an item that nobody has chosen, else by ``usual``.

    Shapes: positions int32 (q, u), said and parts float32 (channels, q, u) as in
    :class:`kgrecall.recall.fusion.rank_fusion.Fused`;
    popularity, source and history as in :class:`kgrecall.recall.fusion.surroundings.Surroundings`; usual int64 (q,): number of
    a network; of all n networks: first float32 (n, channels), hidden float64 (n, units, features), bias and out (n, units),
    direct (n, features). odds float32 (q, u) is left as it is on padding.
    """
    inputs, units = np.empty(direct.shape[1], np.float64), np.empty(bias.shape[1], np.float64)
    for i in range(len(positions)):
        for j in range(positions.shape[1]):
            if positions[i, j] < 0:
                break
            chosen = popularity[source[i], positions[i, j]]
            n = 1 if math.isnan(chosen) else usual[i]
            _read(said, parts, i, j, first[n], chosen, history[i], inputs)
            _activate(inputs, len(inputs), hidden, n, bias[n], units)
            total = 0.0
            for u in range(len(units)):
                total += max(units[u], 0.0) * out[n, u]
            for f in range(len(inputs)):
                total += inputs[f] * direct[n, f]
            odds[i, j] = np.float32(total)


@inner
def _added(inputs: Sums, hidden: Sums, n: int, bias: Sums, out: Sums, direct: Sums, units: Sums, step: Sums, by: Sums) -> None:
    """Write what each input adds to the log odds that network n gives an item which nobody found to ``by``."""
    _activate(inputs, len(inputs), hidden, n, bias, units)
    step[:] = 0
    _activate(inputs, len(inputs) - 2, hidden, n, step, step)  # item and history are what they are, whoever finds the item
    for u in range(len(units)):
        if abs(step[u]) > FLAT:
            step[u] = (max(units[u], 0.0) - max(units[u] - step[u], 0.0)) / step[u] * out[u]
        else:
            step[u] = out[u] if units[u] > 0 else 0.0
    by[:] = direct
    for u in range(len(units)):
        for f in range(len(by)):
            by[f] += step[u] * hidden[n, u, f]
    for f in range(len(by)):
        by[f] *= inputs[f]


@inner
def _share(
    inputs: Sums, by: Sums, first: FloatArray, score: np.float32, rank: int, i: int, said: FloatArray, parts: FloatArray
) -> None:
    """Write what each channel adds to a score; what is missing is shared by the channels that found the item."""
    num, whole, listed = len(first), 0.0, np.float32(0)
    for c in range(num):
        whole += inputs[c] * first[c]
    for c in range(num):
        own = by[c] + by[num + c] + by[2 * num + c]
        own += by[3 * num] * inputs[2 * num + c] / max(inputs[3 * num], 1.0)
        own += by[3 * num + 1] * inputs[c] * first[c] / (whole if abs(whole) > FLAT else 1.0)
        parts[c, i, rank] = np.float32(own)
        listed += parts[c, i, rank]
    left = np.float64(score - listed) / max(inputs[3 * num], 1.0)
    for c in range(num):
        found = not math.isnan(said[c, i, rank])
        parts[c, i, rank] = np.float32(parts[c, i, rank] + left) if found else np.float32(0)


@entry(
    *_ASKED,
    given(types.float32, 2),
    written(types.int32),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
    written(types.float32, 3),
    written(types.float32, 3),
)
def keep_best(
    positions: PosArray,
    said: FloatArray,
    parts: FloatArray,
    popularity: FloatArray,
    source: IntArray,
    history: FloatArray,
    usual: IntArray,
    first: FloatArray,
    hidden: Sums,
    bias: Sums,
    out: Sums,
    direct: Sums,
    judged: FloatArray,
    slot: PosArray,
    counts: NDArray[np.int32],
    best: PosArray,
    scores: FloatArray,
    best_said: FloatArray,
    best_parts: FloatArray,
) -> None:
    """The best of each list by the scores ``judged`` float32 (q, u), > 0, and what each channel adds to them.

    Shapes: slot int32 (largest position + 1,); best int32 and scores float32 (q, k), filled with -1 and -inf, best_said (NaN)
    and best_parts (0) float32 (channels, q, k); the rest as in :func:`judge_lists`.
    """
    inputs, by = np.empty(direct.shape[1], np.float64), np.empty(direct.shape[1], np.float64)
    units, step = np.empty(bias.shape[1], np.float64), np.empty(bias.shape[1], np.float64)
    row, names = np.empty(positions.shape[1], np.float32), np.empty(positions.shape[1], np.int32)
    for i in range(len(positions)):
        n = 0
        while n < positions.shape[1] and positions[i, n] >= 0:
            row[n], names[n] = judged[i, n], positions[i, n]
            slot[positions[i, n]] = n
            n += 1
        write_best(row, names, n, counts, best[i], scores[i])
        for rank in range(min(n, best.shape[1])):
            j, chosen = slot[best[i, rank]], popularity[source[i], best[i, rank]]
            for c in range(first.shape[1]):
                best_said[c, i, rank] = said[c, i, j]
            net = 1 if math.isnan(chosen) else usual[i]
            _read(said, parts, i, j, first[net], chosen, history[i], inputs)
            _added(inputs, hidden, net, bias[net], out[net], direct[net], units, step, by)
            _share(inputs, by, first[net], scores[i, rank], rank, i, best_said, best_parts)
        for j in range(n):
            slot[names[j]] = 0
