"""Personalised PageRank over the joint graph of all labels, by pushing mass only where it still matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.adjacency import gather
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class JointGraph:
    """All nodes of a snapshot as one undirected weighted graph, label after label.

    Node ``offset[label] + position``. Shapes: ``indptr`` int64 (n + 1,), ``indices`` int32 (num_entries,), ``share`` float32
    (num_entries,): the chance that a walk at the row's node goes on to that neighbour (each row adds up to 1, or is empty);
    ``degree`` float32 (n,): the summed weight of a node's edges.
    """

    offset: Mapping[str, int]
    size: Mapping[str, int]
    indptr: IntArray
    indices: NDArray[np.int32]
    share: FloatArray
    degree: FloatArray

    @classmethod
    def of(cls, snapshot: GraphSnapshot, *, relation_weights: Mapping[str, float] | None = None) -> JointGraph:
        """Join all relations.

        Args:
            relation_weights: multiplies the edges of a relation, by name; 1 when not named, 0 leaves the relation out.

        Raises:
            ConfigError: a weight is negative or names no relation.
        """
        weights = checked_weights(snapshot, relation_weights or {})
        size = {label: snapshot.num_nodes(label) for label in snapshot.vocabularies}
        offset = dict(zip(size, np.cumsum([0, *size.values()]).tolist(), strict=False))
        total = sum(size.values())
        rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for (source, relation, target), edges in snapshot.relations.items():
            weight = np.float32(weights.get(relation, 1.0))
            if weight > 0:
                rows.append(edges.sources() + offset[source])
                columns.append(edges.indices + offset[target])
                values.append(edges.weight * weight)
        ends = (np.concatenate(rows), np.concatenate(columns))
        one_way = csr_array((np.concatenate(values), ends), shape=(total, total))
        both_ways = (one_way + one_way.T).tocsr()
        both_ways.sort_indices()
        indptr = both_ways.indptr.astype(np.int64)
        data: FloatArray = both_ways.data
        degree = np.bincount(np.repeat(np.arange(total), np.diff(indptr)), data, minlength=total).astype(np.float32)
        share = np.divide(data, np.repeat(degree, np.diff(indptr)), dtype=np.float32)
        return cls(offset, size, indptr, both_ways.indices.astype(np.int32), share, degree)

    def __len__(self) -> int:
        return len(self.degree)

    def num_edges(self, nodes: NDArray[np.integer[Any]]) -> IntArray:
        """How many neighbours each of these nodes has: int64, as many as ``nodes``."""
        counts: IntArray = self.indptr[nodes + 1] - self.indptr[nodes]
        return counts

    def share_to(self, node: int, neighbours: IntArray) -> FloatArray:
        """The chance that a walk at a node goes on to each of some others: float32, 0 where there is no edge."""
        row = slice(self.indptr[node], self.indptr[node + 1])
        known = self.indices[row]
        if not len(known):
            return np.zeros(len(neighbours), np.float32)
        place = np.minimum(np.searchsorted(known, neighbours), len(known) - 1)
        return np.where(known[place] == neighbours, self.share[row][place], np.float32(0))

    def part(self, label: str, values: NDArray[Any]) -> NDArray[Any]:
        """The entries of a vector over all nodes (n,) that belong to one label."""
        return values[self.offset[label] : self.offset[label] + self.size[label]]


def personalised_pagerank(
    graph: JointGraph,
    seeds: NDArray[np.integer[Any]],
    weights: NDArray[np.floating[Any]],
    *,
    restart: float = 0.15,
    tolerance: float = 1e-6,
    max_steps: int | None = None,
) -> NDArray[np.float64]:
    """Where a walk that returns to the seeds with chance ``restart`` before each step is found.

    ``p = restart * s + (1 - restart) * P^T p`` with row-stochastic P and the seeds' distribution s; a walk at a node without
    edges stays there. Computed by forward push (Andersen, Chung and Lang, "Local graph partitioning using PageRank vectors",
    FOCS 2006), all nodes above the threshold at once: at most ``1 / (restart * tolerance)`` edges are walked, and
    ``1 / tolerance`` in one step, however large the graph. Mass that is not pushed on any more counts where it stands, as far
    as it is sure to stay there.

    Args:
        seeds: distinct nodes (m,) of the joint graph.
        weights: positive value (m,) of each seed; scaled to add up to 1.
        tolerance: mass below ``tolerance`` times the number of a node's edges is not pushed on.
        max_steps: walks are followed for so many steps; None for as long as the tolerance allows.

    Returns:
        float64 (n,), never above the exact value, and without ``max_steps`` together at least 1 - tolerance * (the edges of the
        nodes reached).

    Raises:
        ConfigError: an impossible restart or tolerance, or no seed of positive weight.
    """
    _check_walk(weights, restart, tolerance)
    settled, waiting = np.zeros(len(graph)), np.zeros(len(graph))
    alone = graph.num_edges(seeds) == 0
    mass = weights / np.cumsum(weights)[-1]  # added up one after the other, as compiled loops do
    settled[seeds[alone]], waiting[seeds[~alone]] = mass[alone], mass[~alone]
    reached: NDArray[np.integer[Any]] = np.asarray(seeds)[~alone]
    for _ in count() if max_steps is None else range(max_steps):
        front = _worth_pushing(graph, waiting, reached, tolerance)
        if not len(front):
            break
        mass = waiting[front]
        settled[front] += restart * mass
        waiting[front] = 0.0
        which, entries = gather(graph.indptr, front)
        reached, pushed = graph.indices[entries], (1 - restart) * mass[which] * graph.share[entries]
        if _in_one_sweep(graph, reached):
            waiting += np.bincount(reached, pushed, minlength=len(graph))
        else:
            nodes, place = np.unique(reached, return_inverse=True)
            waiting[nodes] += np.bincount(place, pushed)
    waiting *= restart
    waiting += settled
    return waiting


def _worth_pushing(
    graph: JointGraph, waiting: NDArray[np.float64], reached: NDArray[np.integer[Any]], tolerance: float
) -> IntArray:
    """The nodes whose waiting mass is above the threshold, given those where mass has just arrived; ascending."""
    nodes = np.flatnonzero(waiting) if _in_one_sweep(graph, reached) else np.unique(reached).astype(np.int64)
    front: IntArray = nodes[waiting[nodes] > tolerance * graph.num_edges(nodes)]
    return front


def _in_one_sweep(graph: JointGraph, reached: NDArray[np.integer[Any]]) -> bool:
    """Whether so many nodes are reached that going through all is cheaper than telling them apart."""
    return 8 * len(reached) > len(graph)


def checked_weights(snapshot: GraphSnapshot, weights: Mapping[str, float]) -> Mapping[str, float]:
    """The same weights.

    Raises:
        ConfigError: a weight is negative or names no relation of the snapshot.
    """
    known = {relation for _, relation, _ in snapshot.relations}
    for relation, weight in weights.items():
        if relation not in known:
            raise ConfigError("relation_weights", expected="names of relations", got=relation, remedy=nearest(relation, known))
        if not (np.isfinite(weight) and weight >= 0):
            raise ConfigError(
                f"relation_weights[{relation}]", expected="a number >= 0", got=weight, remedy="Use 0 to leave it out."
            )
    return weights


def _check_walk(weights: NDArray[np.floating[Any]], restart: float, tolerance: float) -> None:
    if not 0 < restart < 1:
        raise ConfigError("restart", expected="a chance between 0 and 1", got=restart, remedy="For instance restart=0.15.")
    if not tolerance > 0:
        raise ConfigError("tolerance", expected="a number > 0", got=tolerance, remedy="For instance tolerance=1e-6.")
    if len(weights) == 0 or not (weights > 0).all():
        raise ConfigError("weights", expected="one or more positive numbers", got=weights, remedy="Leave out other seeds.")
