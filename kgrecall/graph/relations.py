"""From the relations of the store to those of the snapshot: moved, split by name, turned round, and without repeats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrecall.graph.adjacency import Adjacency, group
from kgrecall.graph.identity import Placement
from kgrecall.graph.scan import EdgeCounts, ScannedEdges
from kgrecall.schema import EdgeTypeSpec
from kgrecall.types import Context, EdgeType, FloatArray, IntArray, PosArray


@dataclass(frozen=True, slots=True)
class _Moved:
    """Edges with their ends as node numbers of the placement, and an index into ``names``."""

    sources: PosArray
    targets: PosArray
    weight: FloatArray
    time: IntArray | None
    name: PosArray
    names: tuple[str, ...]
    context: PosArray | None
    contexts: tuple[Context, ...]

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: NDArray[Any]) -> _Moved:
        time = None if self.time is None else self.time[rows]
        return replace(
            self,
            sources=self.sources[rows],
            targets=self.targets[rows],
            weight=self.weight[rows],
            time=time,
            name=self.name[rows],
            context=None if self.context is None else self.context[rows],
        )


def settle(
    relation: str, spec: EdgeTypeSpec, scanned: ScannedEdges, placement: Placement, taken: Iterable[str]
) -> tuple[dict[EdgeType, Adjacency], EdgeCounts]:
    """The adjacencies that one relation of the store becomes.

    With a ``relation`` property there is one per value and pair of labels; a value that is already the name of another
    relation (``taken``) is written ``relation.value``. A relation without edges keeps its declared triple.
    """
    edges, self_loops = _without_self_loops(_move(spec, scanned, placement))
    edges = _turn(edges, spec, relation, frozenset(taken))
    copied = len(edges) + self_loops - scanned.counts.kept
    parts = _split(edges, placement)
    if not parts and not spec.relation:
        declared = (spec.source, relation, spec.target)
        parts = {declared: _adjacency(declared, edges, placement)}
    unique = {edge_type: _without_repeats(adjacency, spec) for edge_type, adjacency in parts.items()}
    kept = sum(adjacency.num_edges for adjacency in unique.values())
    counts = replace(scanned.counts, copied=copied, self_loop=self_loops, kept=kept, duplicate=len(edges) - kept)
    return unique, counts


def _move(spec: EdgeTypeSpec, scanned: ScannedEdges, placement: Placement) -> _Moved:
    edges = _Moved(
        scanned.sources,
        scanned.targets,
        scanned.weight,
        scanned.time,
        scanned.name,
        scanned.names,
        scanned.context,
        scanned.contexts,
    )
    row, sources = placement.move(spec.source, edges.sources)
    edges = replace(edges if row is None else edges.take(row), sources=sources)
    row, targets = placement.move(spec.target, edges.targets)
    return replace(edges if row is None else edges.take(row), targets=targets)


def _without_self_loops(edges: _Moved) -> tuple[_Moved, int]:
    loops = edges.sources == edges.targets
    num_loops = int(loops.sum())
    return (edges.take(~loops) if num_loops else edges), num_loops


def _turn(edges: _Moved, spec: EdgeTypeSpec, relation: str, taken: frozenset[str]) -> _Moved:
    """Turn the relations of ``inverse_of`` round and number the names that are left in alphabetical order."""
    said = [spec.inverse_of.get(name, name) for name in edges.names]
    final = [f"{relation}.{name}" if name in taken else name for name in said]
    names = sorted(set(final))
    if names == list(edges.names):
        return edges
    place = {name: i for i, name in enumerate(names)}
    number = np.array([place[name] for name in final], np.int32)
    turned = np.array([name in spec.inverse_of for name in edges.names])[edges.name]
    return replace(
        edges,
        sources=np.where(turned, edges.targets, edges.sources),
        targets=np.where(turned, edges.sources, edges.targets),
        name=number[edges.name],
        names=tuple(names),
    )


def _split(edges: _Moved, placement: Placement) -> dict[EdgeType, Adjacency]:
    labels = placement.labels
    pair = placement.label[edges.sources] * np.int32(len(labels)) + placement.label[edges.targets]
    indptr, order = group(edges.name * np.int32(len(labels) ** 2) + pair, len(edges.names) * len(labels) ** 2)
    parts = {}
    for k in np.flatnonzero(np.diff(indptr)).tolist():
        name, ends = divmod(k, len(labels) ** 2)
        edge_type = (labels[ends // len(labels)], edges.names[name], labels[ends % len(labels)])
        part = edges.take(order[indptr[k] : indptr[k + 1]]) if indptr[k + 1] - indptr[k] < len(edges) else edges
        parts[edge_type] = _adjacency(edge_type, part, placement)
    return parts


def _adjacency(edge_type: EdgeType, edges: _Moved, placement: Placement) -> Adjacency:
    return Adjacency.from_edges(
        edge_type,
        placement.position[edges.sources],
        placement.position[edges.targets],
        edges.weight,
        edges.time,
        num_sources=placement.num_nodes(edge_type[0]),
        num_targets=placement.num_nodes(edge_type[2]),
        context=edges.context,
        contexts=edges.contexts,
    )


def _without_repeats(adjacency: Adjacency, spec: EdgeTypeSpec) -> Adjacency:
    """One edge per key of the relation: of edges that became equal the latest (then heaviest) stays.

    Where the key holds properties that the snapshot does not carry, edges cannot be told to be equal, and all stay.
    """
    if not set(spec.edge_key) <= {spec.relation, spec.time}:
        return adjacency
    sources = adjacency.sources()
    repeats = (sources[1:] == sources[:-1]) & (adjacency.indices[1:] == adjacency.indices[:-1])
    if adjacency.time is not None and spec.time in spec.key:
        repeats &= adjacency.time[1:] == adjacency.time[:-1]
    if not repeats.any():
        return adjacency
    return adjacency.keep(np.append(~repeats, True))
