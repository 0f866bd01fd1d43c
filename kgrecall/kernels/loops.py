"""The compiled entries as Python calls them: answers are allocated, scratch arrays are each thread's own and used again."""

from __future__ import annotations

from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ShapeError
from kgrecall.kernels.dense import FEW, best_of_dense
from kgrecall.kernels.gram import gather_gram
from kgrecall.kernels.lists import keep_eligible, merge
from kgrecall.kernels.networks import judge_lists, keep_best
from kgrecall.kernels.selection import MAX_BUCKETS
from kgrecall.kernels.squares import solve_rows
from kgrecall.kernels.sums import best_of_rows
from kgrecall.kernels.trials import best_sums
from kgrecall.kernels.visits import best_of_visits
from kgrecall.kernels.walks import best_of_walks
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Csr = tuple[IntArray, PosArray, FloatArray]
"""indptr int64, indices int32, values float32."""
Lists = tuple[PosArray, FloatArray]
"""positions int32 (q, k) and scores float32 (q, k), best first, ties by position, padded with -1 and -inf."""
Lists4 = tuple[PosArray, FloatArray, FloatArray, FloatArray]
"""The fields of :class:`kgrecall.recall.fusion.rank_fusion.Fused`."""
Around = tuple[FloatArray, IntArray, FloatArray, IntArray]
"""popularity, source and history: see :class:`kgrecall.recall.fusion.surroundings.Surroundings`; and
the usual network of a query."""
Networks = tuple[FloatArray, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""first, hidden, bias, out and direct of some networks: see :func:`kgrecall.kernels.networks.judge_lists`."""
_ALL = np.zeros(0, np.bool_)
_NO_FACTOR = np.zeros(0, np.float32)
_NO_ITEMS = np.zeros(0, np.int32)


class _Scratch(local):
    """Zeroed arrays by purpose; whoever writes to one leaves zeros."""

    def __init__(self) -> None:
        self.counts = np.zeros(MAX_BUCKETS, np.int32)
        self._arrays: dict[str, NDArray[Any]] = {}

    def zeros(self, purpose: str, size: int, dtype: type[np.generic]) -> NDArray[Any]:
        found = self._arrays.get(purpose)
        if found is None or len(found) < size:
            found = self._arrays[purpose] = np.zeros(size, dtype)
        return found[:size]


class Loops:
    """Safe for any number of threads; none of them holds the interpreter's lock while a loop runs."""

    def __init__(self) -> None:
        self._scratch = _Scratch()

    def best_of_rows(
        self,
        matrix: Csr,
        num_columns: int,
        rows: tuple[IntArray, PosArray, FloatArray],
        drop: tuple[IntArray, PosArray],
        k: int,
        factor: FloatArray | None,
        mask: BoolArray | None,
    ) -> Lists:
        """See :meth:`kgrecall.recall.channels.sparse_rows.SparseRows.best_hits`."""
        _check_mask(mask, num_columns)
        found = _empty(len(rows[0]) - 1, k)
        sums = self._scratch.zeros("columns", num_columns, np.float64)
        best_of_rows(*matrix, *rows, *drop, _or(factor, _NO_FACTOR), _or(mask, _ALL), sums, self._scratch.counts, *found)
        return found

    def best_of_walks(
        self,
        to_nodes: Csr,
        to_items: Csr,
        node_weight: FloatArray,
        rows: tuple[IntArray, PosArray, FloatArray],
        own: PosArray,
        beam: int,
        drop: tuple[IntArray, PosArray],
        k: int,
        factor: FloatArray,
        mask: BoolArray | None,
    ) -> tuple[Lists, BoolArray]:
        """See :class:`kgrecall.recall.channels.neighbors.NeighborsChannel`; also bool (q,): left out, since their history may
        return."""
        _check_mask(mask, len(factor))
        found, returned = _empty(len(own), k), np.zeros(len(own), np.bool_)
        nodes = self._scratch.zeros("nodes", len(node_weight), np.float64)
        items = self._scratch.zeros("columns", len(factor), np.float64)
        walk = (*to_nodes, *to_items, node_weight, *rows, own, beam, *drop, factor, _or(mask, _ALL))
        best_of_walks(*walk, nodes, items, self._scratch.counts, returned, *found)
        return found, returned

    def best_of_visits(
        self,
        graph: Csr,
        first: int,
        rows: tuple[IntArray, PosArray, FloatArray],
        walk: tuple[float, float, int],
        drop: tuple[IntArray, PosArray],
        k: int,
        factor: FloatArray,
        mask: BoolArray | None,
    ) -> Lists:
        """See :class:`kgrecall.recall.channels.pagerank.PageRankChannel`; ``walk``: restart, tolerance and steps."""
        _check_mask(mask, len(factor))
        found, num_nodes = _empty(len(rows[0]) - 1, k), len(graph[0]) - 1
        waiting, settled, arrived = self._scratch.zeros("visits", 3 * num_nodes, np.float64).reshape(3, num_nodes)
        marks = self._scratch.zeros("marks", num_nodes // 64 + 1, np.uint64)
        asked = (*graph, first, *rows, *walk, *drop, factor, _or(mask, _ALL))
        best_of_visits(*asked, waiting, settled, arrived, marks, self._scratch.counts, *found)
        return found

    def best_of_dense(
        self,
        rounded: tuple[NDArray[np.int16], float, float],
        vectors: FloatArray,
        queries: FloatArray,
        k: int,
        mask: BoolArray | None,
    ) -> Lists:
        """See :func:`kgrecall.kernels.dense.best_of_dense`; lists are as long as k, or the number of eligible vectors."""
        few, eligible = _NO_ITEMS, len(vectors)
        if mask is not None:
            eligible = int(np.count_nonzero(mask))
            if eligible * FEW <= len(vectors):
                few = np.flatnonzero(mask).astype(np.int32)
        found = _empty(len(queries), min(k, eligible))
        if found[0].size:
            best_of_dense(*rounded, vectors, queries, _or(mask, _ALL), few, eligible, self._scratch.counts, *found)
        return found

    def keep_eligible(self, lists: Lists, drop: tuple[IntArray, PosArray], num_items: int, k: int) -> Lists:
        """The first k of each list that are not dropped."""
        found = _empty(len(lists[0]), k)
        keep_eligible(*lists, *drop, self._scratch.zeros("slot", num_items, np.int32), *found)
        return found

    def gather_gram(self, gram: Csr, item: int, neighbours: PosArray) -> tuple[FloatArray, FloatArray]:
        """See :meth:`kgrecall.recall.channels.slim.SlimGram.solve`: float32 (m, m) and (m,) for m neighbours."""
        normal, met = np.zeros((len(neighbours), len(neighbours)), np.float32), np.zeros(len(neighbours), np.float32)
        places = self._scratch.zeros("places", len(gram[0]) - 1, np.int32)
        gather_gram(*gram, item, neighbours, places, normal, met)
        return normal, met

    @staticmethod
    def solve_rows(
        chosen: tuple[IntArray, PosArray],
        fixed: FloatArray,
        target: FloatArray,
        gram: FloatArray,
        shrink: FloatArray,
        start: FloatArray,
        steps: int,
    ) -> FloatArray:
        """See :func:`kgrecall.kernels.squares.solve_rows`; ``start`` stays as it is."""
        solution = np.array(start, np.float32, order="C")
        solve_rows(*chosen, fixed, target, gram, shrink, steps, solution)
        return solution

    @staticmethod
    def best_sums(scores: FloatArray, positions: PosArray, weights: NDArray[np.float64], above: float, k: int) -> PosArray:
        """See :func:`kgrecall.kernels.trials.best_sums`."""
        places = np.full((weights.shape[1], len(positions), k), -1, np.int32)
        best_sums(scores, positions, weights, above, places)
        return places

    def rescored(self, lists: Lists4, around: Around, networks: Networks, judged: FloatArray, k: int) -> Lists4:
        """See :func:`kgrecall.kernels.networks.keep_best`."""
        channels, num_queries, _ = lists[2].shape
        found, told = _empty(num_queries, k), np.full((channels, num_queries, k), np.nan, np.float32)
        parts = np.zeros((channels, num_queries, k), np.float32)
        slot = self._scratch.zeros("slot", int(lists[0].max(initial=-1)) + 1, np.int32)
        asked = (lists[0], lists[2], lists[3], *around, *networks, judged)
        keep_best(*asked, slot, self._scratch.counts, *found, told, parts)
        return *found, told, parts

    @staticmethod
    def judged(lists: Lists4, around: Around, networks: Networks) -> FloatArray:
        """See :func:`kgrecall.kernels.networks.judge_lists`: minus infinity on padding."""
        odds = np.full(lists[0].shape, -np.inf, np.float32)
        asked = (lists[0], lists[2], lists[3], *around, *networks)
        judge_lists(*asked, odds)
        return odds

    def merge(self, positions: PosArray, contributions: FloatArray, raw: FloatArray, k: int) -> Lists4:
        """See :func:`kgrecall.recall.fusion.rank_fusion.fuse`."""
        channels, num_queries, _ = positions.shape
        found = _empty(num_queries, k)
        told = np.empty((channels, num_queries, k), np.float32)
        told.fill(np.nan)
        parts = np.zeros((channels, num_queries, k), np.float32)
        slot = self._scratch.zeros("slot", int(positions.max(initial=-1)) + 1, np.int32)
        merge(positions, contributions, raw, slot, self._scratch.counts, *found, told, parts)
        return *found, told, parts


def _empty(num_queries: int, k: int) -> Lists:
    positions, scores = np.empty((num_queries, k), np.int32), np.empty((num_queries, k), np.float32)
    positions.fill(-1)  # a third of the time of np.full, which a single request feels
    scores.fill(-np.inf)
    return positions, scores


def _check_mask(mask: BoolArray | None, size: int) -> None:
    if mask is not None and len(mask) != size:
        raise ShapeError("mask", expected=f"{size} values", got=len(mask), remedy="Pass one True or False per item.")


def _or(array: NDArray[Any] | None, nothing: NDArray[Any]) -> NDArray[Any]:
    return nothing if array is None else array
