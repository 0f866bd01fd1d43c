"""How each kind of FAISS index is asked: approximately where that finds enough, else exactly; ties by position."""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from kgrecall.index.faiss_config import FaissConfig
from kgrecall.index.faiss_lists import EligibleLists, lists_wanted, nearest_lists
from kgrecall.types import BoolArray, FloatArray

_BLOCK = 256
"""Queries whose lists are ranked at a time."""


class FaissSearch:
    """One search call: which vectors are eligible, and how each kind is asked for them."""

    def __init__(self, index: Any, config: FaissConfig, lists: EligibleLists, eligible: BoolArray | None, count: int) -> None:
        self._index, self._config, self._count = index, config, count
        self._selector: Any = None
        self._full: FloatArray | None = None
        if eligible is not None and count < len(eligible):
            packed = np.packbits(eligible, bitorder="little")
            self._selector = faiss.IDSelectorBitmap(packed)
            self._full = lists.fullness(eligible, packed) if config.kind == "ivf" else None
        self._share = count / index.ntotal

    def nearest(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """The k <= count best of each query, best first, ties by position; (q, k) both."""
        found = self._approximate(queries, k)
        if found is None:
            return self._exact(queries, k)
        scores, positions = found
        short = np.flatnonzero((positions < 0).any(axis=1))
        if len(short):
            positions[short], scores[short] = self._exact(queries[short], k)
        return _ordered(positions, scores)

    def _approximate(self, queries: FloatArray, k: int) -> tuple[FloatArray, NDArray[np.int64]] | None:
        """The scores and positions of a search that may miss some, or None where only an exact search finds enough."""
        if self._config.kind == "ivf":
            return self._in_near_lists(queries, k)
        if self._config.kind == "hnsw" and self._share >= self._config.hnsw_exact_below:
            depth = math.ceil(max(self._config.hnsw_search_depth, k) / self._share)
            params = faiss.SearchParametersHNSW(efSearch=depth, sel=self._selector)
            found: tuple[FloatArray, NDArray[np.int64]] = self._index.search(queries, k, params=params)
            return found
        return None

    def _in_near_lists(self, queries: FloatArray, k: int) -> tuple[FloatArray, NDArray[np.int64]] | None:
        index, probes = self._index, self._config.num_probes or 1
        if self._full is None:
            found: tuple[FloatArray, NDArray[np.int64]] | None = None
            if probes < index.nlist:
                found = index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=probes))
            return found
        wanted = lists_wanted(k, self._count, probes, index.nlist)
        if wanted >= index.nlist:
            return None
        scores, positions = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), _BLOCK):
            rows = slice(start, start + _BLOCK)
            lists, distances = nearest_lists(index, queries[rows], self._full, wanted)
            params = faiss.SearchParametersIVF(nprobe=lists.shape[1], sel=self._selector)
            arrays = [np.ascontiguousarray(queries[rows]), lists, distances, scores[rows], positions[rows]]
            asked, *rest = [faiss.swig_ptr(array) for array in arrays]
            index.search_preassigned_c(len(lists), asked, k, *rest, False, params)  # the wrapper takes no params
        return scores, positions

    def _exact(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """FAISS cuts ties at the last place as it likes: ask for one more, and for all ties where there are any."""
        positions, scores = self._all(queries, min(k + 1, self._count))
        if k == self._count:
            return positions, scores
        for row in np.flatnonzero(scores[:, k - 1] == scores[:, k]):
            one = slice(row, row + 1)
            more, more_scores = positions[one], scores[one]
            while more_scores[0, k - 1] == more_scores[0, -1] and more.shape[1] < self._count:
                more, more_scores = self._all(queries[one], min(4 * more.shape[1], self._count))
            positions[row, :k], scores[row, :k] = more[0, :k], more_scores[0, :k]
        return positions[:, :k], scores[:, :k]

    def _all(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """The k best of each query among all eligible vectors."""
        index = self._index
        if self._config.kind == "ivf":
            params = faiss.SearchParametersIVF(nprobe=index.nlist, sel=self._selector)
        else:
            params = faiss.SearchParameters(sel=self._selector)
            index = faiss.downcast_index(index.storage) if self._config.kind == "hnsw" else index
        scores, positions = index.search(queries, k, params=params)
        return _ordered(positions, scores)


def _ordered(positions: NDArray[np.int64], scores: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """FAISS returns rows best first; put equal scores in order of position."""
    if not (scores[:, 1:] == scores[:, :-1]).any():
        return positions, scores
    order = np.lexsort((positions, -scores), axis=-1)
    return np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1)
