"""The k best of one row, compiled: keys fall into buckets, the best buckets are sorted, the rest is never looked at again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrecall.kernels.jit import inner

Keys = NDArray[np.uint64]
"""``order_of(bits of a score) << 32 | position``: ascending keys are descending scores, ties by position."""
MAX_BUCKETS = 1 << 14
_SHORT = 24


@inner
def order_of(bits: np.uint32) -> np.uint64:
    """The bits of a float32 as a number that falls while the float rises."""
    if bits & np.uint32(0x80000000):
        return np.uint64(bits)
    return np.uint64(bits ^ np.uint32(0x7FFFFFFF))


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
    lowest, highest = keys[0], keys[0]
    for i in range(n):
        lowest, highest = min(lowest, keys[i]), max(highest, keys[i])
    digits = min(_bit_length(np.uint64(n)) + 1, 14)
    shift = np.uint64(max(_bit_length(highest - lowest) - digits, 0))
    for i in range(n):
        counts[np.int64((keys[i] - lowest) >> shift)] += 1
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
    counts[: np.int64((highest - lowest) >> shift) + 1] = 0
    return below, left


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
