"""The largest inner products with whole catalogues, compiled; the twin of :mod:`kgrecall.index.scan`.

All vectors are scored with 16-bit numbers. A sample tells which score the best reach; only what reaches it is scored again,
exactly. What rounding to 16 bits can change is known: whatever it may have hidden is looked for.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import any_order, entry, given, inner, written
from kgrecall.kernels.machine import TILE, fetch, inner_products
from kgrecall.kernels.selection import at_least, best_keys, falling, nth_key
from kgrecall.kernels.sums import write_best
from kgrecall.types import BoolArray, FloatArray, PosArray

Short = NDArray[np.int16]
Whole = NDArray[np.int32]
_LONGEST = 32766.0
"""Length of the longest vector, and of every query, in 16 bits: an inner product then fits 32."""
_WIDTH = 4
"""Queries that share what is read of a tile."""
_GROUP = 16
"""Queries that go through a chunk of tiles before the next is read."""
_CHUNK = 32
_SAMPLE = 32
"""Tiles in a sample."""
_SHARE, _SPARE = 1.5, 4
"""A sample is asked for the score that so many times k vectors reach, and the rank there is a little more."""
FEW = 16
"""Where at most one vector in so many is eligible, a scan does not pay: those are all scored exactly."""
_LEAST = np.int32(-0x80000000)
_SMALLEST = 2.0**-149
"""Of float32: what rounding a score changes at least."""

_four_queries, _four_tiles, _single = inner_products(_WIDTH, 1), inner_products(1, 4), inner_products(1, 1)


@any_order
def _exact(first: FloatArray, second: FloatArray) -> float:
    """Inner product, added up in float64: rounded to float32 it does not depend on the order of its terms."""
    total = 0.0
    for j in range(len(first)):
        total += np.float64(first[j]) * np.float64(second[j])
    return total


@inner
def _round(query: FloatArray, side: int, width: int, rounded: Short) -> tuple[float, float]:
    """Write a query in 16 bits as number ``side`` of ``width``; returns its scale and the length of what rounding changed."""
    length, lost = math.sqrt(_exact(query, query)), 0.0
    scale = _LONGEST / length if length > 0 else 0.0
    for j in range(len(query)):
        value = np.float64(query[j]) * scale
        nearest = np.rint(value)
        rounded[(j // 2 * width + side) * 2 + j % 2] = np.int16(nearest)
        lost += (value - nearest) * (value - nearest)
    return scale, math.sqrt(lost)


@inner
def _score(
    tiles: Short, first: int, step: int, n: int, pairs: int, queries: Short, width: int, scores: Whole, row: int
) -> None:
    """Write the scores of n tiles, ``step`` apart, for the queries of one width; those of query i from ``scores[i * row]``."""
    size, t = pairs * 2 * TILE, 0
    if width == 1:
        while t + 4 <= n:
            _four_tiles(tiles, (first + t * step) * size, step * size, queries, 0, pairs, scores, 0, t * TILE)
            t += 4
    while t < n:
        if width == 1:
            _single(tiles, (first + t * step) * size, size, queries, 0, pairs, scores, 0, t * TILE)
        else:
            _four_queries(tiles, (first + t * step) * size, size, queries, 0, pairs, scores, row, t * TILE)
        t += 1


@inner
def _start(
    tiles: Short,
    num_tiles: int,
    pairs: int,
    queries: Short,
    width: int,
    mask: BoolArray,
    share: float,
    counts: NDArray[np.int32],
    thresholds: Whole,
) -> None:
    """Write the scores that about a share of the eligible vectors reach, by a sample; the least number where that is all."""
    n = min(num_tiles, _SAMPLE)
    step, row = num_tiles // n, n * TILE
    scores, keys, best = np.empty(width * row, np.int32), np.empty(row, np.uint64), np.empty(row, np.uint64)
    _score(tiles, 0, step, n, pairs, queries, width, scores, row)
    for i in range(width):
        m = 0
        for j in range(row):
            keys[m] = (falling(scores[i * row + j]) << np.uint64(32)) | np.uint64(j)
            m += len(mask) == 0 or mask[min(j % TILE * num_tiles + j // TILE * step, len(mask) - 1)]
        rank = int(share * m) + _SPARE
        thresholds[i] = _LEAST
        if rank < m:
            best_keys(keys, m, rank, counts, best)
            thresholds[i] = scores[i * row + np.int64(best[rank - 1] & np.uint64(0xFFFFFFFF))]


@inner
def _collect(
    tiles: Short,
    num_vectors: int,
    pairs: int,
    queries: Short,
    width: int,
    mask: BoolArray,
    thresholds: Whole,
    kept: NDArray[np.uint64],
    lengths: NDArray[np.int64],
) -> None:
    """Write the keys of the eligible vectors that reach each query's threshold to its row of ``kept``, and how many they are.

    A key is the :func:`falling` score, then the position.
    """
    num_tiles, row, lengths[:] = (num_vectors + TILE - 1) // TILE, _CHUNK * TILE, 0
    scores, chosen, size = np.empty(width * row, np.int32), np.empty(row, np.int32), width * pairs * 2
    for first in range(0, num_tiles, _CHUNK):
        n = min(_CHUNK, num_tiles - first)
        for pack in range(len(thresholds) // width):
            _score(tiles, first, 1, n, pairs, queries[pack * size : (pack + 1) * size], width, scores, row)
            for i in range(width):
                q = pack * width + i
                m = lengths[q]
                for c in range(at_least(scores[i * row :], n * TILE, thresholds[q], chosen)):
                    place = np.uint64(chosen[c])
                    name = np.int64(place % TILE) * num_tiles + first + np.int64(place // TILE)
                    if name < num_vectors and (len(mask) == 0 or mask[name]):
                        kept[q, m] = (falling(scores[i * row + chosen[c]]) << np.uint64(32)) | np.uint64(name)
                        m += 1
                lengths[q] = m


@inner
def _rank(
    vectors: FloatArray, query: FloatArray, kept: PosArray, counts: NDArray[np.int32], positions: PosArray, scores: FloatArray
) -> None:
    """Write the best of some vectors by their exact scores."""
    exact = np.empty(len(kept), np.float32)
    for c in range(len(kept)):
        if c + 8 < len(kept):
            for j in range(0, len(query), 16):
                fetch(vectors, np.int64(kept[c + 8]) * len(query) + j)
        exact[c] = np.float32(_exact(vectors[kept[c]], query)) + np.float32(0)  # -0 becomes 0
    write_best(exact, kept, len(kept), counts, positions, scores)


@inner
def _sure_above(
    vectors: FloatArray,
    query: FloatArray,
    units: NDArray[np.float64],
    kept: NDArray[np.uint64],
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> np.int32:
    """Write the best of what was kept, and tell below which score in 16 bits nothing can be as good as the last of them.

    The least number where there are too few. Shapes: units (2,): what 1 is in 16 bits, and the largest error of a score there.
    """
    k, m = len(scores), 0
    if len(kept) < k:
        return _LEAST
    worst = nth_key(kept, len(kept), k, counts) >> np.uint64(32)
    allowed = np.float64(worst) + 2 * units[1]  # what comes after cannot be among the best
    names = np.empty(len(kept), np.int32)
    for c in range(len(kept)):
        names[m] = np.int32(kept[c] & np.uint64(0xFFFFFFFF))
        m += np.float64(kept[c] >> np.uint64(32)) <= allowed
    _rank(vectors, query, names[:m], counts, positions, scores)
    last = np.float64(scores[-1])
    return np.int32(max(math.floor((last - abs(last) * 2.0**-23 - _SMALLEST) * units[0] - units[1]), np.int64(_LEAST)))


@entry(
    given(types.int16),
    types.float64,
    types.float64,
    given(types.float32, 2),
    given(types.float32, 2),
    given(types.bool_),
    given(types.int32),
    types.int64,
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_dense(
    tiles: Short,
    scale: float,
    lost: float,
    vectors: FloatArray,
    queries: FloatArray,
    mask: BoolArray,
    few: PosArray,
    eligible: int,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """The k eligible vectors with the largest inner product with each query, ties by position.

    Shapes: tiles int16, the vectors in 16 bits, see :class:`kgrecall.index.rounded.Rounded`; vectors float32 (n, dim), queries
    float32 (q, dim); mask bool (n,), of length 0 for all; few int32: the eligible vectors where they are not worth a scan, else
    of length 0; positions and scores (q, k), k <= eligible.

    Args:
        scale, lost: a tile holds ``vector * scale``, but for a difference of at most that length.
        eligible: how many vectors are.
    """
    k, pairs = positions.shape[1], (queries.shape[1] + 1) // 2
    if len(few):
        for i in range(len(queries)):
            _rank(vectors, queries[i], few, counts, positions[i], scores[i])
        return
    num_tiles, most = (len(vectors) + TILE - 1) // TILE, min(_GROUP, len(queries))
    kept, lengths = np.empty((most, num_tiles * TILE), np.uint64), np.empty(most, np.int64)
    packed, thresholds, units = np.zeros(most * pairs * 2, np.int16), np.empty(most, np.int32), np.empty((most, 2))
    start = 0
    while start < len(queries):
        left = len(queries) - start
        width, n = (_WIDTH, min(left // _WIDTH * _WIDTH, _GROUP)) if left >= _WIDTH else (1, 1)
        size = width * pairs * 2
        for i in range(n):
            by, changed = _round(queries[start + i], i % width, width, packed[i // width * size :])
            units[i, 0] = by * scale
            units[i, 1] = _LONGEST * lost + changed * (_LONGEST + lost) + 1 if by > 0 else 0.0
        for pack in range(n // width):
            bars = thresholds[pack * width : (pack + 1) * width]
            _start(tiles, num_tiles, pairs, packed[pack * size :], width, mask, _SHARE * k / eligible, counts, bars)
        _collect(tiles, len(vectors), pairs, packed, width, mask, thresholds[:n], kept, lengths)
        for i in range(n):
            one, q = slice(i, i + 1), start + i
            below = _sure_above(vectors, queries[q], units[i], kept[i, : lengths[i]], counts, positions[q], scores[q])
            while below < thresholds[i]:
                _round(queries[q], 0, 1, packed)
                thresholds[i] = below
                _collect(tiles, len(vectors), pairs, packed, 1, mask, thresholds[one], kept[one], lengths[one])
                below = _sure_above(vectors, queries[q], units[i], kept[i, : lengths[i]], counts, positions[q], scores[q])
        start += n
