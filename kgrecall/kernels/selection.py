"""The k best of one row, compiled: keys fall into buckets, the best buckets are sorted, the rest is never looked at again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.jit import inner
from kgrecall.kernels.machine import at_least_64, lowest_bit
from kgrecall.types import PosArray

Bits = NDArray[np.int32]
Keys = NDArray[np.uint64]
"""``order_of(bits of a score) << 32 | position``: ascending keys are descending scores, ties by position."""
MAX_BUCKETS = 1 << 14
_SHORT = 24
_SHARE = 1.75
"""So many times k of a row shall reach a first threshold: enough that it seldom is too high."""
_RANK = 20
"""Place of the threshold in a sample: the share that reaches it then is off by a quarter."""


@inner
def order_of(bits: np.uint32) -> np.uint64:
    """The bits of a float32 as a number that falls while the float rises."""
    if bits & np.uint32(0x80000000):
        return np.uint64(bits)
    return np.uint64(bits ^ np.uint32(0x7FFFFFFF))


@inner
def key_of(bits: np.uint32, position: np.int32) -> np.uint64:
    """The key of a score and its position."""
    return (order_of(bits) << np.uint64(32)) | np.uint64(position)


@inner
def falling(value: np.int32) -> np.uint64:
    """An int32, or the bits of a float32 >= 0, as a number that falls while it rises."""
    return np.uint64(np.int64(0x7FFFFFFF) - np.int64(value))


@inner
def at_least(row: Bits, n: int, threshold: np.int32, chosen: PosArray) -> int:
    """Write where ``row[:n]`` holds ``threshold`` or more, ascending; returns how many. Shapes: chosen int32 (>= n,)."""
    m, whole = 0, n // 64 * 64
    for start in range(0, whole, 64):
        bits = at_least_64(row, start, threshold)
        while bits:  # mostly none
            chosen[m] = start + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            m += 1
    for j in range(whole, n):
        if row[j] >= threshold:
            chosen[m] = j
            m += 1
    return m


@inner
def best_positive(row: Bits, n: int, k: int, counts: NDArray[np.int32], chosen: PosArray) -> int:
    """Write where the k best positive scores of a row stand, all that tie with the last, and some more, ascending.

    Shapes: row int32, the bits of float32 scores; chosen int32 (>= n,); returns how many were written.
    """
    threshold = _reached(row, n, k, counts)
    m = at_least(row, n, threshold, chosen)
    return m if m >= k or threshold == 1 else at_least(row, n, np.int32(1), chosen)


@inner
def _reached(row: Bits, n: int, k: int, counts: NDArray[np.int32]) -> np.int32:
    """The bits that about ``_SHARE * k`` scores reach, by a sample of them; 1, the least positive number, for all."""
    step = int(_SHARE * k) // _RANK
    if n <= 2 * _SHARE * k or step < 2:
        return np.int32(1)
    keys, m = np.empty(n // step + 1, np.uint64), 0
    for j in range(0, n, step):
        keys[m] = (falling(row[j]) << np.uint64(32)) | np.uint64(j)
        m += row[j] > 0
    if m <= _RANK:
        return np.int32(1)
    best = np.empty(m, np.uint64)
    best_keys(keys, m, _RANK, counts, best)
    return np.int32(row[np.int64(best[_RANK - 1] & np.uint64(0xFFFFFFFF))])


@inner
def best_keys(keys: Keys, n: int, k: int, counts: NDArray[np.int32], best: Keys) -> int:
    """Write the min(n, k) smallest of ``keys[:n]``, which is overwritten, to ``best``, ascending; returns how many.

    Bucket selection: only the bucket that holds the last place is divided further.

    Shapes: keys uint64 (>= n,) distinct, best uint64 (>= n,), counts int32 (MAX_BUCKETS,), zero before and after.
    """
    placed, wanted = 0, min(n, k)
    while n > _SHORT:
        below, n = _divide(keys, n, wanted - placed, counts, best[placed:])
        placed += below
    best[placed : placed + n] = keys[:n]
    _insert(best, placed, placed + n)
    return wanted


@inner
def _divide(keys: Keys, n: int, wanted: int, counts: NDArray[np.int32], best: Keys) -> tuple[int, int]:
    """Sort the buckets that lie wholly among the ``wanted`` smallest to ``best``, and move the next one to the front of
    ``keys``; returns how many keys each took."""
    lowest, shift, num_buckets = _count(keys, n, counts)
    below, last = 0, 0
    while below + counts[last] < wanted:  # a count becomes the place where its bucket starts
        below, counts[last] = below + int(counts[last]), below
        last += 1
    left = 0
    for i in range(n):
        key = keys[i]
        bucket = np.int64((key - lowest) >> shift)
        if bucket < last:
            best[counts[bucket]] = key
            counts[bucket] += 1
        elif bucket == last:
            keys[left] = key
            left += 1
    for b in range(last):
        start, stop = int(counts[b - 1]) if b else 0, int(counts[b])
        if stop - start > _SHORT:
            _shell(best, start, stop)
    _insert(best, 0, below)
    counts[:num_buckets] = 0
    return below, left


@inner
def nth_key(keys: Keys, n: int, nth: int, counts: NDArray[np.int32]) -> np.uint64:
    """The ``nth`` smallest, from 1, of ``keys[:n]``, which stay as they are. Arguments else as :func:`best_keys`."""
    lowest, shift, num_buckets = _count(keys, n, counts)
    below, last = 0, 0
    while below + counts[last] < nth:
        below += int(counts[last])
        last += 1
    counts[:num_buckets] = 0
    bucket, m = np.empty(n + 1, np.uint64), 0
    for i in range(n):
        bucket[m] = keys[i]
        m += np.int64((keys[i] - lowest) >> shift) == last
    best = np.empty(m, np.uint64)
    best_keys(bucket, m, nth - below, counts, best)
    return np.uint64(best[nth - below - 1])


@inner
def _count(keys: Keys, n: int, counts: NDArray[np.int32]) -> tuple[np.uint64, np.uint64, int]:
    """Count keys by bucket ``(key - lowest) >> shift``; returns lowest, shift and the number of buckets."""
    lowest, highest = keys[0], keys[0]
    for i in range(n):
        lowest, highest = min(lowest, keys[i]), max(highest, keys[i])
    digits = min(_bit_length(np.uint64(n)) + 1, 14)
    shift = np.uint64(max(_bit_length(highest - lowest) - digits, 0))
    for i in range(n):
        counts[np.int64((keys[i] - lowest) >> shift)] += 1
    return np.uint64(lowest), shift, int((highest - lowest) >> shift) + 1


@inner
def _bit_length(number: np.uint64) -> int:
    length = 0
    while length < 64 and number >> np.uint64(length):
        length += 1
    return length


@inner
def _insert(keys: Keys, start: int, stop: int) -> None:
    """Sort ``keys[start:stop]``, which is nearly sorted."""
    for i in range(start + 1, stop):
        key, j = keys[i], i
        while j > start and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@inner
def _shell(keys: Keys, start: int, stop: int) -> None:
    """Bring ``keys[start:stop]`` near their order; the gaps are a third of each other."""
    gap = (stop - start) // 3
    while gap > 1:
        for i in range(start + gap, stop):
            key, j = keys[i], i
            while j - gap >= start and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                j -= gap
            keys[j] = key
        gap //= 3
