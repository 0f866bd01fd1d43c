"""Walks along typed relations, for one query at a time: user -> item -> attribute -> item.

As in a Cypher pattern, no relationship is walked back on the step after it was walked: an item that a user has is not
reached again through the very edge that led away from it, and a user is not his own neighbour. Values add up over walks; they
are multiplied by the weight of each edge and, at each node in between, by how selective that node is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import Adjacency, gather
from kgrecall.types import EdgeType, FloatArray, IntArray, PosArray

DoubleArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Hop:
    """One step of a walk: the edges of a relation, in or against their direction.

    Shapes: ``indptr`` int64 (n + 1,), ``indices`` int32 and ``weight`` float32 (num_edges,): one row per node that the step may
    leave; ``twin`` int64 (num_edges,): where the same edge stands in the hop of the other direction; ``leave`` float32 (n,):
    what a value is multiplied by when it leaves a node.
    """

    edge_type: EdgeType
    against: bool
    num_targets: int
    indptr: IntArray
    indices: PosArray
    weight: FloatArray
    twin: IntArray
    leave: FloatArray

    @classmethod
    def of(cls, edges: Adjacency, *, against: bool = False, hub_cap: int | None = None, damped: bool = False) -> Hop:
        """Prepare a step.

        Args:
            against: walk from target to source.
            hub_cap: nodes with more edges than this are not walked through: they say little and cost much.
            damped: weigh a node of ``d`` edges by ``1 / log2(1 + d)`` (Adamic and Adar, 2003).
        """
        forward_place = np.empty(edges.num_edges, np.int64)
        forward_place[edges.rev_edge] = np.arange(edges.num_edges)
        if against:
            indptr, indices, weight, twin = edges.rev_indptr, edges.rev_indices, edges.weight[edges.rev_edge], edges.rev_edge
        else:
            indptr, indices, weight, twin = edges.indptr, edges.indices, edges.weight, forward_place
        leave = selectivity(np.diff(indptr), hub_cap=hub_cap, damped=damped)
        num_targets = edges.num_sources if against else edges.num_targets
        return cls(edges.edge_type, against, num_targets, indptr, indices, weight, twin, leave)

    @property
    def name(self) -> str:
        """The relation, with ``^`` in front when it is walked against its direction."""
        return f"^{self.edge_type[1]}" if self.against else self.edge_type[1]

    @property
    def ends(self) -> tuple[str, str]:
        """Labels of the nodes before and after the step."""
        source, _, target = self.edge_type
        return (target, source) if self.against else (source, target)

    def undoes(self, other: Hop) -> bool:
        """Whether this step can go back over the edges of the step before."""
        return self.edge_type == other.edge_type and self.against != other.against


def selectivity(degree: IntArray, *, hub_cap: int | None, damped: bool) -> FloatArray:
    """float32: ``1 / log2(1 + degree)`` or 1; 0 for nodes without edges and for hubs."""
    used = degree > 0 if hub_cap is None else (degree > 0) & (degree <= hub_cap)
    value = 1 / np.log2(1 + np.maximum(degree, 1)) if damped else np.ones(len(degree))
    return np.where(used, value, 0).astype(np.float32)


def walk(
    hops: Sequence[Hop], starts: NDArray[np.integer[Any]], weights: NDArray[np.floating[Any]]
) -> tuple[IntArray, DoubleArray]:
    """Sum over all walks from the start nodes along the hops.

    Args:
        hops: one or more steps, each beginning at the label where the one before ends.
        starts: distinct positions (m,) of the first hop's label.
        weights: positive value (m,) of each start; start nodes are not damped.

    Returns:
        Positions int64 (n,), ascending, of the nodes that were reached, and their values float64 (n,) > 0.

    Raises:
        ConfigError: the hops do not follow each other.
    """
    _check_chain(hops)
    order = np.argsort(starts)
    step = _Step(None, np.empty(0, np.int64), np.empty(0), np.asarray(starts, np.int64)[order], np.asarray(weights)[order])
    for hop in hops:
        step = _take(hop, step)
    return step.nodes, step.values


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Where a walk stands: the entries of ``hop`` that were just walked, what each carried, and where they arrived."""

    hop: Hop | None
    entries: IntArray
    carried: DoubleArray
    nodes: IntArray
    values: DoubleArray


def _take(hop: Hop, last: _Step) -> _Step:
    leaving = last.values if last.hop is None else last.values * hop.leave[last.nodes]
    going = leaving > 0
    nodes = last.nodes[going]
    which, entries = gather(hop.indptr, nodes)
    carried = leaving[going][which].astype(np.float64)
    if last.hop is not None and hop.undoes(last.hop):
        place, edge = _walked_back(hop, last, nodes)
        carried[place] -= last.carried[edge] * hop.leave[last.hop.indices[last.entries[edge]]]
    carried *= hop.weight[entries]
    return _Step(hop, entries, carried, *_add_up(hop.indices[entries], carried, hop.num_targets))


def _walked_back(hop: Hop, last: _Step, nodes: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs of an edge about to be walked (its place in the gathered rows of ``nodes``) and the same edge in ``last``."""
    assert last.hop is not None
    arrived = last.hop.indices[last.entries]
    row = np.searchsorted(nodes, arrived)
    edge = np.flatnonzero(nodes[np.minimum(row, len(nodes) - 1)] == arrived) if len(nodes) else np.empty(0, np.int64)
    lengths = hop.indptr[nodes + 1] - hop.indptr[nodes]
    begins = np.cumsum(lengths) - lengths
    twin = last.hop.twin[last.entries[edge]]
    return begins[row[edge]] + twin - hop.indptr[arrived[edge]], edge


def _add_up(positions: PosArray, values: DoubleArray, size: int) -> tuple[IntArray, DoubleArray]:
    """The sum of values per position, where it is above 0."""
    if size <= 8 * len(positions):
        sums = cast(DoubleArray, np.bincount(positions, values, minlength=size))
        found: IntArray = np.flatnonzero(sums > 0)
        return found, sums[found]
    distinct, place = np.unique(positions, return_inverse=True)
    sums = cast(DoubleArray, np.bincount(place, values, minlength=len(distinct)))
    return distinct[sums > 0].astype(np.int64), sums[sums > 0]


def _check_chain(hops: Sequence[Hop]) -> None:
    names = " -> ".join(hop.name for hop in hops)
    if not hops:
        raise ConfigError("hops", expected="one or more", got=[], remedy="Name the relations to walk along.")
    for first, second in pairwise(hops):
        if first.ends[1] != second.ends[0]:
            raise ConfigError(
                f"hops {names}",
                expected=f"{second.name} to begin at {first.ends[1]}, where {first.name} ends",
                got=second.ends[0],
                remedy="Turn the hop round with against=True, or choose another relation.",
            )
