"""Short walks from a history through the whole graph, compiled; the twin of :mod:`kgrecall.recall.channels.pagerank`."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from kgrecall.kernels.jit import entry, given, inner, written
from kgrecall.kernels.machine import lowest_bit
from kgrecall.kernels.rows import Sums, check
from kgrecall.kernels.sums import write_best_positive
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Marks = NDArray[np.uint64]
"""A bit for each node: what is marked is found again in ascending order without sorting."""
_SWEEP = 2
"""Nodes are marked while there are at least so many for each edge that is walked; else all are looked at afterwards."""


@inner
def _marked(marks: Marks, nodes: PosArray) -> int:
    """Write the marked nodes, ascending, and clear the marks; returns how many."""
    n = 0
    for word in range(len(marks)):
        bits = marks[word]
        if bits:
            marks[word] = 0
            while bits:
                nodes[n] = word * 64 + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                n += 1
    return n


@inner
def _reached(arrived: Sums, nodes: PosArray) -> int:
    """As :func:`_marked`, for the nodes where something has arrived."""
    n = 0
    for node in range(len(arrived)):
        nodes[n] = node  # without a branch, which the processor could not predict
        n += int(arrived[node] > 0)
    return n


@inner
def _mark(marks: Marks, nodes: PosArray, n: int) -> None:
    for i in range(n):
        marks[nodes[i] >> 6] |= np.uint64(1) << np.uint64(nodes[i] & 63)


@inner
def _start(
    indptr: IntArray,
    first: int,
    rows: PosArray,
    weights: FloatArray,
    waiting: Sums,
    settled: Sums,
    arrived: Sums,
    marks: Marks,
    seeds: PosArray,
    mass: Sums,
) -> tuple[int, float]:
    """Write the distinct nodes of a history that weigh something, ascending, and their mass, and let it wait there, scaled to
    add up to 1; returns how many, and the sum."""
    for j in range(len(rows)):
        if weights[j] > 0:
            node = first + rows[j]
            arrived[node] += weights[j]
            marks[node >> 6] |= np.uint64(1) << np.uint64(node & 63)
    n, total = _marked(marks, seeds), 0.0
    for s in range(n):
        mass[s] = arrived[seeds[s]]
        arrived[seeds[s]] = 0
        total += mass[s]
    for s in range(n):
        node = seeds[s]
        if indptr[node] == indptr[node + 1]:
            settled[node] = mass[s] / total
        else:
            waiting[node] = mass[s] / total
    return n, total


@inner
def _push(
    indptr: IntArray,
    indices: PosArray,
    share: FloatArray,
    restart: float,
    tolerance: float,
    waiting: Sums,
    settled: Sums,
    arrived: Sums,
    marks: Marks,
    nodes: PosArray,
    n: int,
    moved: Sums,
) -> int:
    """One step of all nodes among ``nodes[:n]`` where enough waits; writes the nodes that were reached, returns how many."""
    front, edges = 0, 0
    for i in range(n):
        node = nodes[i]
        if waiting[node] > tolerance * (indptr[node + 1] - indptr[node]):
            nodes[front], moved[front] = node, waiting[node]
            settled[node] += restart * waiting[node]
            waiting[node] = 0
            front += 1
            edges += indptr[node + 1] - indptr[node]
    ends, few = indices.view(np.uint32), edges * _SWEEP < len(arrived)
    for f in range(front):
        going_on = (1 - restart) * moved[f]
        first, last = np.uint64(indptr[nodes[f]]), np.uint64(indptr[nodes[f] + 1])
        for place in range(first, last):
            arrived[ends[place]] += going_on * share[place]
        if few:
            for place in range(first, last):
                marks[ends[place] >> 6] |= np.uint64(1) << np.uint64(ends[place] & 63)
    n = _marked(marks, nodes) if few else _reached(arrived, nodes)
    for i in range(n):
        waiting[nodes[i]] += arrived[nodes[i]]
        arrived[nodes[i]] = 0
    return n


@inner
def _rank(
    first: int,
    nodes: PosArray,
    waiting: Sums,
    settled: Sums,
    seeds: PosArray,
    mass: Sums,
    restart: float,
    total: float,
    dropped: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """Write the best of the items among ``nodes``, all that were reached, and clear what waits and has settled."""
    found, names, m, s = np.empty(len(nodes), np.float32), np.empty(len(nodes), np.int32), 0, 0
    for r in range(len(nodes)):
        node, item = nodes[r], nodes[r] - first
        visits = total * (waiting[node] * restart + settled[node])
        waiting[node] = 0
        settled[node] = 0
        if s < len(seeds) and seeds[s] == node:
            visits -= restart * mass[s]
            visits = visits if visits >= 1e-9 * mass[s] else 0.0  # the rounding of a difference
            s += 1
        if 0 <= item < len(factor) and (len(mask) == 0 or mask[item]):
            found[m], names[m] = np.float32(visits) * factor[item], item
            m += 1
    for c in range(m):
        place = np.searchsorted(dropped, names[c])
        if place < len(dropped) and dropped[place] == names[c]:
            found[c] = 0
    write_best_positive(found, names, m, counts, positions, scores)


@entry(
    given(types.int64),
    given(types.int32),
    given(types.float32),
    types.int64,
    given(types.int64),
    given(types.int32),
    given(types.float32),
    types.float64,
    types.float64,
    types.int64,
    given(types.int64),
    given(types.int32),
    given(types.float32),
    given(types.bool_),
    written(types.float64),
    written(types.float64),
    written(types.float64),
    written(types.uint64),
    written(types.int32),
    written(types.int32, 2),
    written(types.float32, 2),
)
def best_of_visits(
    indptr: IntArray,
    indices: PosArray,
    share: FloatArray,
    first: int,
    row_indptr: IntArray,
    rows: PosArray,
    weights: FloatArray,
    restart: float,
    tolerance: float,
    max_steps: int,
    drop_indptr: IntArray,
    drop: PosArray,
    factor: FloatArray,
    mask: BoolArray,
    waiting: Sums,
    settled: Sums,
    arrived: Sums,
    marks: Marks,
    counts: NDArray[np.int32],
    positions: PosArray,
    scores: FloatArray,
) -> None:
    """For each query the items that a walk from its history visits most.

    Shapes: the graph as in :class:`kgrecall.graph.pagerank.JointGraph`, items from node ``first`` on; waiting, settled and
    arrived float64 (nodes,) and marks uint64 (a bit for each), zero before and after; factor float32 (num_items,); the rest as
    in :func:`kgrecall.kernels.sums.best_of_rows`.
    """
    num_nodes, num_items = len(indptr) - 1, len(factor)
    check(rows, num_items)
    check(drop, num_items)
    nodes, moved, known = np.empty(num_nodes, np.int32), np.empty(num_nodes, np.float64), np.zeros(len(marks), np.uint64)
    for i in range(len(positions)):
        part, dropped = slice(row_indptr[i], row_indptr[i + 1]), drop[drop_indptr[i] : drop_indptr[i + 1]]
        seeds, mass = np.empty(len(rows[part]), np.int32), np.empty(len(rows[part]), np.float64)
        walk = waiting, settled, arrived, marks
        num_seeds, total = _start(indptr, first, rows[part], weights[part], *walk, seeds, mass)
        nodes[:num_seeds], n = seeds[:num_seeds], num_seeds
        _mark(known, nodes, n)
        for _ in range(max_steps):
            n = _push(indptr, indices, share, restart, tolerance, *walk, nodes, n, moved)
            _mark(known, nodes, n)
        n = _marked(known, nodes)
        left = seeds[:num_seeds], mass[:num_seeds], restart, total
        _rank(first, nodes[:n], waiting, settled, *left, dropped, factor, mask, counts, positions[i], scores[i])
