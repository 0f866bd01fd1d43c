"""Which lists of an IVF index a filtered search goes through."""

from __future__ import annotations

import math
from collections import OrderedDict
from threading import Lock
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from kgrecall.types import BoolArray, FloatArray, PosArray

_REMEMBERED = 8
_VECTORS_PER_HIT = 32
"""A search for k goes through lists with at least so many times k eligible vectors."""


class EligibleLists:
    """How full of eligible vectors each list is; remembered for the masks asked for last. Safe to share between threads."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._list_of: PosArray | None = None
        self._known: OrderedDict[bytes, FloatArray] = OrderedDict()
        self._lock = Lock()

    def fullness(self, eligible: BoolArray, packed: NDArray[np.uint8]) -> FloatArray:
        """1 for a list that keeps at least the share of its vectors that all lists keep together, 0 for one that keeps none.

        Shapes: eligible bool (n,), ``packed`` its bits -> float32 (num_lists,).
        """
        key = packed.tobytes()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            if self._list_of is None:
                self._list_of = _lists(self._index)
        whole, kept = (np.bincount(of, minlength=self._index.nlist) for of in (self._list_of, self._list_of[eligible]))
        full: FloatArray = np.minimum(1, kept / np.maximum(whole * eligible.mean(), 1e-9)).astype(np.float32)
        with self._lock:
            self._known[key] = full
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return full


def lists_wanted(k: int, count: int, probes: int, num_lists: int) -> int:
    """How many lists a search for k of ``count`` eligible vectors goes through when all are equally full."""
    return max(probes, math.ceil(_VECTORS_PER_HIT * k * num_lists / max(count, 1)))


def nearest_lists(index: Any, queries: FloatArray, full: FloatArray, wanted: int) -> tuple[NDArray[np.int64], FloatArray]:
    """The lists nearest to each query, ``wanted`` of them or more.

    Where the nearest are empty, the mask (a genre, a language) keeps what lies far from the query. There the order of the
    lists says little, and as many times more are searched as there are lists for a full one; at most all.

    Shapes: queries float32 (q, dim), full float32 (num_lists,) -> int64 (q, most), -1 where not searched; float32 (q, most).
    """
    distances, lists = index.quantizer.search(queries, index.nlist)
    held = np.cumsum(full[lists], axis=1, dtype=np.float64)
    enough = wanted * wanted / np.maximum(held[:, wanted - 1], 1)
    needed = np.minimum((held < enough[:, None]).sum(axis=1) + 1, index.nlist)
    most = int(needed.max(initial=1))
    chosen = lists[:, :most]
    searched = (np.arange(most) < needed[:, None]) & (full[chosen] > 0)
    return np.where(searched, chosen, -1), np.ascontiguousarray(distances[:, :most])


def _lists(index: Any) -> PosArray:
    """The list of each vector, int32 (n,)."""
    found = np.empty(index.ntotal, np.int32)
    for i in range(index.nlist):
        if size := index.invlists.list_size(i):
            found[faiss.rev_swig_ptr(index.invlists.get_ids(i), size)] = i
    return found
